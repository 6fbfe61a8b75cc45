/**
 * The control-flow graph: every instruction is reachable and falls somewhere; where states are remembered (prune points),
 * loops as strongly connected components, and the registers that are live before each instruction.
 */

import { PROGRAM_TYPES } from '../../uapi/index.ts'
import { SYNC_CALLBACK_HELPERS, TIMER_SET_CALLBACK } from '../kernel/helper-ids.ts'
import { type Kfunc, kfuncAt } from '../kernel/kfunc-prototype.ts'
import {
  CALLS_CALLBACK,
  E2BIG,
  type Env,
  FORCE_CHECKPOINT,
  ITERATOR_NEXT,
  JUMP_POINT,
  PRUNE_POINT,
} from '../state/env.ts'
import { CHANGES_PACKET, ITER_NEXT, SLEEPABLE } from '../tables/kfuncs.ts'
import {
  CALL,
  EXIT,
  isHelperCall,
  isMayGoto,
  isPseudoFunc,
  JA,
  JA32,
  jumpOffset,
  LD_IMM64,
  PSEUDO_CALL,
} from './program.ts'

const DISCOVERED = 0x10
const EXPLORED = 0x20
const FALLTHROUGH = 1
const BRANCH = 2

/** Kernel functions that every program type may call are those of raw tracepoints. */
const RAW_TRACEPOINT = PROGRAM_TYPES.raw_tracepoint

function isCommonKfunc(env: Env, { name }: Kfunc): boolean {
  const facts = { type: RAW_TRACEPOINT, expectedAttachType: 0, sleepable: false }
  return env.tables.mayCallKfunc(facts, name) === true
}

class Walk {
  readonly env: Env
  readonly state: Uint8Array
  readonly stack: Int32Array
  /** What an extension calls is not looked up before its target is known. */
  readonly extension: boolean
  top = 0

  constructor(env: Env) {
    this.env = env
    this.extension = env.target?.program?.replaces === true
    this.state = new Uint8Array(env.code.length)
    this.stack = new Int32Array(env.code.length + 1)
  }

  /** True when the edge leads to an instruction that must be explored first. */
  push(from: number, to: number, edge: number): boolean {
    const { env, state } = this
    if (state[from] >= (DISCOVERED | edge)) return false
    if (to < 0 || to >= env.code.length) env.reject(`jump out of range from insn ${from} to ${to}`)
    if (edge === BRANCH) env.marks[to] |= PRUNE_POINT | JUMP_POINT
    if (state[to] === 0) {
      state[from] = DISCOVERED | edge
      state[to] = DISCOVERED
      if (this.top >= env.code.length) env.reject('', E2BIG)
      this.stack[this.top++] = to
      return true
    }
    if (state[to] === EXPLORED) state[from] = DISCOVERED | edge
    return false
  }

  call(at: number, visitCallee: boolean): boolean {
    const { env } = this
    const next = at + (env.code.op[at] === LD_IMM64 ? 2 : 1)
    if (this.push(at, next, FALLTHROUGH)) return true
    if (next < env.code.length) env.marks[next] |= PRUNE_POINT | JUMP_POINT
    if (!visitCallee) return false
    const target = at + env.code.imm[at] + 1
    env.marks[at] |= PRUNE_POINT
    const caller = env.subprograms[env.subprogramOf(at)]
    const callee = env.subprograms[env.subprogramOf(target)]
    caller.changesPacket ||= callee.changesPacket
    caller.mightSleep ||= callee.mightSleep
    return this.push(at, target, BRANCH)
  }

