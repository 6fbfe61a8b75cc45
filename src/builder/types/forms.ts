/** The forms of integers in memory. `order` is the byte order in memory; programs run on little-endian machines unless a target says otherwise. */
export interface IntForm {
  readonly bits: 8 | 16 | 32 | 64
  readonly signed: boolean
}
export const INT_FORMS = {
  u8: { bits: 8, signed: false },
  u16: { bits: 16, signed: false },
  u32: { bits: 32, signed: false },
  u64: { bits: 64, signed: false },
  i8: { bits: 8, signed: true },
  i16: { bits: 16, signed: true },
  i32: { bits: 32, signed: true },
  i64: { bits: 64, signed: true },
} as const satisfies Record<string, IntForm>
export type IntName = keyof typeof INT_FORMS

/** Integers in network byte order: kept as they are in memory, compared without swapping, converted by `.to(u16)`. */
export const WIRE_FORMS = {
  be16: { bits: 16, host: 'u16' },
  be32: { bits: 32, host: 'u32' },
  be64: { bits: 64, host: 'u64' },
} as const
export type WireName = keyof typeof WIRE_FORMS

export type Wide = 'u64' | 'i64'
/** The TypeScript value of an integer: bigint from 64 bits on. */
export type JsOfInt<N extends IntName | WireName> = N extends 'u64' | 'i64' | 'be64' ? bigint : number
