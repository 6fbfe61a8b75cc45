import { InputError } from '../errors/index.ts'
import type { FlatTypes } from './flat.ts'
import {
  KIND_ARRAY,
  KIND_CONST,
  KIND_ENUM,
  KIND_ENUM64,
  KIND_FLOAT,
  KIND_INT,
  KIND_PTR,
  KIND_RESTRICT,
  KIND_STRUCT,
  KIND_TYPE_TAG,
  KIND_TYPEDEF,
  KIND_UNION,
  KIND_VOLATILE,
} from './kinds.ts'
import { tabs } from './text-buffer.ts'

const POINTER = 8

/** Alignments of types, each computed once. */
export class Alignments {
  readonly #types: FlatTypes
  /** By id: one more than the alignment; 0: not computed yet. */
  readonly #known: Uint8Array
  /** By id: 1 when a member stands where its alignment does not let it, or the size is no multiple of the largest. */
  readonly #packed: Uint8Array

  constructor(types: FlatTypes) {
    this.#types = types
    this.#known = new Uint8Array(types.end)
    this.#packed = new Uint8Array(types.end)
  }

  /** The alignment that a compiler would give a type, in bytes; 0 when it has none. */
  of(id: number, depth = 0): number {
    const known = this.#known[id]
    if (known > 0) return known - 1
    const align = depth > 64 ? 0 : this.#compute(id, depth)
    this.#known[id] = align + 1
    return align
  }

  /** Whether only `packed` gives the struct the layout it has. */
  isPacked(id: number): boolean {
    if (this.#known[id] === 0) this.of(id)
    return this.#packed[id] === 1
  }

  #compute(id: number, depth: number): number {
    const types = this.#types
    switch (types.kinds[id]) {
      case KIND_INT:
      case KIND_ENUM:
      case KIND_ENUM64:
      case KIND_FLOAT:
        return Math.min(POINTER, types.size(id))
      case KIND_PTR:
        return POINTER
      case KIND_TYPEDEF:
      case KIND_VOLATILE:
      case KIND_CONST:
      case KIND_RESTRICT:
      case KIND_TYPE_TAG:
      case KIND_ARRAY:
        return this.of(types.target(id), depth + 1)
      case KIND_STRUCT:
      case KIND_UNION:
        return this.#composite(id, depth)
      default:
        return 0
    }
  }

  /** 1 where the struct is packed, as no compiler aligns such a struct; 0 behind a member without alignment. */
  #composite(id: number, depth: number): number {
    const types = this.#types
    const { words, kinds } = types
    const known = this.#known
    const bitFields = types.flag(id)
    const first = types.at[id] + 3
    let largest = 1
    let unknown = false
    for (let place = first, end = first + 3 * types.count(id); place < end; place += 3) {
      const type = words[place + 1]
      const align = kinds[type] === KIND_PTR ? POINTER : known[type] > 0 ? known[type] - 1 : this.of(type, depth + 1)
      if (align === 0) {
        unknown = true
        continue
      }
      if (align > largest) largest = align
      const offset = words[place + 2]
      if (!(bitFields && offset >>> 24 !== 0) && (offset >>> 0) % (8 * align) !== 0) {
        this.#packed[id] = 1
        return unknown ? 0 : 1
      }
    }
    if (types.size(id) % largest === 0) return unknown ? 0 : largest
    this.#packed[id] = 1
    return unknown ? 0 : 1
  }
}

const PADS = [
  ['long', POINTER * 8],
  ['int', 32],
  ['short', 16],
  ['char', 8],
] as const

/** A gap of more bytes than any real struct has is a broken size. */
const MAX_GAP_BITS = 8 * 1048576

const roundUp = (value: number, to: number): number => (to === 0 ? value : Math.ceil(value / to) * to)

/** Unnamed bit fields that fill a gap, from the widest type that still ends in it. All places in bits. */
export function padding(from: number, to: number, nextAlign: number, inBitField: boolean, level: number): string {
  if (from >= to) return ''
  if (to - from > MAX_GAP_BITS) throw new InputError('btf.size', `a gap of ${(to - from) / 8} bytes inside a struct`)
  const indent = tabs(level)
  let out = ''
  let at = from
  let pad = 0
  while (pad < PADS.length - 1 && roundUp(at, PADS[pad][1]) > to) pad++
  let [name, bits]: readonly [string, number] = PADS[pad]
  const aligned = roundUp(at, bits)
  if (aligned > at && aligned <= to) {
    if (
      inBitField ||
      (aligned === to && roundUp(at, nextAlign * 8) !== aligned) ||
      (aligned !== to && to - aligned <= aligned - at)
    )
      out += `\n${indent}${name}: ${inBitField ? aligned - at : 0};`
    at = aligned
  }
  while (at !== to) {
    const rest = Math.min(to - at, bits)
    if (rest === bits) out += `\n${indent}${name}: ${bits};`
    else {
      for (let i = PADS.length - 1; i >= 0; i--) {
        if (PADS[i][1] < rest) continue
        out += `\n${indent}${PADS[i][0]}: ${rest};`
        bits = PADS[i][1]
        name = PADS[i][0]
        break
      }
    }
    at += rest
  }
  return out
}
