import type { MapSpec } from '../../../src/spec/index.ts'
import { MAP_TYPES } from '../../../src/uapi/index.ts'
import type { Slot } from '../../emulator/images.ts'
import type { Random } from './random.ts'

/** What an action writes with. Registers r0 to r5 are free, r6 is the context, r7 to r9 hold scalars. */
export interface Writer {
  readonly random: Random
  emit(...slots: readonly Slot[]): void
  /** The number of the next slot. */
  here(): number
  /** A load of a map, or of an address inside its first value. */
  map(register: number, map: number, offset?: number): void
  /** Puts another slot in the place of one that was left open. */
  patch(slot: number, instruction: Slot): void
}

/** Texts for numbers, formats for bpf_snprintf, strings to compare: read-only, each at a place of its own. */
const NUMBERS = ['12', '-7', '0x1fg', '  42 ', '+5', '0778', '99999999999999999999', '', '-', 'zz']
const FORMATS = [
  '%d|%x',
  '%llu %lld',
  'a%%b%u',
  '%08x%5d',
  '%c%c',
  '%s',
  '%p%',
  '%5u%-4x!',
  'plain',
  '%i%X',
  '%lu',
  '%d%d%d',
]
const WORDS = ['abcdef', 'abcxyz', 'abc', '']
const PLACE = 32
const TEXTS = [...NUMBERS, ...FORMATS, ...WORDS]

/** The frozen map of texts. */
export function textMap(): MapSpec {
  const bytes = new Uint8Array(TEXTS.length * PLACE)
  TEXTS.forEach((text, i) => {
    bytes.set(new TextEncoder().encode(text), i * PLACE)
  })
  return {
    name: 'texts',
    type: MAP_TYPES.array,
    keySize: 4,
    valueSize: bytes.length,
    maxEntries: 1,
    flags: 0x80,
    contents: [[new Uint8Array(4), bytes]],
    frozen: true,
  }
}

const call = (helper: number): Slot => [0x85, 0, 0, 0, helper]
const set = (register: number, value: number): Slot => [0xb7, register, 0, 0, value]
const stack = (register: number, offset: number): readonly Slot[] => [
  [0xbf, register, 10, 0, 0],
  [0x07, register, 0, 0, offset],
]
/** Below all that the rest of the program uses. */
const RESULT = -112
const DYNPTR = -136

/** bpf_strtol and bpf_strtoul: 105, 106. */
function parse(w: Writer, texts: number): void {
  const r = w.random
  w.emit([0x7a, 10, 0, RESULT, 0])
  w.map(1, texts, r.below(NUMBERS.length) * PLACE)
  w.emit(set(2, r.pick([1, 2, 4, 8, 21, 30])), set(3, r.pick([0, 0, 8, 10, 16, 16, 2, 32])), ...stack(4, RESULT))
  w.emit(call(r.pick([105, 106])), [0x79, 7, 10, RESULT, 0])
}

/** bpf_strncmp: 182. Only the sign of the answer is the same everywhere. */
function compare(w: Writer, texts: number): void {
  const r = w.random
  const word = (): number => (NUMBERS.length + FORMATS.length + r.below(WORDS.length)) * PLACE
  w.map(1, texts, word())
  w.emit(set(2, r.pick([1, 3, 4, 6, 7])))
  w.map(3, texts, word())
  w.emit(call(182))
  // the sign: r0 s>> 63 | (r0 != 0)
  w.emit([0xbf, 7, 0, 0, 0], [0x67, 7, 0, 0, 32], [0xc7, 7, 0, 0, 63], [0xbf, 0, 7, 0, 0])
}

/** bpf_snprintf: 165, its arguments two words of the stack. */
function print(w: Writer, texts: number): void {
  const r = w.random
  const words = r.pick([0, 1, 2, 3])
  w.emit([0x7a, 10, 0, RESULT, r.imm()], [0x7b, 10, 8, RESULT + 8, 0], [0x7a, 10, 0, RESULT + 16, r.imm()])
  w.emit(...stack(1, -32), set(2, r.pick([0, 1, 8, 32])))
  w.map(3, texts, (NUMBERS.length + r.below(FORMATS.length)) * PLACE)
  w.emit(...stack(4, RESULT), set(5, words * 8), call(165))
}

/** A dynptr over an array's value: made, narrowed by offsets, written, read. 197, 202, 201, 203. */
function pointer(w: Writer, array: number): void {
  const r = w.random
  w.emit([0x62, 10, 0, -8, r.below(4)])
  w.map(1, array)
  w.emit(...stack(2, -8), call(1))
  const missing = w.here()
  w.emit([0, 0, 0, 0, 0])
  w.emit([0xbf, 1, 0, 0, 0], set(2, r.pick([16, 8, 1])), set(3, 0), ...stack(4, DYNPTR), call(197), [0xbf, 7, 0, 0, 0])
  w.emit(...stack(1, DYNPTR), set(2, r.pick([0, 1, 4, 8, 12, 15, 16, 40])), ...stack(3, -32))
  w.emit(set(4, r.pick([1, 2, 4, 8, 16])), set(5, r.pick([0, 0, 0, 1])), call(202), [0x0f, 7, 0, 0, 0])
  w.emit(...stack(1, -32), set(2, r.pick([1, 4, 8, 16])), ...stack(3, DYNPTR))
  w.emit(set(4, r.pick([0, 1, 5, 8, 15])), set(5, 0), call(201), [0x0f, 7, 0, 0, 0])
  w.patch(missing, [0x15, 0, 0, w.here() - missing - 1, 0])
  w.emit(set(0, 0))
}

/** A value of any keyed map, added to in place: what per-CPU and LRU maps keep. */
function count(w: Writer, map: number): void {
  const r = w.random
  w.emit([0x62, 10, 0, -8, r.below(4)])
  if (r.chance(50)) {
    w.map(1, map)
    w.emit(...stack(2, -8), ...stack(3, -32), set(4, r.pick([0, 0, 1, 2])), call(2))
  } else {
    w.map(1, map)
    w.emit(...stack(2, -8), call(1))
    const missing = w.here()
    w.emit([0, 0, 0, 0, 0])
    w.emit([0x79, 7, 0, 8 * r.below(2), 0], [0x07, 7, 0, 0, r.imm()], [0x7b, 0, 7, 8 * r.below(2), 0])
    w.patch(missing, [0x15, 0, 0, w.here() - missing - 1, 0])
    w.emit(set(0, 0))
  }
  if (r.chance(20)) {
    w.emit([0x62, 10, 0, -8, r.below(4)])
    w.map(1, map)
    w.emit(...stack(2, -8), call(3))
  }
}

/** One call on data, its answer added to r9. @param counted maps that {@link count} takes */
export function dataCall(w: Writer, texts: number, array: number, counted: readonly number[]): void {
  const choice = w.random.below(counted.length === 0 ? 4 : 6)
  if (choice === 0) parse(w, texts)
  else if (choice === 1) compare(w, texts)
  else if (choice === 2) print(w, texts)
  else if (choice === 3) pointer(w, array)
  else count(w, w.random.pick(counted))
  w.emit([0x0f, 9, 0, 0, 0])
}
