import { LD_IMM64 } from '../../uapi/index.ts'
import { OPERATION } from '../decode.ts'
import type { LinkedProgram } from '../program.ts'
import { isArithmetic } from './arithmetic.ts'
import type { Block } from './cfg.ts'
import type { Span } from './writer.ts'

const MAX_SPAN_BYTES = 64
/** One check of a range costs as much as about two of single loads. */
const MIN_LOADS = 3
const MIN_BYTES = 8
const SIZES = [4, 2, 1, 8]

interface Open {
  low: number
  high: number
  readonly slots: number[]
}

/** The spans of a block by slot of each load in them. */
export function findSpans(program: LinkedProgram, block: Block): ReadonlyMap<number, Span> {
  const { code, image } = program
  const found = new Map<number, Span>()
  const open = new Map<number, Open>()
  const close = (base: number): void => {
    const span = open.get(base)
    open.delete(base)
    if (span === undefined || span.slots.length < MIN_LOADS || span.high - span.low < MIN_BYTES) return
    const done: Span = { base, low: span.low, high: span.high, first: span.slots[0] }
    for (const slot of span.slots) found.set(slot, done)
  }
  for (let slot = block.start; slot <= block.last; slot = code.next[slot]) {
    const operation = code.operation[slot]
    const isLoad = operation < 0x100 && (operation & 7) === 1
    if (isLoad && code.src[slot] !== 10) {
      const base = code.src[slot]
      const low = code.offset[slot]
      const high = low + SIZES[(image.insns[slot * 8] >> 3) & 3]
      let span = open.get(base)
      if (span !== undefined && Math.max(span.high, high) - Math.min(span.low, low) > MAX_SPAN_BYTES) {
        close(base)
        span = undefined
      }
      if (span === undefined) open.set(base, { low, high, slots: [slot] })
      else {
        span.low = Math.min(span.low, low)
        span.high = Math.max(span.high, high)
        span.slots.push(slot)
      }
    }
    if (isLoad || isArithmetic(operation) || operation === LD_IMM64 || operation === OPERATION.loadAcquire)
      close(code.dst[slot])
    else if (operation === OPERATION.atomic32 || operation === OPERATION.atomic64) {
      close(code.src[slot])
      close(0)
    } else if (operation === OPERATION.castAddress) close(code.dst[slot])
    else if (isCall(operation)) for (const base of [...open.keys()]) close(base)
  }
  for (const base of [...open.keys()]) close(base)
  return found
}

/** Helpers, functions and packet loads: they may change permissions and registers. */
function isCall(operation: number): boolean {
  if (operation >= OPERATION.callLocal && operation <= OPERATION.callRegister) return true
  return operation < 0x100 && (operation & 7) === 0 && operation !== LD_IMM64
}