  /** True while there is more to explore below the instruction. */
  visit(i: number): boolean {
    const { env } = this
    const { code, marks } = env
    const op = code.op[i]
    if (isPseudoFunc(code, i)) return this.call(i, true)
    const cls = op & 7
    if (cls !== 5 && cls !== 6) return this.push(i, i + (op === LD_IMM64 ? 2 : 1), FALLTHROUGH)
    switch (op & 0xf0) {
      case 0x90:
        return false
      case 0x80: {
        if (isHelperCall(code, i)) {
          const id = code.imm[i]
          if (id === TIMER_SET_CALLBACK) marks[i] |= PRUNE_POINT
          if (SYNC_CALLBACK_HELPERS.has(id)) marks[i] |= CALLS_CALLBACK | FORCE_CHECKPOINT | PRUNE_POINT | JUMP_POINT
          const proto = env.tables.helper(env.facts, id)
          const subprogram = env.subprograms[env.subprogramOf(i)]
          if (proto?.mightSleep === true && !this.extension) subprogram.mightSleep = true
          if (this.extension ? env.tables.changesPacket(id) : proto?.changesPacket === true)
            subprogram.changesPacket = true
        }
        const kfunc = kfuncAt(env, i)
        if (kfunc?.allowed === true && (!this.extension || isCommonKfunc(env, kfunc))) {
          if ((kfunc.flags & ITER_NEXT) !== 0) marks[i] |= PRUNE_POINT | FORCE_CHECKPOINT | ITERATOR_NEXT
          if (kfunc.name === 'bpf_wq_set_callback_impl') marks[i] |= PRUNE_POINT
          if (kfunc.name === 'bpf_rbtree_add_impl')
            marks[i] |= CALLS_CALLBACK | FORCE_CHECKPOINT | PRUNE_POINT | JUMP_POINT
          if (CHANGES_PACKET.has(kfunc.name)) env.subprograms[env.subprogramOf(i)].changesPacket = true
          if ((kfunc.flags & SLEEPABLE) !== 0) env.subprograms[env.subprogramOf(i)].mightSleep = true
        }
        return this.call(i, code.src[i] === PSEUDO_CALL)
      }
      case 0x00: {
        const target = i + jumpOffset(code, i) + 1
        if (this.push(i, target, FALLTHROUGH)) return true
        marks[target] |= PRUNE_POINT | JUMP_POINT
        return false
      }
      default:
        marks[i] |= PRUNE_POINT
        if (isMayGoto(code, i)) marks[i] |= FORCE_CHECKPOINT
        if (this.push(i, i + 1, FALLTHROUGH)) return true
        return this.push(i, i + code.off[i] + 1, BRANCH)
    }
  }

  /** Explores everything that an instruction leads to. */
  from(start: number): void {
    if (this.state[start] === EXPLORED) return
    this.state[start] = DISCOVERED
    this.stack[this.top++] = start
    while (this.top > 0) {
      const at = this.stack[this.top - 1]
      if (this.visit(at)) continue
      this.state[at] = EXPLORED
      this.top--
    }
  }
}

/** Walks the graph from the first instruction, then from the exception callback (check_cfg). */
export function checkCfg(env: Env): void {
  const walk = new Walk(env)
  const n = env.code.length
  walk.from(0)
  if (env.exceptionCallback !== 0) walk.from(env.subprograms[env.exceptionCallback].start)
  for (let i = 0; i < n; i++) {
    if (walk.state[i] !== EXPLORED) env.reject(`unreachable insn ${i}`)
    if (env.code.op[i] === LD_IMM64) {
      if (walk.state[i + 1] !== 0) env.reject(`jump into the middle of ldimm64 insn ${i}`)
      i++
    }
  }
}

/** Successors of the last {@link successors} call. */
export const next: [number, number] = [0, 0]

/** Writes an instruction's successors inside its subprogram to {@link next} and answers how many there are. */
export function successors(env: Env, i: number): number {
  const op = env.code.op[i]
  const cls = op & 7
  if (cls === 5 || cls === 6) {
    const kind = op & 0xf0
    if (op === EXIT || kind === 0x90) return 0
    if (op === JA || op === JA32) {
      next[0] = i + jumpOffset(env.code, i) + 1
      return 1
    }
    next[0] = i + 1
    if (kind === 0x80) return 1
    next[1] = i + jumpOffset(env.code, i) + 1
    return 2
  }
  next[0] = i + (op === LD_IMM64 ? 2 : 1)
  return 1
}

/** Instructions of each subprogram, successors first. */
export function computePostorder(env: Env): void {
  const n = env.code.length
  const order = new Int32Array(n)
  const state = new Uint8Array(n)
  const stack = new Int32Array(n + 1)
  let filled = 0
  for (const subprogram of env.subprograms) {
    subprogram.postorderStart = filled
    let top = 0
    stack[top++] = subprogram.start
    do {
      const at = stack[top - 1]
      state[at] |= DISCOVERED
      if ((state[at] & EXPLORED) !== 0) {
        order[filled++] = at
        top--
        continue
      }
      const count = successors(env, at)
      for (let s = 0; s < count; s++) {
        const to = next[s]
        if (state[to] === 0) {
          stack[top++] = to
          state[to] |= DISCOVERED
        }
      }
      state[at] |= EXPLORED
    } while (top > 0)
    subprogram.postorderEnd = filled
  }
  env.postorder = order.subarray(0, filled)
}

