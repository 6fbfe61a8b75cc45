import { buildError, type FunctionContext, here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { materialize, unwritten } from '../maps/keys.ts'
import { i64, type Type, u32 } from '../types/types.ts'
import { Bool } from '../values/bool.ts'
import { Int, type Like, operandOf, ownOperand, type Wire } from '../values/int.ts'
import { Maybe } from '../values/maybe.ts'
import { PLACE, type Place, placeOf } from '../values/place.ts'
import { type InitOf, typeOfView, type View, view } from '../values/views.ts'
import { helper } from './helper-calls.ts'

// What kinds of programs that see packets share: each function is one call of a helper. All of them take the context.

/** Memory that a program can reach: a struct, bytes, an array. */
export type AnyView = { readonly [PLACE]: Place }

/** A helper that may move or change the packet: every header taken before is gone afterwards. */
export function changing(what: string, name: string, context: Operand, ...args: Operand[]): Int<'i64'> {
  const fn = here(what)
  const raw = fn.emitter.call(helper(name), [context, ...args], { changesPacket: true })
  fn.emitter.packetChanged()
  return new Int(i64, raw, fn)
}
/** A signed or unsigned number of bytes. */
export function bytesOperand(fn: FunctionContext, count: number | Int<'i32'>): Operand {
  if (typeof count === 'number') {
    if (!Number.isInteger(count) || Math.abs(count) > 0xffff)
      throw buildError('build.literal', `${count} bytes`, 'give a whole number of bytes, at most 65,535')
    return constant(count)
  }
  return ownOperand(fn, count)
}

/** Copies packet bytes at an offset into memory of its own; missing when the packet is shorter. */
export function loadBytes<T extends Type>(
  fn: FunctionContext,
  name: 'skb_load_bytes' | 'xdp_load_bytes',
  context: Operand,
  offset: Like<'u32'>,
  type: T,
): Maybe<View<T, 'shared'>> {
  const base = unwritten(fn, type, 'bytes of the packet')
  const at = operandOf(fn, u32, offset)
  const args = [context, at, base, constant(type.size)]
  const result = fn.emitter.call(helper(name), args)
  const { site } = fn.emitter
  const there = new Bool({ kind: 'compare', cmp: 'eq', width: 64, a: result, b: constant(0), site }, fn)
  const region = typeof base === 'object' && base.kind === 'frame' ? (`stack${base.slot.id}` as const) : 'map'
  return new Maybe(fn, there, () => view<T, 'shared'>(type, { fn, region, base, offset: 0, access: 'shared' }))
}

/** Writes a value into the packet at an offset. */
export function storeBytes<T extends Type>(
  fn: FunctionContext,
  name: 'skb_store_bytes' | 'xdp_store_bytes',
  context: Operand,
  offset: Like<'u32'>,
  type: T,
  value: InitOf<T>,
  flags: number | undefined,
): Int<'i64'> {
  const from = materialize(fn, type, value, 'bytes for the packet')
  const rest = flags === undefined ? [] : [constant(flags)]
  return changing(name, name, context, operandOf(fn, u32, offset), from, constant(type.size), ...rest)
}

/** The address and size of memory for a helper; nothing is (null, 0). */
function memory(fn: FunctionContext, from: AnyView | undefined): readonly [Operand, Operand] {
  if (from === undefined) return [constant(0), constant(0)]
  const type = typeOfView(from)
  if (type.size % 4 !== 0)
    throw buildError('build.checksum', `a checksum over ${type.size} bytes`, 'the kernel takes multiples of four bytes')
  const place = placeOf(from)
  return [fn.emitter.address(place.base, place.offset), constant(type.size)]
}

export interface ChecksumDiff {
  /** What the bytes were. */
  readonly from?: AnyView
  /** What they are now. */
  readonly to?: AnyView
  /** An unfolded sum to start with. */
  readonly seed?: Like<'u32'>
}
/** bpf_csum_diff: the unfolded sum of `to` minus `from`. */
export function checksumDiff({ from, to, seed }: ChecksumDiff): Int<'i64'> {
  const fn = here('b.checksumDiff')
  const args = [...memory(fn, from), ...memory(fn, to), operandOf(fn, u32, seed ?? 0)]
  return new Int(i64, fn.emitter.call(helper('csum_diff'), args), fn)
}

/** What a checksum must follow: a value that became another one, or an unfolded sum. */
export type ChecksumChange =
  | { readonly from: Wire<'be16'>; readonly to: Wire<'be16'> }
  | { readonly from: Wire<'be32'>; readonly to: Wire<'be32'> }
  | { readonly sum: Int<'i64'> }
export function replaceChecksum(
  name: 'l3_csum_replace' | 'l4_csum_replace',
  context: Operand,
  offset: Like<'u32'>,
  change: ChecksumChange,
  flags: number,
): Int<'i64'> {
  const fn = here(name)
  const at = operandOf(fn, u32, offset)
  if ('sum' in change)
    return changing(name, name, context, at, constant(0), ownOperand(fn, change.sum), constant(flags))
  const { from, to } = change
  const size = constant(flags | from.type.size)
  return changing(name, name, context, at, ownOperand(fn, from), ownOperand(fn, to), size)
}
