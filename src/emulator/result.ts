import { type ContextInput, type ContextRow, contextOut, readContext } from './contexts/index.ts'
import type { Fault } from './faults.ts'
import type { EmittedEvent, RedirectTarget, RunState } from './run-state.ts'

export type Engine = 'interpreter' | 'wasm'

/** The state before one instruction, with `trace: true`. */
export interface TraceStep {
  readonly program: number
  readonly insn: number
  /** Call depth: 0 is the program itself. */
  readonly frame: number
  /** r0 to r10 before the instruction. */
  readonly registers: readonly bigint[]
  /** Stack words of this frame that changed since the step before: offset from r10, value. */
  readonly stack: readonly (readonly [offset: number, value: bigint])[]
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
  /** flow_dissector: struct bpf_flow_keys as the program left it, 56 bytes. */
  readonly flowKeys?: Uint8Array
  /** The context's fields by name. */
  readonly ctx: Readonly<Record<string, bigint>>
  /**
   * The context's bytes. For xdp_md and __sk_buff as BPF_PROG_TEST_RUN's ctx_out: lengths in the place of pointers, and of an
   * skb the fields that a test run gives back.
   */
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

const NO_NAMES: readonly string[] = []

/** A result whose context is decoded only when it is looked at, so that many runs are cheap. */
export class RunRecord implements RunResult {
  readonly engine: Engine
  fallback?: string
  readonly r0: bigint
  readonly retval: number
  retvalName?: string
  fault?: Fault
  readonly findings: readonly Fault[]
  packet?: Uint8Array
  metadata?: Uint8Array
  flowKeys?: Uint8Array
  mapsTouched = NO_NAMES
  readonly events: readonly EmittedEvent[]
  readonly printk: readonly string[]
  readonly redirect?: RedirectTarget
  readonly steps: number
  coverage?: readonly Uint32Array[]
  trace?: readonly TraceStep[]
  readonly #row: ContextRow
  readonly #context: Uint8Array
  readonly #input: ContextInput | undefined
  readonly #run: RunState

  constructor(
    engine: Engine,
    r0: bigint,
    retval: number,
    run: RunState,
    steps: number,
    row: ContextRow,
    context: Uint8Array,
    input: ContextInput | undefined,
  ) {
    this.engine = engine
    this.r0 = r0
    this.retval = retval
    this.findings = run.findings
    this.events = run.events
    this.printk = run.printk
    if (run.redirect !== undefined) this.redirect = run.redirect
    this.steps = steps
    this.#row = row
    this.#context = context
    this.#input = input
    this.#run = run
  }

  get ctx(): Readonly<Record<string, bigint>> {
    return readContext(this.#row.table, this.#context)
  }
  get ctxBytes(): Uint8Array {
    return contextOut(this.#row, this.#context, this.#input, this.#run)
  }
}
