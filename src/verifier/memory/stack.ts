/**
 * Reads and writes of the stack: spills and fills of whole registers, bytes otherwise; at fixed and at variable offsets
 * (check_stack_read/write of Linux 6.18). The frame of a pointer may be an outer one.
 */

import { writeSourceLine } from '../log/print.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import {
  isConst,
  isNull,
  isZero,
  markConstant,
  markImmediate,
  markUnknown,
  smaxNumber,
  sminNumber,
  valueNumber,
  width,
} from '../scalars/bounds.ts'
import { tnumText } from '../scalars/tnum.ts'
import { EACCES, EFAULT, EINVAL, type Env } from '../state/env.ts'
import { markPrecise, pushHistory } from '../state/precision.ts'
import {
  ADD_CONST,
  DYNPTR_SLOT,
  FRAME,
  ID,
  INVALID,
  IRQ_SLOT,
  ITER_SLOT,
  isSpillable,
  MISC,
  NOT_INIT,
  OFF,
  SCALAR,
  SPILL,
  STACK,
  TYPE,
  WORDS,
  ZERO,
} from '../state/registers.ts'
import { type Frame, isSpilled, MAX_STACK, registerBase, slotBase, stackAccessFlags } from '../state/state.ts'
import { destroyDynptr } from './dynptr-slots.ts'

const MAX_VARIABLE_OFFSET = 1 << 29
const FASTCALL_OFF = -0x8000

/** What a helper's arguments leave for the checks after them. */
export interface RawAccess {
  rawMode: boolean
  accessSize: number
  register: number
}

export function variableText(frame: Frame, b: number): string {
  return tnumText(frame.u[b / 2 + 2], frame.u[b / 2 + 3])
}

/** Gives a scalar an id before it is copied, so that copies learn from each other. */
export function assignScalarId(env: Env, m: Int32Array, b: number): void {
  if (m[b + TYPE] !== SCALAR) return
  if ((m[b + ID] & ADD_CONST) !== 0) {
    m[b + ID] = 0
    m[b + OFF] = 0
  }
  if (m[b + ID] === 0 && !isConst(m, b)) m[b + ID] = env.newId()
}

export function copyRegister(m: Int32Array, to: number, n: Int32Array, from: number): void {
  for (let i = 0; i < WORDS; i++) m[to + i] = n[from + i]
}

/** An access outside a fastcall pattern to its slots: the pattern is an ordinary one then. */
function checkFastcall(env: Env, subprogramIndex: number, insn: number, off: number): void {
  const subprogram = env.subprograms[subprogramIndex]
  if (subprogram.fastcallOffset <= off || env.fastcall[insn] !== 0) return
  subprogram.fastcallOffset = FASTCALL_OFF
  env.fastcall.fill(0, subprogram.start, subprogram.end)
  env.fastcallSpills.fill(0, subprogram.start, subprogram.end)
}

/** The access stays inside the stack; makes room for it (check_stack_access_within_bounds). */
export function checkStackBounds(env: Env, register: number, off: number, size: number, write: boolean): void {
  const frame = env.frame
  const b = registerBase(register)
  const m = frame.m
  const what = write ? ' write to' : ' read from'
  const known = isConst(m, b)
  let min: number
  let max: number
  if (known) {
    min = valueNumber(m, b) + off
    max = min + size
  } else {
    if (smaxNumber(m, b) >= MAX_VARIABLE_OFFSET || sminNumber(m, b) <= -MAX_VARIABLE_OFFSET)
      env.reject(`invalid unbounded variable-offset${what} stack R${register}`, EACCES)
    min = sminNumber(m, b) + off
    max = smaxNumber(m, b) + off + size
  }
  if (min < -MAX_STACK || min > -1 || max > 0 || size < 0) {
    if (known) env.reject(`invalid${what} stack R${register} off=${min} size=${size}`, EACCES)
    env.reject(
      `invalid variable-offset${what} stack R${register} var_off=${variableText(frame, b)} off=${off} size=${size}`,
      EACCES,
    )
  }
  const slots = Math.ceil(-min / 8)
  const target = env.pool.growStack(env.state, m[b + FRAME], slots)
  const subprogram = env.subprograms[target.subprogram]
  if (subprogram.stackDepth < slots * 8) subprogram.stackDepth = slots * 8
}

