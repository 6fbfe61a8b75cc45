import type { MapSpec } from '../spec/index.ts'
import type { HelperOverrides } from './calls/index.ts'
import type { ContextInput } from './contexts/index.ts'
import type { Mock } from './environment.ts'
import type { SanitizerOptions } from './machine.ts'
import type { Engine } from './result.ts'

/** Fake memory that programs reach by probe_read, or directly with `direct` (kernel structures behind BTF pointers). */
export interface FakeMemory {
  readonly address: bigint
  readonly bytes: Uint8Array
  readonly name?: string
  readonly direct?: boolean
}

export interface EmulatorOptions {
  /** `auto`: the interpreter first, compiled once a program has run a few times. Default `auto`. */
  readonly engine?: Engine | 'auto'
  /** Instructions of one run before it ends with the fault `step-limit`; default 64 million. */
  readonly stepLimit?: number
  /** CPUs that per-CPU maps have; default 1. */
  readonly cpus?: number
  readonly cpu?: number
  /** Seed of the random numbers; default 1. */
  readonly seed?: number
  readonly sanitizer?: Partial<SanitizerOptions>
  /** Bytes that maps and packets may take; default 512 MiB, at most 1 GiB. */
  readonly memoryLimit?: number
  /** Implementations in front of the emulator's own, by helper or kfunc name with or without `bpf_`. */
  readonly mocks?: Readonly<Record<string, Mock | bigint | number>>
  readonly memory?: readonly FakeMemory[]
  /** Maps that no program names but slots of other maps do (templates' siblings, inner maps). */
  readonly maps?: readonly MapSpec[]
  /** The name of a kfunc from its BTF id, when the image comes from a linked program. */
  readonly kfuncName?: (btfId: number, module: number) => string | undefined
  /** The value of a ld_imm64 that refers to a kernel symbol or BTF variable. */
  readonly ksym?: (btfId: number) => bigint | undefined
  /** Helpers by number that replace the kernel's (the conformance protocol). */
  readonly helperNumbers?: HelperOverrides
}

export interface RunOptions {
  /** A frame from its Ethernet header on. */
  readonly packet?: Uint8Array
  /** XDP metadata in front of the packet. */
  readonly metadata?: Uint8Array
  readonly ctx?: ContextInput
  /** Plain memory: r1 points to it, r2 is its length (no context then). */
  readonly mem?: Uint8Array
  /** Index or name of the program; default the first. */
  readonly program?: number | string
  readonly coverage?: boolean
  /** Called before every instruction with the program's index and the slot; the interpreter runs then. */
  readonly observe?: (program: number, slot: number) => void
  readonly trace?: boolean
  readonly engine?: Engine | 'auto'
}
