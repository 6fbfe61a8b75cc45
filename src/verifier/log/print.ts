/** Registers and stacks as the log prints them. */

import { dynptrName } from '../memory/dynptr-slots.ts'
import { isConst, isZero, valueNumber } from '../scalars/bounds.ts'
import { signedText, tnumText, unsignedText } from '../scalars/tnum.ts'
import type { Env } from '../state/env.ts'
import {
  ADD_CONST,
  ARENA,
  AUX,
  AUX2,
  BASE_MASK,
  type Bank,
  BTF_ID,
  DYNPTR_SLOT,
  FRAME,
  ID,
  ID_MASK,
  ITER_SLOT,
  isMapPointer,
  isPacket,
  MASK,
  MASK_HIGH,
  MASK_LOW,
  MEM,
  NON_OWN,
  NOT_INIT,
  OFF,
  PRECISE,
  REF,
  S32_MAX,
  S32_MIN,
  SCALAR,
  SMAX,
  SMIN,
  SPILL,
  STACK,
  TYPE,
  typeName,
  U32_MAX,
  U32_MIN,
  UMAX,
  UMIN,
  VALUE,
} from '../state/registers.ts'
import { type Frame, REGISTERS, registerBase, type State, slotBase } from '../state/state.ts'
import { alignment } from './log.ts'

const S64_MIN = -(1n << 63n)
const S64_MAX = (1n << 63n) - 1n
const U64_MAX = (1n << 64n) - 1n
const SLOT_TYPE_TEXT = '?rm0dif'

/** A 32-bit bound as the kernel compares it with others: sign-extended while small, else its unsigned form. */
function wide32(value: number): bigint {
  return value >= -0x8000 && value <= 0x7fff ? BigInt(value) : BigInt(value >>> 0)
}

interface Bound {
  readonly name: string
  readonly signed: boolean
  readonly value: bigint
  omit: boolean
}

function rangesText(bank: Bank, b: number, emit: (text: string) => void): void {
  const i = b / 2
  const { m, s, u } = bank
  const bounds: Bound[] = [
    { name: 'smin', signed: true, value: s[i + SMIN], omit: s[i + SMIN] === S64_MIN },
    { name: 'smax', signed: true, value: s[i + SMAX], omit: s[i + SMAX] === S64_MAX },
    { name: 'umin', signed: false, value: u[i + UMIN], omit: u[i + UMIN] === 0n },
    { name: 'umax', signed: false, value: u[i + UMAX], omit: u[i + UMAX] === U64_MAX },
    { name: 'smin32', signed: true, value: wide32(m[b + S32_MIN]), omit: m[b + S32_MIN] === -0x80000000 },
    { name: 'smax32', signed: true, value: wide32(m[b + S32_MAX]), omit: m[b + S32_MAX] === 0x7fffffff },
    { name: 'umin32', signed: false, value: BigInt(m[b + U32_MIN] >>> 0), omit: m[b + U32_MIN] === 0 },
    { name: 'umax32', signed: false, value: BigInt(m[b + U32_MAX] >>> 0), omit: m[b + U32_MAX] === -1 },
  ]
  for (let first = 0; first < bounds.length; first++) {
    const bound = bounds[first]
    if (bound.omit) continue
    const negative = bound.signed && BigInt.asIntN(64, bound.value) < 0n
    let text = `${bound.name}=`
    for (let second = first + 2; second < bounds.length; second += 2) {
      const other = bounds[second]
      if (other.omit || BigInt.asUintN(64, other.value) !== BigInt.asUintN(64, bound.value)) continue
      if ((other.signed && BigInt.asIntN(64, other.value) < 0n) !== negative) continue
      other.omit = true
      text += `${other.name}=`
    }
    emit(text + (bound.signed ? signedText(BigInt.asIntN(64, bound.value)) : unsignedText(bound.value)))
  }
}

/** One register's contents: `scalar(id=1,umax=7)`, `fp-8`, `map_value(ks=4,vs=8)`. */
export function registerText(env: Env, frame: Frame, b: number): string {
  const { m } = frame
  const type = m[b + TYPE]
  const i = b / 2
  let text = ''
  if (type === SCALAR) {
    if (m[b + PRECISE] !== 0) text = 'P'
    if (isConst(m, b)) return text + signedText(frame.s[i + VALUE])
  }
  text += typeName(type)
  if (type === ARENA) return text
  if (type === STACK) {
    if (m[b + FRAME] !== frame.index) text += `[${m[b + FRAME]}]`
    if (isConst(m, b)) return text + signedText(frame.s[i + VALUE] + BigInt(m[b + OFF]))
  }
  if ((type & BASE_MASK) === BTF_ID) text += env.btfName(m[b + AUX], m[b + AUX2])
  const parts: string[] = []
  const id = m[b + ID]
  if (id !== 0) parts.push(`id=${id & ID_MASK}${(id & ADD_CONST) !== 0 ? plus(m[b + OFF]) : ''}`)
  if (m[b + REF] !== 0) parts.push(`ref_obj_id=${m[b + REF]}`)
  if ((type & NON_OWN) !== 0) parts.push('non_own_ref')
  if (isMapPointer(type)) {
    const map = env.map(m[b + AUX])
    if (map.name !== '') parts.push(`map=${map.name}`)
    parts.push(`ks=${map.keySize},vs=${map.valueSize}`)
  }
  if (type !== SCALAR && m[b + OFF] !== 0) parts.push(`off=${signedText(BigInt(m[b + OFF]))}`)
  if (isPacket(type)) parts.push(`r=${unsignedText(BigInt.asUintN(64, BigInt(m[b + AUX])))}`)
  if ((type & BASE_MASK) === MEM) parts.push(`sz=${unsignedText(BigInt(m[b + AUX] >>> 0))}`)
  if (isConst(m, b)) {
    if (!isZero(m, b)) parts.push(`imm=${signedText(BigInt(valueNumber(m, b)))}`)
  } else {
    rangesText(frame, b, (part) => parts.push(part))
    if ((m[b + MASK_LOW] & m[b + MASK_HIGH]) !== -1)
      parts.push(`var_off=${tnumText(frame.u[i + VALUE], frame.u[i + MASK])}`)
  }
  return `${text}(${parts.join(',')})`
}

