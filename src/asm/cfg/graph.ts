import { InputError } from '../../errors/index.ts'
import { CLASS, JMP, LD_IMM64, PSEUDO_CALL, PSEUDO_LD, SOURCE } from '../../uapi/index.ts'
import { isJump, jumpDistance } from '../link.ts'
import type { Slots } from '../slots.ts'

/** How control gets from one block to another. `next` is falling through. */
export type EdgeKind = 'next' | 'taken' | 'goto' | 'may_goto'

export interface Edge {
  /** Indices of blocks of the same function. */
  readonly from: number
  readonly to: number
  readonly kind: EdgeKind
}

/** Instructions that run one after the other: slots `from` (included) to `to` (not included). */
export interface Block {
  readonly index: number
  readonly from: number
  readonly to: number
  readonly successors: readonly Edge[]
  readonly predecessors: readonly Edge[]
  /** From the function's entry. */
  readonly reachable: boolean
  /** Ends in a jump through a register: its targets are not known. */
  readonly indirect: boolean
}

export interface CallSite {
  readonly slot: number
  /** The callee's first slot. `callback`: its address is taken. */
  readonly target: number
  readonly kind: 'call' | 'callback'
}

/** A jump whose target is no instruction of its function; the kernel refuses such a program. */
export interface StrayJump {
  readonly slot: number
  readonly target: number
  readonly reason: 'outside' | 'inside-wide'
}

export interface FunctionGraph {
  readonly name: string
  /** Slots `from` (included) to `to` (not included); `from` is the entry. */
  readonly from: number
  readonly to: number
  readonly blocks: readonly Block[]
  readonly calls: readonly CallSite[]
  readonly strays: readonly StrayJump[]
  /** The last instruction neither leaves nor jumps: control runs out of the function. */
  readonly fallsOut: boolean
}

export interface ControlFlowOptions {
  /** Functions known by name, in slots. Targets of calls are functions too, named `subprog_N` by slot. */
  readonly functions?: readonly { readonly name: string; readonly slot: number }[]
  /** Name of the function at slot 0 when `functions` has none there. Default `main`. */
  readonly entryName?: string
  /** Look only at these slots: from (included), to (not included). */
  readonly range?: readonly [from: number, to: number]
}

const EXIT = CLASS.jmp | JMP.exit
const CALL = CLASS.jmp | JMP.call
const GOTOX = CLASS.jmp | JMP.ja | SOURCE.x

/**
 * The control-flow graph of a program, function by function, in the order of the functions' slots. Takes any slots: what the
 * kernel would refuse (jumps out of a function, unreachable code, code without an end) is in the answer.
 * @throws InputError `cfg.function` when a named function or a range lies outside the program
 */
export function controlFlow(slots: Slots, options: ControlFlowOptions = {}): FunctionGraph[] {
  const [from, to] = options.range ?? [0, slots.length]
  if (from < 0 || to > slots.length || from > to)
    throw new InputError('cfg.function', `slots ${from} to ${to} are not inside a program of ${slots.length} slots`)
  const second = secondHalves(slots)
  const entries = new Map<number, string>()
  if (from < to) entries.set(from, options.entryName ?? 'main')
  for (const { name, slot } of options.functions ?? []) {
    if (slot < 0 || slot >= slots.length)
      throw new InputError('cfg.function', `the function ${name} starts at slot ${slot} of ${slots.length}`)
    if (slot >= from && slot < to) entries.set(slot, name)
  }
  for (let slot = from; slot < to; slot++) {
    const target = second[slot] === 1 ? undefined : calleeOf(slots, slot)?.target
    if (target === undefined || target < from || target >= to || second[target] === 1) continue
    if (!entries.has(target)) entries.set(target, `subprog_${target}`)
  }
  const starts = [...entries.keys()].sort((a, b) => a - b)
  return starts.map((start, i) => functionGraph(slots, second, entries.get(start) ?? '', start, starts[i + 1] ?? to))
}

