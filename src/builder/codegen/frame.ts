import type { SourceLocation } from '../../asm/index.ts'
import { UsageError } from '../../errors/index.ts'
import type { StackSlot } from '../ir/ops.ts'
import { flowOf, type MachineFunction } from './machine.ts'

/** The kernel's limit for one frame (MAX_BPF_STACK). */
export const STACK_BYTES = 512
/** The opcode of calls. */
const CALL = 0x85
/** Frames up to this stay as they are: one place a slot reads best in dumps. */
const SHARE_ABOVE = 256

export interface Frame {
  /** Bytes from the frame pointer, negative. */
  readonly offsets: Map<StackSlot, number>
  readonly sizeBytes: number
}

/**
 * Chooses a place for every used slot. Slots that are never in use at the same time share places in large frames.
 * @throws UsageError `build.stack` with the ledger when 512 bytes are not enough
 */
export function layoutFrame(
  fn: MachineFunction,
  sourceOf: (site: number) => SourceLocation | undefined = () => undefined,
): Frame {
  const used = new Set<StackSlot>()
  for (const { code } of fn.blocks)
    for (let i = 0; i < code.length; i++) {
      const { slot } = code[i]
      if (slot !== undefined) used.add(slot)
    }
  const order = [...used].sort((a, b) => b.align - a.align || b.size - a.size || a.id - b.id)
  let frame = side(order)
  if (frame.sizeBytes > SHARE_ABOVE) {
    frame = place(order, conflicts(fn, order))
  }
  if (frame.sizeBytes > STACK_BYTES) throw tooLarge(fn, frame, sourceOf)
  return frame
}

/** The ledger, largest first, and where the largest comes from. */
function tooLarge(
  fn: MachineFunction,
  frame: Frame,
  sourceOf: (site: number) => SourceLocation | undefined,
): UsageError {
  const place = (slot: StackSlot): string => {
    const at = sourceOf(slot.site)
    return at === undefined ? '' : ` (${at.file}:${at.line})`
  }
  const slots = [...frame.offsets.keys()].sort((a, b) => b.size - a.size || a.id - b.id)
  const named = slots.find(({ site }) => site >= 0)
  const at = named === undefined ? undefined : sourceOf(named.site)
  return new UsageError(
    'build.stack',
    `${fn.name}: the frame needs ${frame.sizeBytes} bytes, a BPF frame has ${STACK_BYTES}`,
    {
      details: [
        'move the largest values into a per-CPU array map: b.scratch(Type) instead of b.local(Type)',
        ...slots.slice(0, 16).map((slot) => `${slot.size} bytes: ${slot.what}${place(slot)}`),
        ...(at === undefined ? [] : [`at ${at.file}:${at.line}:${at.column}`]),
      ],
    },
  )
}

/** One place a slot, one after another. */
function side(order: readonly StackSlot[]): Frame {
  const offsets = new Map<StackSlot, number>()
  let depth = 0
  for (const slot of order) {
    const align = Math.max(slot.align, 1)
    depth = Math.ceil((depth + slot.size) / align) * align
    offsets.set(slot, -depth)
  }
  return { offsets, sizeBytes: Math.ceil(depth / 8) * 8 }
}

/** First fit: each slot as near to the frame pointer as those it conflicts with allow. */
function place(order: readonly StackSlot[], conflict: (a: number, b: number) => boolean): Frame {
  const offsets = new Map<StackSlot, number>()
  // where the slots end, from the frame pointer; the slots that have a place, by where they begin
  const ends: number[] = []
  const placed: number[] = []
  const start = (s: number): number => ends[s] - order[s].size
  let depth = 0
  for (let s = 0; s < order.length; s++) {
    const { size } = order[s]
    const align = Math.max(order[s].align, 1)
    let end = Math.ceil(size / align) * align
    for (let i = 0; i < placed.length; i++) {
      const other = placed[i]
      if (start(other) < end && end - size < ends[other] && conflict(s, other))
        end = Math.ceil((ends[other] + size) / align) * align
    }
    ends.push(end)
    let at = placed.length
    while (at > 0 && start(placed[at - 1]) > end - size) at--
    placed.splice(at, 0, s)
    offsets.set(order[s], -end)
    depth = Math.max(depth, end)
  }
  return { offsets, sizeBytes: Math.ceil(depth / 8) * 8 }
}