function scrub(frame: Frame, slot: number): void {
  for (let j = 0; j < 8; j++) if (frame.types[slot * 8 + j] !== INVALID) frame.types[slot * 8 + j] = MISC
}

function isSpecial(frame: Frame, slot: number): boolean {
  const type = frame.types[slot * 8 + 7]
  return type === SPILL || type === DYNPTR_SLOT || type === ITER_SLOT || type === IRQ_SLOT
}

function save(frame: Frame, slot: number, from: Int32Array, b: number, size: number): void {
  copyRegister(frame.m, slotBase(slot), from, b)
  const at = slot * 8
  for (let j = 0; j < 8; j++) {
    if (j >= 8 - size) frame.types[at + j] = SPILL
    else if (frame.types[at + j] !== ZERO && frame.types[at + j] !== INVALID) frame.types[at + j] = MISC
  }
}

const immediate = new Int32Array(WORDS)

/** A write at a fixed offset; `value` is a register or -1 for unknown bytes or the instruction's immediate. */
function writeFixed(
  env: Env,
  liveness: StackLiveness,
  frameIndex: number,
  off: number,
  size: number,
  value: number,
): void {
  const frame = env.state.frames[frameIndex]
  const current = env.frame
  const slot = (-off - 1) >> 3
  const insn = env.insn
  const isStore = (env.code.op[insn] & 0xe7) === 0x62
  const aligned = off % 8 === 0
  const b = value >= 0 ? registerBase(value) : 0
  const m = current.m
  destroyDynptr(env, liveness, frame, slot)
  if (aligned && size === 8) liveness.markWrite(frameIndex, slot)
  checkFastcall(env, frame.subprogram, insn, off)
  env.scratchSlot(slot)
  if (value >= 0 && aligned && m[b + TYPE] === SCALAR) {
    const fits = width(m, b) <= size * 8
    if (fits) assignScalarId(env, m, b)
    save(frame, slot, m, b, size)
    if (!fits) {
      frame.m[slotBase(slot) + ID] = 0
      if ((m[b + ID] & ADD_CONST) !== 0) frame.m[slotBase(slot) + OFF] = 0
    }
  } else if (value < 0 && aligned && isStore) {
    markImmediate(immediate, 0, env.code.imm[insn])
    save(frame, slot, immediate, 0, size)
  } else if (value >= 0 && isSpillable(m[b + TYPE])) {
    if (size !== 8) {
      writeSourceLine(env, insn)
      env.reject('invalid size of register spill', EACCES)
    }
    if (frame !== current && m[b + TYPE] === STACK)
      env.reject('cannot spill pointers to stack into stack frame of the caller')
    save(frame, slot, m, b, size)
  } else {
    writeBytes(env, frame, off, size, value, isStore)
    return
  }
  pushHistory(env, env.state, stackAccessFlags(frameIndex, slot), undefined)
}

function writeBytes(env: Env, frame: Frame, off: number, size: number, value: number, isStore: boolean): void {
  const slot = (-off - 1) >> 3
  frame.m[slotBase(slot) + TYPE] = NOT_INIT
  if (isSpecial(frame, slot)) scrub(frame, slot)
  let type = MISC
  const zero = value >= 0 ? isNull(env.frame.m, registerBase(value)) : isStore && env.code.imm[env.insn] === 0
  if (zero) {
    if (value >= 0) markPrecise(env, value)
    type = ZERO
  }
  for (let i = 0; i < size; i++) frame.types[slot * 8 + ((-off - 1 - i) & 7)] = type
}