/** 1 for the second slot of each 64-bit immediate load. */
function secondHalves(slots: Slots): Uint8Array {
  const second = new Uint8Array(slots.length)
  for (let slot = 0; slot + 1 < slots.length; slot++) if (slots.opcode[slot] === LD_IMM64) second[++slot] = 1
  return second
}

function calleeOf(slots: Slots, slot: number): CallSite | undefined {
  const opcode = slots.opcode[slot]
  const src = slots.src[slot]
  const target = slot + 1 + slots.imm[slot]
  if (opcode === CALL && src === PSEUDO_CALL.local) return { slot, target, kind: 'call' }
  if (opcode === LD_IMM64 && src === PSEUDO_LD.func) return { slot, target, kind: 'callback' }
  return undefined
}

function functionGraph(slots: Slots, second: Uint8Array, name: string, from: number, to: number): FunctionGraph {
  const { opcode, offset, imm } = slots
  const leaders = new Uint8Array(to - from)
  const calls: CallSite[] = []
  const strays: StrayJump[] = []
  leaders[0] = 1
  for (let slot = from; slot < to; slot++) {
    if (second[slot] === 1) continue
    const code = opcode[slot]
    const call = calleeOf(slots, slot)
    if (call !== undefined) calls.push(call)
    if (isJump(code)) {
      const target = slot + 1 + jumpDistance(code, offset[slot], imm[slot])
      if (target < from || target >= to) strays.push({ slot, target, reason: 'outside' })
      else if (second[target] === 1) strays.push({ slot, target, reason: 'inside-wide' })
      else leaders[target - from] = 1
      if (slot + 1 < to) leaders[slot + 1 - from] = 1
    } else if ((code === EXIT || code === GOTOX) && slot + 1 < to) leaders[slot + 1 - from] = 1
  }
  const blockAt = new Int32Array(to - from).fill(-1)
  const bounds: number[] = []
  for (let slot = from; slot < to; slot++) {
    if (leaders[slot - from] !== 1) continue
    blockAt[slot - from] = bounds.length
    bounds.push(slot)
  }
  const successors: Edge[][] = bounds.map(() => [])
  const predecessors: Edge[][] = bounds.map(() => [])
  const indirect: boolean[] = bounds.map(() => false)
  let fallsOut = false
  const connect = (block: number, target: number, kind: EdgeKind): void => {
    const other = target >= from && target < to ? blockAt[target - from] : -1
    if (other < 0) return
    const edge = { from: block, to: other, kind }
    successors[block].push(edge)
    predecessors[other].push(edge)
  }
  for (let block = 0; block < bounds.length; block++) {
    const end = bounds[block + 1] ?? to
    const last = second[end - 1] === 1 && end - 2 >= bounds[block] ? end - 2 : end - 1
    const code = opcode[last]
    const goesOn = (): void => {
      if (end < to) connect(block, end, 'next')
      else fallsOut = true
    }
    if (second[last] === 1) goesOn()
    else if (code === GOTOX) indirect[block] = true
    else if (isJump(code)) {
      const target = last + 1 + jumpDistance(code, offset[last], imm[last])
      const operation = code & 0xf0
      if (operation === JMP.ja) connect(block, target, 'goto')
      else {
        goesOn()
        connect(block, target, operation === JMP.jcond ? 'may_goto' : 'taken')
      }
    } else if (code !== EXIT) goesOn()
  }
  const reachable = reach(successors)
  const blocks = bounds.map((start, index) => ({
    index,
    from: start,
    to: bounds[index + 1] ?? to,
    successors: successors[index],
    predecessors: predecessors[index],
    reachable: reachable[index] === 1,
    indirect: indirect[index],
  }))
  return { name, from, to, blocks, calls, strays, fallsOut }
}

function reach(successors: readonly (readonly Edge[])[]): Uint8Array {
  const seen = new Uint8Array(successors.length)
  if (successors.length === 0) return seen
  const stack = [0]
  seen[0] = 1
  for (let block = stack.pop(); block !== undefined; block = stack.pop())
    for (const { to } of successors[block])
      if (seen[to] === 0) {
        seen[to] = 1
        stack.push(to)
      }
  return seen
}
