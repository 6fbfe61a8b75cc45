/**
 * The simulation: instruction by instruction down one path, then the branches that wait, until every path ended or was
 * found safe (do_check of Linux 6.18).
 */

import { checkFunctionCall } from '../calls/function-call.ts'
import { describeMain, prepareGlobal } from '../calls/global-functions.ts'
import { checkHelperCall } from '../calls/helper-call.ts'
import { allowedUnderLock, checkKfuncCall } from '../calls/kfunc-call.ts'
import { SPIN_UNLOCK } from '../kernel/helper-ids.ts'
import { writeInstructionState, writeSourceLine, writeState } from '../log/print.ts'
import { JA32, PSEUDO_CALL, PSEUDO_KFUNC_CALL } from '../program/program.ts'
import { StackLiveness } from '../program/stack-liveness.ts'
import { markKnown } from '../scalars/bounds.ts'
import { E2BIG, EFAULT, type Env, JUMP_POINT, PROCESSED_LIMIT, PRUNE_POINT } from '../state/env.ts'
import { pushHistory } from '../state/precision.ts'
import { endPath, isVisited } from '../state/prune.ts'
import { CTX, TYPE } from '../state/registers.ts'
import { MAIN_CALLSITE, registerBase, State } from '../state/state.ts'
import { checkAlu } from './alu-instruction.ts'
import { checkBranch } from './branch.ts'
import { checkExit } from './exit.ts'
import {
  checkAtomic,
  checkLoad,
  checkLoadAbsolute,
  checkLoadImmediate,
  checkStore,
  checkStoreImmediate,
} from './transfer.ts'

/** What an instruction leaves: the path goes on, it ended, or a function returned. */
type Step = 'next' | 'jumped' | 'returned' | 'ended'

function call(env: Env, liveness: StackLiveness, i: number): Step {
  const { code } = env
  const op = code.op[i]
  const src = code.src[i]
  if (
    (op & 8) !== 0 ||
    (src !== PSEUDO_KFUNC_CALL && code.off[i] !== 0) ||
    src > PSEUDO_KFUNC_CALL ||
    code.dst[i] !== 0 ||
    (op & 7) === 6
  )
    env.reject('BPF_CALL uses reserved fields')
  if (env.state.activeLocks > 0) {
    const kfunc = src === PSEUDO_KFUNC_CALL ? env.kfuncs.get(code.imm[i]) : undefined
    if (
      (src === 0 && code.imm[i] !== SPIN_UNLOCK) ||
      (src === PSEUDO_KFUNC_CALL && !(kfunc !== undefined && allowedUnderLock(kfunc)))
    )
      env.reject('function calls are not allowed while holding a lock')
  }
  if (src === PSEUDO_CALL) checkFunctionCall(env, liveness, i)
  else if (src === PSEUDO_KFUNC_CALL) {
    // A weak function that is not there: refused only if the walk ends well.
    if (code.imm[i] === 0) env.callsNothing = true
    else if (checkKfuncCall(env, liveness, i)) return 'ended'
  } else checkHelperCall(env, liveness, i)
  env.scratchRegister(0)
  return 'next'
}

function jump(env: Env, liveness: StackLiveness, i: number): Step {
  const { code } = env
  const op = code.op[i]
  env.jumps++
  switch (op & 0xf0) {
    case 0x80:
      return call(env, liveness, i)
    case 0x00:
      if (
        (op & 8) !== 0 ||
        code.src[i] !== 0 ||
        code.dst[i] !== 0 ||
        (op === JA32 ? code.off[i] !== 0 : code.imm[i] !== 0)
      )
        env.reject('BPF_JA uses reserved fields')
      env.insn = i + 1 + (op === JA32 ? code.imm[i] : code.off[i])
      return 'jumped'
    case 0x90:
      if ((op & 8) !== 0 || code.imm[i] !== 0 || code.src[i] !== 0 || code.dst[i] !== 0 || (op & 7) === 6)
        env.reject('BPF_EXIT uses reserved fields')
      return checkExit(env, liveness) ? 'ended' : 'returned'
    default:
      checkBranch(env, i)
      return 'next'
  }
}

