import type { Fault } from './faults.ts'
import type { EmittedEvent, RedirectTarget } from './run-state.ts'

export type Engine = 'interpreter' | 'wasm'

/** Registers after one instruction, with `trace: true`. */
export interface TraceStep {
  readonly program: number
  readonly insn: number
  /** r0 to r10 before the instruction. */
  readonly registers: readonly bigint[]
}

/** What a run did, as plain data. */
export interface RunResult {
  /** Which engine ran; where it is not the one that was asked for, `fallback` says why. */
  readonly engine: Engine
  readonly fallback?: string
  /** r0. */
  readonly r0: bigint
  /** r0's low 32 bits, as BPF_PROG_TEST_RUN gives them. */
  readonly retval: number
  /** `XDP_DROP`, where the program type names its values. */
  readonly retvalName?: string
  /** Why the run ended early; r0 means nothing then. */
  readonly fault?: Fault
  /** What the sanitizer reported and went on. */
  readonly findings: readonly Fault[]
  /** The packet from data to data_end; socket filters and the like get their Ethernet header back, zeroed as the kernel does. */
  readonly packet?: Uint8Array
  /** XDP metadata, the bytes in front of the packet. */
  readonly metadata?: Uint8Array
  /** The context's fields by name. */
  readonly ctx: Readonly<Record<string, bigint>>
  /** The context's bytes. */
  readonly ctxBytes: Uint8Array
  /** Indices of the maps that changed by helper; stores through value pointers are not tracked here. */
  readonly mapsTouched: readonly string[]
  readonly events: readonly EmittedEvent[]
  readonly printk: readonly string[]
  readonly redirect?: RedirectTarget
  /** Instructions executed, callbacks and tail-called programs included. */
  readonly steps: number
  /** With `coverage: true`, per program how often each slot ran. */
  readonly coverage?: readonly Uint32Array[]
  /** With `trace: true`, at most a million steps. */
  readonly trace?: readonly TraceStep[]
}