function writeVariable(
  env: Env,
  liveness: StackLiveness,
  frameIndex: number,
  register: number,
  off: number,
  size: number,
  value: number,
): void {
  const current = env.frame
  const frame = env.state.frames[frameIndex]
  const b = registerBase(register)
  const min = sminNumber(current.m, b) + off
  const max = smaxNumber(current.m, b) + off + size
  const isStore = (env.code.op[env.insn] & 0xe7) === 0x62
  const zero = value >= 0 ? isNull(current.m, registerBase(value)) : isStore && env.code.imm[env.insn] === 0
  let zeroUsed = false
  checkFastcall(env, frame.subprogram, env.insn, min)
  for (let i = min; i < max; i++) {
    const at = -i - 1
    const slot = at >> 3
    const type = frame.types[at]
    env.scratchSlot(slot)
    if (type === DYNPTR_SLOT) destroyDynptr(env, liveness, frame, slot)
    const spill = slotBase(slot)
    if (zero && type === SPILL && isSpilled(frame, slot) && isNull(frame.m, spill)) {
      zeroUsed = true
      continue
    }
    frame.m[spill + TYPE] = NOT_INIT
    if (isSpecial(frame, slot)) scrub(frame, slot)
    if (zero && frame.types[at] === ZERO) zeroUsed = true
    else frame.types[at] = MISC
  }
  if (zeroUsed && value >= 0) markPrecise(env, value)
}

export function checkStackWrite(
  env: Env,
  liveness: StackLiveness,
  register: number,
  off: number,
  size: number,
  value: number,
): void {
  const m = env.frame.m
  const b = registerBase(register)
  if (isConst(m, b)) writeFixed(env, liveness, m[b + FRAME], off + valueNumber(m, b), size, value)
  else writeVariable(env, liveness, m[b + FRAME], register, off, size, value)
}

/** Bytes that are no spilled register, into a register: zero when all are. */
function readBytes(env: Env, frame: Frame, min: number, max: number, to: number): void {
  let zeros = true
  for (let i = min; i < max; i++) {
    env.scratchSlot((-i - 1) >> 3)
    if (frame.types[-i - 1] !== ZERO) {
      zeros = false
      break
    }
  }
  const b = registerBase(to)
  if (zeros) markConstant(env.frame.m, b, 0, 0)
  else markUnknown(env.frame.m, b)
}

function readFixed(env: Env, liveness: StackLiveness, frameIndex: number, off: number, size: number, to: number): void {
  const frame = env.state.frames[frameIndex]
  const current = env.frame
  const slot = (-off - 1) >> 3
  const types = frame.types
  const spill = slotBase(slot)
  env.scratchSlot(slot)
  checkFastcall(env, current.subprogram, env.insn, off)
  liveness.markRead(frameIndex, env.insn, slot)
  if (!isSpilled(frame, slot)) {
    checkReadable(env, frame, off, size)
    if (to >= 0) readBytes(env, frame, off, off + size, to)
    return
  }
  let spillSize = 1
  for (let j = 7; j > 0 && types[slot * 8 + j - 1] === SPILL; j--) spillSize++
  if (size !== 8 || spillSize !== 8) {
    if (frame.m[spill + TYPE] !== SCALAR) {
      writeSourceLine(env, env.insn)
      env.reject('invalid size of register fill', EACCES)
    }
    if (to < 0) return
    if (!fillNarrow(env, frame, off, size, spillSize, to)) return
  } else if (to >= 0) {
    assignScalarId(env, frame.m, spill)
    copyRegister(current.m, registerBase(to), frame.m, spill)
  }
  pushHistory(env, env.state, stackAccessFlags(frameIndex, slot), undefined)
}

/** A fill of part of a spilled scalar. False when it is no fill for precision tracking. */
function fillNarrow(env: Env, frame: Frame, off: number, size: number, spillSize: number, to: number): boolean {
  const m = env.frame.m
  const b = registerBase(to)
  const slot = (-off - 1) >> 3
  const spill = slotBase(slot)
  if (size <= spillSize && off % 8 === 0) {
    if (size === 4 && spillSize === 4 && width(frame.m, spill) <= 32) assignScalarId(env, frame.m, spill)
    copyRegister(m, b, frame.m, spill)
    if (width(frame.m, spill) > size * 8) clearId(m, b)
    return true
  }
  let spills = 0
  let zeros = 0
  for (let i = 0; i < size; i++) {
    const type = frame.types[slot * 8 + ((-off - 1 - i) & 7)]
    if (type === SPILL) spills++
    else if (type === ZERO) zeros++
    else if (type !== MISC && type !== INVALID)
      env.reject(`invalid read from stack off ${off}+${i} size ${size}`, EACCES)
  }
  if (spills === size && isZero(frame.m, spill)) {
    markConstant(m, b, 0, 0)
    return true
  }
  if (zeros === size) markConstant(m, b, 0, 0)
  else markUnknown(m, b)
  return false
}

