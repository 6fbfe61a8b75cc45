/**
 * The emulator: runs programs without a kernel, with every memory access checked and everything observable. An interpreter and a
 * WebAssembly compiler give the same results; maps, helpers, contexts, clock and random numbers are the emulator's own, all of it data
 * that a test chooses. No Node built-in: it also runs in a browser.
 */
export { CONFORMANCE_HELPERS } from './calls/conformance.ts'
export { implementedHelpers } from './calls/index.ts'
export type { HelperArguments } from './calls/mock.ts'
export { CONTEXTS, type ContextInput } from './contexts/index.ts'
export {
  readTracepointFormat,
  type TracepointField,
  type TracepointValue,
  tracepointRecord,
} from './contexts/tracepoint.ts'
export { createEmulator, Emulator } from './emulator.ts'
export { Environment, type FibRoute, type Mock, type TaskIdentity } from './environment.ts'
export type { Fault, FaultCode } from './faults.ts'
export type { SanitizerOptions, Strictness } from './machine.ts'
export { ArrayMap, EmulatedMap, type MapEntry, RingMap, UserRingMap } from './maps/index.ts'
export type { EmulatorOptions, FakeMemory, RunOptions } from './options.ts'
export type { Engine, RunResult, TraceStep } from './result.ts'
export type { EmittedEvent, RedirectTarget } from './run-state.ts'
