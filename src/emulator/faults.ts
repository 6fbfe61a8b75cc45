import type { SourceLocation } from '../asm/index.ts'
import type { LinkedProgram } from './program.ts'

/** What can go wrong inside an emulated program; stable names. */
export type FaultCode =
  | 'out-of-bounds'
  | 'null-pointer'
  | 'read-only'
  | 'write-only'
  | 'use-after-free'
  | 'uninitialised-stack'
  | 'misaligned'
  | 'invalid-instruction'
  | 'invalid-jump'
  | 'invalid-argument'
  | 'unreleased-reference'
  | 'step-limit'
  | 'call-depth'
  | 'memory-limit'
  | 'deadlock'
  | 'exception'
  | 'unsupported'

/** One thing the sanitizer saw: an error that ended the run, or a finding that it reports and goes on. Plain data. */
export interface Fault {
  readonly code: FaultCode
  readonly message: string
  /** Index of the program in the emulator. */
  readonly program: number
  /** Slot of the instruction; -1 when the fault belongs to none. */
  readonly insn: number
  /** The address, for memory faults. */
  readonly address?: bigint
  /** Bytes of the access. */
  readonly size?: number
  /** The user's line of that slot, when the image knows it. */
  readonly source?: SourceLocation
}

/** Ends a run from inside an engine or a helper; the emulator turns it into the result's `fault`. */
export class FaultSignal extends Error {
  readonly fault: Fault
  constructor(fault: Fault) {
    super(fault.message)
    this.fault = fault
  }
}

/** bpf_throw: leaves all functions of the program that throws; its exception callback gives the result. */
export class ExceptionSignal extends Error {
  readonly program: LinkedProgram
  readonly cookie: bigint
  constructor(program: LinkedProgram, cookie: bigint) {
    super('exception')
    this.program = program
    this.cookie = cookie
  }
}

/** Ends a run in the regular way from any depth: the conformance protocol's unwind. */
export class UnwindSignal extends Error {
  readonly value: bigint
  constructor(value: bigint) {
    super('unwind')
    this.value = value
  }
}
