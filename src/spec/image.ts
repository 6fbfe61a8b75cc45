import type { SourceLocation } from '../asm/index.ts'
import type { MapSpec } from './map.ts'

/** A map reference inside a {@link ProgramImage}. */
export interface ImageRelocation {
  /** Slot of the ld_imm64's first half. */
  readonly insn: number
  /** Index into the image's `maps`. */
  readonly map: number
  /** `fd`: the map itself; `value`: an address inside its first value. */
  readonly kind: 'fd' | 'value'
  /** Bytes into the value, for `value`. */
  readonly offset?: number
}

/**
 * A program ready for a consumer (verifier model, emulator, kernel): subprograms linked, CO-RE applied, maps by index.
 * This is the meeting point of all producers and consumers, and what one request of `verify --batch` and `load --batch` describes.
 */
export interface ProgramImage {
  /** At most 15 bytes reach the kernel. */
  readonly name: string
  /** enum bpf_prog_type. */
  readonly type: number
  /** enum bpf_attach_type, 0 when absent. */
  readonly expectedAttachType: number
  /** Eight bytes a slot, little endian (the byte order of `littleEndian` when that is false). */
  readonly insns: Uint8Array
  readonly littleEndian?: boolean
  readonly license: string
  /** BPF_F_* of BPF_PROG_LOAD. */
  readonly flags: number
  readonly maps: readonly MapSpec[]
  readonly relocations: readonly ImageRelocation[]
  /** The program's own BTF. */
  readonly btf?: Uint8Array
  /** struct bpf_func_info records, 8 bytes each, over slots. */
  readonly funcInfo?: Uint8Array
  /** struct bpf_line_info records, 16 bytes each, over slots. */
  readonly lineInfo?: Uint8Array
  /** The attach target by name (a kernel function, tracepoint `btf_trace_*` name without prefix, LSM hook, iterator, struct_ops member). */
  readonly attachTo?: {
    readonly name: string
    readonly module?: string
    readonly programFd?: number
    /** The program whose function `name` is replaced (freplace) or traced (fentry, fexit). */
    readonly program?: ProgramImage
  }
  /** The target's BTF id in the running kernel; wins over `attachTo`. */
  readonly attachBtfId?: number
  /** Slot of the function that runs when the program throws; absent: what was thrown is the result. */
  readonly exceptionSlot?: number
  /** Kernel modules whose kfuncs the program calls, indexed by the call's `off`. */
  readonly fdArray?: readonly string[]
  /** Names of the kfuncs that calls mean, by slot, where known: the emulator runs them by name. */
  readonly kfuncs?: ReadonlyMap<number, string>
  /** The user's line of each slot, where known. */
  readonly sources?: ReadonlyMap<number, SourceLocation>
  /** Slots whose CO-RE relocation failed, with the reason: the call there stands for what could not be resolved. */
  readonly unresolved?: ReadonlyMap<number, string>
}
