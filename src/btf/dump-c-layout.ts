import { InputError } from '../errors/index.ts'
import type { BtfComposite, BtfType } from './types.ts'

const POINTER = 8

/** Deeper lines are not indented further, as in libbpf. */
const DEEPEST_INDENT = 13
export const tabs = (level: number): string => '\t'.repeat(Math.min(level, DEEPEST_INDENT))

/** Alignments of types, each computed once. */
export class Alignments {
  readonly #typeOf: (id: number) => BtfType | undefined
  /** One more than the alignment; 0: not computed yet. */
  readonly #known: Uint8Array

  constructor(typeOf: (id: number) => BtfType | undefined, count: number) {
    this.#typeOf = typeOf
    this.#known = new Uint8Array(count)
  }

  /** The alignment that a compiler would give a type, in bytes; 0 when it has none. */
  of(id: number, depth = 0): number {
    const known = this.#known[id]
    if (known > 0) return known - 1
    const align = depth > 64 ? 0 : this.#compute(id, depth)
    this.#known[id] = align + 1
    return align
  }

  #compute(id: number, depth: number): number {
    const type = this.#typeOf(id)
    if (type === undefined)
      throw new InputError('btf.id', `there is no type [${id}], the last one is [${this.#known.length - 1}]`)
    switch (type.kind) {
      case 'int':
      case 'enum':
      case 'enum64':
      case 'float':
        return Math.min(POINTER, type.size)
      case 'ptr':
        return POINTER
      case 'typedef':
      case 'volatile':
      case 'const':
      case 'restrict':
      case 'type_tag':
      case 'array':
        return this.of(type.type, depth + 1)
      case 'struct':
      case 'union': {
        let largest = 1
        for (const member of type.members) {
          const align = this.of(member.type, depth + 1)
          if (align === 0) return 0
          largest = Math.max(largest, align)
          // a member that is not at its own alignment: the struct is packed
          if (member.bitSize === 0 && member.bitOffset % (8 * align) !== 0) return 1
        }
        return type.size % largest !== 0 ? 1 : largest
      }
      default:
        return 0
    }
  }

  /** Whether only `packed` gives the struct the layout it has. */
  isPacked(type: BtfComposite): boolean {
    let largest = 1
    for (const { type: id, bitOffset, bitSize } of type.members) {
      const align = this.of(id)
      if (align !== 0 && bitSize === 0 && bitOffset % (8 * align) !== 0) return true
      largest = Math.max(largest, align)
    }
    return type.size % largest !== 0
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
  let [name, bits]: readonly [string, number] = PADS[3]
  let aligned = 0
  for (const [padName, padBits] of PADS) {
    name = padName
    bits = padBits
    aligned = roundUp(at, padBits)
    if (aligned <= to) break
  }
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