function step(env: Env, liveness: StackLiveness, i: number): Step {
  const { code } = env
  const op = code.op[i]
  switch (op & 7) {
    case 4:
    case 7:
      checkAlu(env, i)
      return 'next'
    case 1:
      checkLoad(env, liveness, i, false, true)
      return 'next'
    case 3:
      if ((op & 0xe0) === 0xc0) checkAtomic(env, liveness, i)
      else {
        if ((op & 0xe0) !== 0x60 || code.imm[i] !== 0) env.reject('BPF_STX uses reserved fields')
        checkStore(env, liveness, i, false)
      }
      return 'next'
    case 2:
      checkStoreImmediate(env, liveness, i)
      return 'next'
    case 5:
    case 6:
      return jump(env, liveness, i)
    default:
      if ((op & 0xe0) === 0x20 || (op & 0xe0) === 0x40) checkLoadAbsolute(env, liveness, i)
      else if ((op & 0xe0) === 0) {
        if (op !== 0x18) env.reject('invalid BPF_LD_IMM insn')
        checkLoadImmediate(env, i)
        env.insn++
      } else env.reject('invalid BPF_LD mode')
      return 'next'
  }
}

function writeInstruction(env: Env): void {
  if ((env.scratchedRegisters | env.scratchedLow | env.scratchedHigh) !== 0) writeInstructionState(env)
  writeSourceLine(env, env.insn)
  const text = `${env.insn}: ${env.instructionText(env.insn)}\n`
  env.log.write(text)
  env.printWidth = text.length
  env.printPosition = env.log.end
}

function run(env: Env, liveness: StackLiveness): void {
  const n = env.code.length
  const { log, marks } = env
  let previous = -1
  let announce = false
  for (;;) {
    env.hasHistory = false
    env.previousInsn = previous
    if (env.insn >= n) env.reject(`invalid insn idx ${env.insn} insn_cnt ${n}`, EFAULT)
    if (++env.processed > PROCESSED_LIMIT)
      env.reject(`BPF program is too large. Processed ${env.processed} insn`, E2BIG)
    const state = env.state
    state.lastInsn = previous
    state.insn = env.insn
    let ended = false
    if ((marks[env.insn] & PRUNE_POINT) !== 0 && isVisited(env, liveness, env.insn)) {
      if (log.verbose) log.write(announce ? `\nfrom ${previous} to ${env.insn}: safe\n` : `${env.insn}: safe\n`)
      ended = true
    } else {
      if ((marks[env.insn] & JUMP_POINT) !== 0) pushHistory(env, state, 0, undefined)
      if (log.states && announce) {
        log.write(`\nfrom ${previous} to ${env.insn}:`)
        writeState(env, state, state.current, true)
        announce = false
      }
      if (log.verbose) writeInstruction(env)
      const at = env.insn
      previous = at
      liveness.beginWrites(at)
      const outcome = step(env, liveness, at)
      liveness.commitWrites()
      if (outcome === 'next') env.insn++
      else if (outcome === 'returned') announce = true
      else ended = outcome === 'ended'
    }
    if (!ended) continue
    env.scratchAll()
    endPath(env, state)
    liveness.update()
    const next = env.pending.pop()
    if (next === undefined) return
    env.pool.free(state)
    env.state = next.state
    env.insn = next.insn
    previous = next.previous
    if (!log.states) log.reset(next.log)
    announce = true
  }
}

/** Verifies the main program (0) or a global function on its own (do_check_common). */
export function checkFunction(env: Env, index: number): void {
  const state = new State()
  const subprogram = env.subprograms[index]
  subprogram.walked = true
  env.previousLine = -1
  state.branches = 1
  state.sleepable = env.facts.sleepable
  state.frames.push(env.pool.newFrame(MAIN_CALLSITE, 0, index))
  state.firstInsn = subprogram.start
  env.state = state
  env.insn = subprogram.start
  env.explored = []
  // 6.18 goes on counting: a peak is that of all functions together.
  env.visits.clear()
  env.scratchAll()
  if (index > 0 || env.target?.program?.replaces === true) {
    if (env.log.verbose) env.say(`Validating ${subprogram.name}() func#${index}...`)
    prepareGlobal(env, index)
  } else {
    describeMain(env)
    const b = registerBase(1)
    markKnown(state.frames[0].m, b, 0, 0)
    state.frames[0].m[b + TYPE] = CTX
  }
  run(env, (env.liveness ??= new StackLiveness(env)))
  for (const list of env.explored) if (list !== undefined) for (const checkpoint of list) env.pool.free(checkpoint)
  env.explored = []
  if (!env.log.states) env.log.clear()
}