/** Numbers the loops: Tarjan's strongly connected components, without recursion. */
export function computeLoops(env: Env): void {
  const n = env.code.length
  const offStack = 0xffffffff
  const stack = new Uint32Array(n)
  const pre = new Uint32Array(n)
  const low = new Uint32Array(n)
  const dfs = new Uint32Array(n + 1)
  let preorder = 1
  let loop = 1
  for (let i = 0; i < n; i++) {
    if (pre[i] !== 0) continue
    let onStack = 0
    let depth = 1
    dfs[0] = i
    walk: while (depth > 0) {
      const w = dfs[depth - 1]
      if (pre[w] === 0) {
        low[w] = preorder
        pre[w] = preorder++
        stack[onStack++] = w
      }
      // The second half of a 64-bit immediate is no instruction.
      const count = env.code.op[w] === 0 ? 0 : successors(env, w)
      for (let s = 0; s < count; s++) {
        const to = next[s]
        if (pre[to] !== 0) {
          if (low[to] < low[w]) low[w] = low[to]
        } else {
          dfs[depth++] = to
          continue walk
        }
      }
      if (low[w] < pre[w]) {
        depth--
        continue
      }
      let isLoop = stack[onStack - 1] !== w
      for (let s = 0; s < count; s++) if (next[s] === w) isLoop = true
      let member: number
      do {
        member = stack[--onStack]
        low[member] = offStack
        if (isLoop) env.loops[member] = loop
      } while (member !== w)
      if (isLoop) loop++
      depth--
    }
  }
}

const CALLER_SAVED = 0x3f

/** What an instruction reads (low 16 bits) and defines (high 16 bits). */
function useAndDefinition(env: Env, i: number): number {
  const { op: ops, dst, src, imm } = env.code
  const op = ops[i]
  const d = 1 << dst[i]
  const s = 1 << src[i]
  switch (op & 7) {
    case 0:
      return op === LD_IMM64 ? d << 16 : 0xffff
    case 1:
      return (d << 16) | s
    case 2:
      return d
    case 3:
      if ((op & 0xe0) !== 0xc0) return d | s
      if (imm[i] === 0xf1) return (1 << 16) | 1 | d | s
      if (imm[i] === 0x100) return (d << 16) | s
      if (imm[i] === 0x110) return d | s
      return d | s | ((imm[i] & 1) !== 0 ? s << 16 : 0)
    case 4:
    case 7:
      if ((op & 0xf0) === 0xd0) return (d << 16) | d
      if ((op & 0xf0) === 0xb0) return (d << 16) | ((op & 8) !== 0 ? s : 0)
      return (d << 16) | d | ((op & 8) !== 0 ? s : 0)
    default:
      switch (op & 0xf0) {
        case 0x00:
        case 0xe0:
          return 0
        case 0x90:
          return 1
        case 0x80: {
          let used = CALLER_SAVED & ~1
          const proto = op === CALL && src[i] === 0 ? env.tables.helper(env.facts, imm[i]) : undefined
          if (proto !== undefined) {
            let count = 0
            while (count < 5 && proto.arguments[count] !== undefined && proto.arguments[count].base !== 'ARG_DONTCARE')
              count++
            used = ((1 << count) - 1) << 1
          }
          const kfunc = kfuncAt(env, i)
          if (kfunc?.allowed === true) used = ((1 << kfunc.params.length) - 1) << 1
          return (CALLER_SAVED << 16) | used
        }
        default:
          return d | ((op & 8) !== 0 ? s : 0)
      }
  }
}

/** Registers that may still be read, before each instruction (a backward data flow over the graph). */
export function computeLiveRegisters(env: Env): void {
  const n = env.code.length
  const facts = new Uint32Array(n)
  for (let i = 0; i < n; i++) facts[i] = useAndDefinition(env, i)
  const live = env.liveBefore
  let changed = true
  while (changed) {
    changed = false
    for (const i of env.postorder) {
      let out = 0
      const count = successors(env, i)
      for (let s = 0; s < count; s++) out |= live[next[s]]
      const before = (out & ~(facts[i] >>> 16)) | (facts[i] & 0xffff)
      if (before !== live[i]) {
        live[i] = before
        changed = true
      }
    }
  }
  if (env.log.states) logLiveRegisters(env)
}

function logLiveRegisters(env: Env): void {
  env.say('Live regs before insn:')
  for (let i = 0; i < env.code.length; i++) {
    const loop = env.loops[i] === 0 ? '    ' : `${String(env.loops[i]).padStart(3)} `
    let registers = ''
    for (let r = 0; r < 10; r++) registers += (env.liveBefore[i] & (1 << r)) !== 0 ? r : '.'
    env.say(`${loop}${String(i).padStart(3)}: ${registers} ${env.instructionText(i)}`)
    if (env.code.op[i] === LD_IMM64) i++
  }
}
