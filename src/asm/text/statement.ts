import type { Reference } from '../instruction.ts'

/** A jump or call target in text: a distance in slots, or a label. */
export type TextTarget = { readonly distance: number } | { readonly label: string }

/** One parsed instruction; names are resolved when all labels are known. */
export interface Statement {
  readonly opcode: number
  readonly dst: number
  readonly src: number
  readonly offset: number
  readonly imm: number
  readonly imm64?: bigint
  /** A jump's label, or a bpf-to-bpf call's. */
  readonly label?: string
  /** A callee or an address by name: a function of this text, else a helper, else left to the loader. */
  readonly symbol?: string
  readonly reference?: Reference
}

export const plain = (opcode: number, dst: number, src: number, offset: number, imm: number): Statement => ({
  opcode,
  dst,
  src,
  offset,
  imm,
})