/** A scalar is linked to no other any more. */
export function clearId(m: Int32Array, b: number): void {
  if ((m[b + ID] & ADD_CONST) !== 0) m[b + OFF] = 0
  m[b + ID] = 0
}

function checkReadable(env: Env, frame: Frame, off: number, size: number): void {
  for (let i = 0; i < size; i++) {
    const type = frame.types[-off - 1 - i]
    if (type !== MISC && type !== ZERO && type !== INVALID)
      env.reject(`invalid read from stack off ${off}+${i} size ${size}`, EACCES)
  }
}

export function checkStackRead(
  env: Env,
  liveness: StackLiveness,
  register: number,
  off: number,
  size: number,
  to: number,
): void {
  const frame = env.frame
  const m = frame.m
  const b = registerBase(register)
  if (isConst(m, b)) {
    readFixed(env, liveness, m[b + FRAME], off + valueNumber(m, b), size, to)
    return
  }
  if (to < 0)
    env.reject(
      `variable offset stack pointer cannot be passed into helper function; var_off=${variableText(
        frame,
        b,
      )} off=${off} size=${size}`,
      EACCES,
    )
  const target = m[b + FRAME]
  checkStackRange(env, liveness, register, off, size, false, false, undefined)
  const n = env.frame.m
  const min = sminNumber(n, b) + off
  const max = smaxNumber(n, b) + off + size
  const owner = env.state.frames[target]
  readBytes(env, owner, min, max, to)
  checkFastcall(env, owner.subprogram, env.insn, min)
}

/** A helper or a load at a variable offset uses a range of the stack (check_stack_range_initialized). */
export function checkStackRange(
  env: Env,
  liveness: StackLiveness,
  register: number,
  off: number,
  size: number,
  zeroAllowed: boolean,
  write: boolean,
  raw: RawAccess | undefined,
): void {
  if (size === 0 && !zeroAllowed) env.reject('invalid zero-sized read', EACCES)
  checkStackBounds(env, register, off, size, write)
  const m = env.frame.m
  const b = registerBase(register)
  const known = isConst(m, b)
  const min = (known ? valueNumber(m, b) : sminNumber(m, b)) + off
  const max = (known ? min : smaxNumber(m, b) + off) + size
  const frameIndex = m[b + FRAME]
  const frame = env.state.frames[frameIndex]
  if (known && raw?.rawMode === true) {
    for (let i = min; i < max; i++)
      if (-i - 1 < frame.slots * 8 && frame.types[-i - 1] === DYNPTR_SLOT)
        env.reject(`potential write to dynptr at off=${i} disallowed`, EACCES)
    raw.accessSize = size
    raw.register = register
    return
  }
  for (let i = min; i < max; i++) {
    const at = -i - 1
    const slot = at >> 3
    if (at >= frame.slots * 8) env.reject('verifier bug: allocated_stack too small', EFAULT)
    const type = frame.types[at]
    if (type === ZERO || type === INVALID) {
      if (write) frame.types[at] = MISC
    } else if (type !== MISC) {
      if (!isSpilled(frame, slot)) {
        const where = known ? `off ${min}` : `var_off ${variableText(env.frame, b)}`
        env.reject(`invalid read from stack R${register} ${where}+${i - min} size ${size}`, EACCES)
      }
      if (write) {
        markUnknown(frame.m, slotBase(slot))
        scrub(frame, slot)
      }
    }
    liveness.markRead(frameIndex, env.insn, slot)
  }
}

export { EINVAL }