function plus(value: number): string {
  return value < 0 ? `${value}` : `+${value}`
}

const ITER_STATES = ['<invalid>', 'active', 'drained']

function iteratorText(env: Env, frame: Frame, slot: number, name: string): string {
  const { m } = frame
  const b = slotBase(slot)
  if (m[b + REF] === 0) return ''
  const type = env.btfName(m[b + AUX], m[b + AUX2]).slice('bpf_iter_'.length)
  return `${name}=iter_${type}(ref_id=${m[b + REF]},state=${ITER_STATES[m[b + FRAME]]},depth=${m[b + PRECISE]})`
}

/** A dynptr is told at its first slot; the second says nothing. */
function dynptrText(frame: Frame, slot: number, name: string): string {
  const { m } = frame
  const b = slotBase(slot)
  if (m[b + AUX2] !== 1) return ''
  const parts = [...(m[b + ID] === 0 ? [] : [`id=${m[b + ID]}`]), ...(m[b + REF] === 0 ? [] : [`ref_id=${m[b + REF]}`])]
  // 6.18 reads the mark of a dynptr's first slot as an id.
  parts.push('dynptr_id=1')
  return `${name}=dynptr_${dynptrName(m[b + AUX])}(${parts.join(',')})`
}

function slotText(env: Env, frame: Frame, slot: number): string {
  const types = frame.types.subarray(slot * 8, slot * 8 + 8)
  const name = ` fp${-(slot + 1) * 8}`
  if (types[7] === SPILL) {
    let text = ''
    for (const type of types) {
      if (type === SPILL) break
      text += SLOT_TYPE_TEXT[type]
    }
    return `${name}=${text}${registerText(env, frame, slotBase(slot))}`
  }
  if (types[7] === ITER_SLOT) return iteratorText(env, frame, slot, name)
  if (types[7] === DYNPTR_SLOT) return dynptrText(frame, slot, name)
  let text = ''
  for (const type of types) text += SLOT_TYPE_TEXT[type]
  return `${name}=${text}`
}

/** All or the changed registers and slots of one frame, with a leading space, ending in a newline. */
export function writeState(env: Env, state: State, frameIndex: number, all: boolean): void {
  const frame = state.frames[frameIndex]
  let text = frame.index !== 0 ? ` frame${frame.index}:` : ''
  for (let r = 0; r < REGISTERS; r++) {
    if (frame.m[registerBase(r) + TYPE] === NOT_INIT) continue
    if (!all && (env.scratchedRegisters & (1 << r)) === 0) continue
    text += ` R${r}=${registerText(env, frame, registerBase(r))}`
  }
  for (let slot = 0; slot < frame.slots; slot++) {
    const scratched = slot < 32 ? env.scratchedLow & (1 << slot) : env.scratchedHigh & (1 << (slot - 32))
    if (!all && scratched === 0) continue
    let valid = false
    for (let j = 0; j < 8; j++) if (frame.types[slot * 8 + j] !== 0) valid = true
    if (valid) text += slotText(env, frame, slot)
  }
  if (state.references.length > 0 && state.references[0].id !== 0)
    text += ` refs=${state.references
      .map((r) => r.id)
      .filter((id) => id !== 0)
      .join(',')}`
  if (frame.inCallback) text += ' cb'
  if (frame.inAsyncCallback) text += ' async_cb'
  env.log.write(`${text}\n`)
  if (!all) {
    env.scratchedRegisters = 0
    env.scratchedLow = 0
    env.scratchedHigh = 0
  }
}

/** What the instruction changed, behind the instruction where that is still the last line. */
export function writeInstructionState(env: Env): void {
  if (env.printPosition > 0 && env.printPosition === env.log.end) {
    env.log.unwriteNewline()
    env.log.write(`${' '.repeat(alignment(env.printWidth))};`)
  } else {
    env.log.write(`${env.insn}:`)
  }
  writeState(env, env.state, env.state.current, false)
}

/** The source line of an instruction, when it is another than the last that was written. */
export function writeSourceLine(env: Env, insn: number): void {
  const lines = env.lines
  if (lines === undefined || env.log.level === 0) return
  const record = lines.at(insn)
  const last = env.previousLine
  if (record < 0 || record === last) return
  if (last >= 0 && lines.file(record) === lines.file(last) && lines.line(record) === lines.line(last)) return
  const file = lines.file(record)
  env.log.write(
    `; ${lines.text(record).replace(/^\s+/, '')} @ ${file.slice(file.lastIndexOf('/') + 1)}:${lines.line(record)}\n`,
  )
  env.previousLine = record
}
