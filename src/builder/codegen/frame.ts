import type { SourceLocation } from '../../asm/index.ts'
import { UsageError } from '../../errors/index.ts'
import type { StackSlot } from '../ir/ops.ts'
import { type MachineFunction, successors } from './machine.ts'

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
  for (const block of fn.blocks) for (const { slot } of block.code) if (slot !== undefined) used.add(slot)
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
  let depth = 0
  order.forEach((slot, s) => {
    const align = Math.max(slot.align, 1)
    const taken: [number, number][] = []
    for (let other = 0; other < s; other++)
      if (conflict(s, other)) {
        const at = -offsets.get(order[other])!
        taken.push([at - order[other].size, at])
      }
    taken.sort((a, b) => a[0] - b[0])
    let end = Math.ceil(slot.size / align) * align
    for (const [from, to] of taken)
      if (from < end && end - slot.size < to) end = Math.ceil((to + slot.size) / align) * align
    offsets.set(slot, -end)
    depth = Math.max(depth, end)
  })
  return { offsets, sizeBytes: Math.ceil(depth / 8) * 8 }
}

/** Which slots are in use at the same time: between a first and a last access that one path joins. */
function conflicts(fn: MachineFunction, order: readonly StackSlot[]): (a: number, b: number) => boolean {
  const number = new Map(order.map((slot, i) => [slot, i]))
  const words = (order.length + 31) >>> 5
  const { blocks } = fn
  const rows = (): Uint32Array[] => blocks.map(() => new Uint32Array(words))
  const [accessed, before, after] = [rows(), rows(), rows()]
  blocks.forEach((block, b) => {
    for (const { slot } of block.code)
      if (slot !== undefined) {
        const s = number.get(slot)!
        accessed[b][s >>> 5] |= 1 << (s & 31)
      }
  })
  const index = new Map(blocks.map((block, i) => [block, i]))
  const next = blocks.map((block) => successors(block).map((it) => index.get(it)!))
  const merge = (to: Uint32Array, one: Uint32Array, two: Uint32Array): boolean => {
    let changed = false
    for (let w = 0; w < words; w++) {
      const value = (to[w] | one[w] | two[w]) >>> 0
      if (value !== to[w]) {
        to[w] = value
        changed = true
      }
    }
    return changed
  }
  for (let changed = true; changed; ) {
    changed = false
    for (let b = 0; b < blocks.length; b++)
      for (const to of next[b]) if (merge(before[to], before[b], accessed[b])) changed = true
    for (let b = blocks.length - 1; b >= 0; b--)
      for (const to of next[b]) if (merge(after[b], after[to], accessed[to])) changed = true
  }
  // one row of words a slot
  const together = new Uint32Array(order.length * words)
  const join = (a: number, b: number): void => {
    together[a * words + (b >>> 5)] |= 1 << (b & 31)
    together[b * words + (a >>> 5)] |= 1 << (a & 31)
  }
  for (const slot of fn.pinned) {
    const s = number.get(slot)
    if (s !== undefined) for (let other = 0; other < order.length; other++) join(s, other)
  }
  const END = Number.MAX_SAFE_INTEGER
  const bit = (set: Uint32Array, s: number): boolean => (set[s >>> 5] & (1 << (s & 31))) !== 0
  blocks.forEach((block, b) => {
    const into = before[b]
    const out = after[b]
    const own = accessed[b]
    // what is in use before and behind the block is in use all through it: with all others of the block
    for (let w = 0; w < words; w++)
      for (let bits = into[w] & out[w]; bits !== 0; bits &= bits - 1) {
        const s = 32 * w + 31 - Math.clz32(bits & -bits)
        for (let v = 0; v < words; v++) {
          const others = (into[v] & out[v]) | own[v]
          together[s * words + v] |= others
          for (let rest = own[v]; rest !== 0; rest &= rest - 1) {
            const o = 32 * v + 31 - Math.clz32(rest & -rest)
            together[o * words + (s >>> 5)] |= 1 << (s & 31)
          }
        }
      }
    const ranges = new Map<number, [number, number]>()
    const { code } = block
    code.forEach(({ slot }, i) => {
      if (slot === undefined) return
      const s = number.get(slot)!
      if (bit(into, s) && bit(out, s)) return
      const range = ranges.get(s)
      if (range === undefined) ranges.set(s, [bit(into, s) ? -1 : i, bit(out, s) ? END : i])
      else range[1] = Math.max(range[1], i)
    })
    // an argument's address is made just before its call: a slot lives until the next call, or the block's end
    for (const range of ranges.values()) while (range[1] < code.length - 1 && code[range[1]].opcode !== CALL) range[1]++
    const list = [...ranges]
    for (const [i, [a, [from, to]]] of list.entries())
      for (let j = 0; j < i; j++) {
        const [other, [start, end]] = list[j]
        if (from <= end && start <= to) join(a, other)
      }
  })
  return (a, b) => (together[a * words + (b >>> 5)] & (1 << (b & 31))) !== 0
}
