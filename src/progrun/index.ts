/**
 * The test harness: run BPF programs in the emulator, in the kernel or in both, with packets and contexts built by hand,
 * from captures or by property testing, and say field by field what came out.
 */
export { kernelUnavailable } from './backend/available.ts'
export type { BackendKind, HarnessEvent, RawResult } from './backend/backend.ts'
export { type EmulatorWorld, FaultError } from './backend/emulator.ts'
export * from './bench/index.ts'
export * from './checks/checks.ts'
export { checkFailsVerifier, checkPassesVerifier, type VerifierQuestion } from './checks/verifier.ts'
export * from './coverage/index.ts'
export type { SkbContext, SkLookupContext, XdpContext } from './harness/contexts.ts'
export { type Difference, DifferenceError } from './harness/difference.ts'
export {
  type Drive,
  type DriveOwn,
  type DriveResult,
  drive,
  driveOwn,
  type OwnCgroup,
  ownCgroup,
} from './harness/drive.ts'
export {
  type BackendChoice,
  Harness,
  type HarnessOptions,
  harness,
  type ProgramRef,
  type TypedMap,
} from './harness/harness.ts'
export { type OwnNetns, ownNetns } from './harness/own-netns.ts'
export { RunResult } from './harness/result.ts'
export type { PacketInput, RunOptions, RunOptionsByType, TypeOfKind } from './harness/run-options.ts'
export { RUN_SHAPES, type RunShape } from './harness/shapes.ts'
export type { HarnessSource } from './harness/source.ts'
export { TestMap } from './harness/test-map.ts'
export { VERDICTS, type VerdictName, verdictName, verdictValue } from './harness/verdicts.ts'
export * from './packets/index.ts'
export * from './pcap/index.ts'
export * from './property/index.ts'
