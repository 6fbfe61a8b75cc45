import type { IntName } from '../types/forms.ts'
import type { IntType } from '../types/types.ts'

/** The largest register form of an integer type. */
export const maxOf = (type: IntType<IntName>): bigint =>
  type.size === 8 ? (1n << 64n) - 1n : type.signed ? 0xffff_ffffn : (1n << BigInt(8 * type.size)) - 1n
