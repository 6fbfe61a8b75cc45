import { type FunctionContext, here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import type { WireName } from '../types/forms.ts'
import { be16 } from '../types/types.ts'
import type { WireField } from './fields.ts'
import { type Int, ownOperand, Wire } from './int.ts'

/** Folds a sum of 16-bit words (in memory order) to 16 bits by adding the carries: three steps hold any 64-bit sum. */
function fold(fn: FunctionContext, sum: Operand): Operand {
  const { emitter } = fn
  let rest = sum
  if (emitter.bound(rest) > 0xffff_ffffn) {
    // 64 to 33 bits
    rest = emitter.alu(
      'add',
      64,
      emitter.alu('and', 64, rest, constant(0xffff_ffff)),
      emitter.alu('rsh', 64, rest, constant(32)),
    )
    rest = emitter.alu(
      'add',
      64,
      emitter.alu('and', 64, rest, constant(0xffff)),
      emitter.alu('rsh', 64, rest, constant(16)),
    )
  }
  for (let i = 0; i < 2; i++)
    if (emitter.bound(rest) > 0xffffn)
      rest = emitter.alu(
        'add',
        64,
        emitter.alu('and', 64, rest, constant(0xffff)),
        emitter.alu('rsh', 64, rest, constant(16)),
      )
  // a sum of two 16-bit numbers plus its carry never carries again
  emitter.narrow(rest, 0xffffn)
  return rest
}

/** The internet checksum (RFC 1071) of a sum of 16-bit words as {@link HelperCalls.checksumDiff} gives it: folded and complemented. */
export function checksumFold(sum: Int<'u32'> | Int<'u64'> | Int<'i64'>): Wire<'be16'> {
  const fn = here('b.checksumFold')
  const folded = fold(fn, ownOperand(fn, sum))
  return new Wire(be16, fn.emitter.alu('xor', 64, folded, constant(0xffff)), fn)
}

/**
 * Brings a checksum field up to date after `from` became `to` (RFC 1624): no other byte of the packet is read.
 * Values of 16 or 32 bits in network order.
 */
export function checksumReplace<N extends 'be16' | 'be32'>(
  field: WireField<'be16'>,
  from: Wire<N>,
  to: Wire<NoInfer<N>>,
): void {
  const fn = here('b.checksumReplace')
  const { emitter } = fn
  const not = (value: Operand, mask: number): Operand => emitter.alu('xor', 64, value, constant(mask))
  const mask = from.type.size === 2 ? 0xffff : 0xffff_ffff
  let sum = emitter.alu(
    'add',
    64,
    not(ownOperand(fn, field as Wire<WireName>), 0xffff),
    not(ownOperand(fn, from as Wire<WireName>), mask),
  )
  sum = emitter.alu('add', 64, sum, ownOperand(fn, to as Wire<WireName>))
  const folded = fold(fn, sum)
  field.set(new Wire(be16, emitter.alu('xor', 64, folded, constant(0xffff)), fn))
}