/** Which slots are in use at the same time: between a first and a last access that one path joins. */
function conflicts(fn: MachineFunction, order: readonly StackSlot[]): (a: number, b: number) => boolean {
  const number = new Map(order.map((slot, i) => [slot, i]))
  const words = (order.length + 31) >>> 5
  const { blocks } = fn
  // one row of words a block
  const rows = (): Uint32Array => new Uint32Array(blocks.length * words)
  const [accessed, before, after] = [rows(), rows(), rows()]
  for (let b = 0; b < blocks.length; b++) {
    const { code } = blocks[b]
    for (let i = 0; i < code.length; i++) {
      const { slot } = code[i]
      if (slot === undefined) continue
      const s = number.get(slot)!
      accessed[b * words + (s >>> 5)] |= 1 << (s & 31)
    }
  }
  const { next, isHead } = flowOf(fn)
  const merge = (into: Uint32Array, to: number, one: Uint32Array, from: number): boolean => {
    let changed = false
    for (let w = 0; w < words; w++) {
      const value = (into[to * words + w] | one[from * words + w] | accessed[from * words + w]) >>> 0
      if (value === into[to * words + w]) continue
      into[to * words + w] = value
      changed = true
    }
    return changed
  }
  // one way is enough but for loops: a block that control comes back to
  for (let again = true; again; ) {
    again = false
    for (let e = 0; e < next.length; e++) {
      const to = next[e]
      if (to >= 0 && merge(before, to, before, e >> 1) && to <= e >> 1) again = true
    }
  }
  for (let again = true; again; ) {
    again = false
    for (let e = next.length - 1; e >= 0; e--)
      if (next[e] >= 0 && merge(after, e >> 1, after, next[e]) && isHead[e >> 1] !== 0) again = true
  }
  // one row of words a slot; a pair stands in the row of one of them or of both
  const together = new Uint32Array(order.length * words)
  for (const slot of fn.pinned) {
    const s = number.get(slot)
    if (s !== undefined) together.fill(0xffff_ffff, s * words, (s + 1) * words)
  }
  const join = (a: number, b: number): void => {
    together[a * words + (b >>> 5)] |= 1 << (b & 31)
  }
  const END = Number.MAX_SAFE_INTEGER
  // slots that the block accesses and their ranges there, in the order of their first access
  const list: number[] = []
  const starts = new Int32Array(order.length)
  const ends = new Float64Array(order.length)
  const seen = new Int32Array(order.length).fill(-1)
  for (let b = 0; b < blocks.length; b++) {
    const row = b * words
    // what is in use before and behind the block is in use all through it: with all others of the block. Two of those that
    // go through met where the later one came in.
    for (let w = 0; w < words; w++) {
      const through = before[row + w] & after[row + w]
      const earlier = b === 0 ? 0 : before[row - words + w] & after[row - words + w]
      for (let bits = through & ~earlier; bits !== 0; bits &= bits - 1)
        withAllThrough(together, 32 * w + 31 - Math.clz32(bits & -bits), before, after, row, words)
      for (let bits = accessed[row + w]; bits !== 0; bits &= bits - 1)
        withAllThrough(together, 32 * w + 31 - Math.clz32(bits & -bits), before, after, row, words)
    }
    list.length = 0
    const { code } = blocks[b]
    for (let i = 0; i < code.length; i++) {
      const { slot } = code[i]
      if (slot === undefined) continue
      const s = number.get(slot)!
      const bit = 1 << (s & 31)
      const isBefore = (before[row + (s >>> 5)] & bit) !== 0
      const isAfter = (after[row + (s >>> 5)] & bit) !== 0
      if (isBefore && isAfter) continue
      if (seen[s] === b) {
        ends[s] = Math.max(ends[s], i)
        continue
      }
      seen[s] = b
      list.push(s)
      starts[s] = isBefore ? -1 : i
      ends[s] = isAfter ? END : i
    }
    // an argument's address is made just before its call: a slot lives until the next call, or the block's end
    for (const s of list) while (ends[s] < code.length - 1 && code[ends[s]].opcode !== CALL) ends[s]++
    for (let i = 0; i < list.length; i++)
      for (let j = 0; j < i; j++)
        if (starts[list[j]] <= ends[list[i]] && starts[list[i]] <= ends[list[j]]) join(list[i], list[j])
  }
  return (a, b) =>
    (together[a * words + (b >>> 5)] & (1 << (b & 31))) !== 0 ||
    (together[b * words + (a >>> 5)] & (1 << (a & 31))) !== 0
}

/** The slot is in use together with all that are in use through a block. */
function withAllThrough(
  together: Uint32Array,
  slot: number,
  before: Uint32Array,
  after: Uint32Array,
  row: number,
  words: number,
): void {
  for (let w = 0; w < words; w++) together[slot * words + w] |= before[row + w] & after[row + w]
}
