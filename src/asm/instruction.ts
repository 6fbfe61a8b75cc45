import { LD_IMM64 } from '../uapi/index.ts'

/** A place in the user's source. Lines and columns count from 1. */
export interface SourceLocation {
  readonly file: string
  readonly line: number
  readonly column: number
  /** The source line's text, trimmed at the end. */
  readonly text?: string
}

/** One CO-RE relocation (struct bpf_core_relo) as data; types are ids of the object's BTF. */
export interface CoreRelocation {
  readonly kind: number
  readonly typeId: number
  /** Colon-separated member indices, "0:1:2". */
  readonly access: string
}

/** What an instruction refers to by name; a {@link SymbolResolver} or a linker turns it into numbers. */
export type Reference =
  | { readonly kind: 'label'; readonly name: string }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'kfunc'; readonly name: string; readonly weak?: boolean; readonly module?: string }
  | { readonly kind: 'map'; readonly name: string }
  | { readonly kind: 'mapValue'; readonly name: string; readonly offset: number }
  | { readonly kind: 'ksym'; readonly name: string; readonly weak?: boolean; readonly typed?: boolean }
  | { readonly kind: 'kconfig'; readonly name: string; readonly weak?: boolean }

/**
 * One BPF instruction: the fields of RFC 9669 section 3 plus sparse metadata that survives edits.
 * A 64-bit immediate load is one instruction of two slots.
 */
export interface Instruction {
  /** The opcode byte. */
  readonly opcode: number
  /** Destination register 0 to 15 (4 bits; only 0 to 10 are meaningful). */
  readonly dst: number
  readonly src: number
  /** Signed 16 bits. */
  readonly offset: number
  /** Signed 32 bits; of a 64-bit immediate load the low half. */
  readonly imm: number
  /** Only of a 64-bit immediate load: the whole immediate, unsigned. */
  readonly imm64?: bigint
  /** Names this instruction as a jump target or as a function's first instruction. */
  readonly label?: string
  /** True with `label` where a function starts. */
  readonly functionStart?: boolean
  readonly reference?: Reference
  readonly source?: SourceLocation
  readonly core?: CoreRelocation
  readonly comment?: string
}

/** Slots of eight bytes that an instruction takes: 2 for a 64-bit immediate load, else 1. */
export function slotsOf(instruction: Instruction): 1 | 2 {
  return instruction.opcode === LD_IMM64 ? 2 : 1
}

/** Turns names into numbers: helpers from tables, kfuncs from BTF. `undefined`: not known. */
export interface SymbolResolver {
  helper?(name: string): number | undefined
  helperName?(number: number): string | undefined
  kfunc?(name: string): number | undefined
  kfuncName?(btfId: number, moduleOffset: number): string | undefined
  mapName?(fdOrIndex: number): string | undefined
}
