import { ALU, SIZE } from '../../uapi/index.ts'
import type { AluOperation, Comparison, LoadSize } from '../ir/ops.ts'

export const SIZES: Record<LoadSize, number> = { 1: SIZE.b, 2: SIZE.h, 4: SIZE.w, 8: SIZE.dw }
export const ALU_CODE: Record<AluOperation, number> = {
  add: ALU.add,
  sub: ALU.sub,
  mul: ALU.mul,
  div: ALU.div,
  mod: ALU.mod,
  sdiv: ALU.div,
  smod: ALU.mod,
  or: ALU.or,
  and: ALU.and,
  xor: ALU.xor,
  lsh: ALU.lsh,
  rsh: ALU.rsh,
  arsh: ALU.arsh,
}
/** Operations whose operands may change places. */
export const COMMUTES = new Set<AluOperation>(['add', 'mul', 'and', 'or', 'xor'])
/** The comparison of `b` with `a`. */
export const MIRRORED: Record<Comparison, Comparison> = {
  eq: 'eq',
  ne: 'ne',
  set: 'set',
  gt: 'lt',
  lt: 'gt',
  ge: 'le',
  le: 'ge',
  sgt: 'slt',
  slt: 'sgt',
  sge: 'sle',
  sle: 'sge',
}
