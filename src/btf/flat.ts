import { InputError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import {
  ITEM_WORDS,
  KIND_ARRAY,
  KIND_CONST,
  KIND_DATASEC,
  KIND_ENUM,
  KIND_ENUM64,
  KIND_FLOAT,
  KIND_FUNC_PROTO,
  KIND_FWD,
  KIND_INT,
  KIND_PTR,
  KIND_RESTRICT,
  KIND_STRUCT,
  KIND_TYPE_TAG,
  KIND_TYPEDEF,
  KIND_UNION,
  KIND_VAR,
  KIND_VOLATILE,
} from './kinds.ts'

/** The parts one behind the other; a single part is not copied. */
function joined<T extends Uint8Array | Int32Array>(parts: readonly T[], make: (length: number) => T): T {
  if (parts.length === 1) return parts[0]
  const whole = make(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Chains of types longer than this have no end. */
const LONGEST_CHAIN = 4096

/**
 * All types of a BTF and its base as plain numbers, for walks over a whole kernel: no object a type, no string a name.
 * A type's record (struct btf_type) stands at `words[at[id]]`: name, kind and count, size or type, then its own words.
 * All ids and names in it lead somewhere.
 */
export class FlatTypes {
  readonly what: string
  /** One more than the last id. */
  readonly end: number
  /** Signed: ids and names are checked to be small, of other words `>>> 0` is the value. */
  readonly words: Int32Array
  /** By id: the place of its record in `words`. void has none. */
  readonly at: Uint32Array
  /** By id: its kind's number. */
  readonly kinds: Uint8Array
  /** By id: whether another type refers to it. */
  readonly referenced: Uint8Array
  /** All strings, each to its NUL: name offsets are places in it. */
  readonly strings: Uint8Array

  /** @throws InputError `btf.id`, `btf.string` when a reference or a name leads nowhere */
  constructor(btf: Btf) {
    this.what = btf.what
    this.end = btf.endId
    this.at = new Uint32Array(btf.endId)
    this.kinds = new Uint8Array(btf.endId)
    this.referenced = new Uint8Array(btf.endId)
    const parts: Btf[] = []
    for (let part: Btf | undefined = btf; part !== undefined; part = part.base) parts.unshift(part)
    this.words = joined(
      parts.map((part) => part.words),
      (length) => new Int32Array(length),
    )
    const strings = joined(
      parts.map((part) => part.stringBytes),
      (length) => new Uint8Array(length),
    )
    // an empty section still has the string "" at 0
    this.strings = strings.length === 0 ? new Uint8Array(1) : strings
    let start = 0
    for (const { firstId, places, typesStart, stringsSize, words } of parts) {
      for (let own = 0; own < places.length; own++) this.at[firstId + own] = start + ((places[own] - typesStart) >>> 2)
      start += words.length
      this.#read(firstId, firstId + places.length, Math.max(1, stringsSize))
    }
  }

  /** Notes kinds and what refers to what. */
  #read(from: number, end: number, strings: number): void {
    const { words, at, kinds, referenced } = this
    for (let id = from; id < end; id++) {
      const place = at[id]
      const info = words[place + 1]
      const kind = (info >>> 24) & 0x1f
      kinds[id] = kind
      if (words[place] >>> 0 >= strings) this.#noString(words[place])
      const head = words[place + 2]
      const items = place + 3
      const last = items + ITEM_WORDS[kind] * (info & 0xffff)
      switch (kind) {
        case KIND_INT:
        case KIND_FLOAT:
        case KIND_FWD:
          break
        case KIND_ENUM:
        case KIND_ENUM64:
          for (let item = items; item < last; item += ITEM_WORDS[kind])
            if (words[item] >>> 0 >= strings) this.#noString(words[item])
          break
        case KIND_ARRAY:
          if (words[items] >>> 0 >= end) this.#noType(id, words[items])
          if (words[items + 1] >>> 0 >= end) this.#noType(id, words[items + 1])
          referenced[words[items]] = 1
          referenced[words[items + 1]] = 1
          break
        case KIND_STRUCT:
        case KIND_UNION:
          for (let item = items; item < last; item += 3) {
            if (words[item] >>> 0 >= strings) this.#noString(words[item])
            if (words[item + 1] >>> 0 >= end) this.#noType(id, words[item + 1])
            referenced[words[item + 1]] = 1
          }
          break
        case KIND_DATASEC:
          for (let item = items; item < last; item += 3) {
            if (words[item] >>> 0 >= end) this.#noType(id, words[item])
            referenced[words[item]] = 1
          }
          break
        default:
          if (head >>> 0 >= end) this.#noType(id, head)
          referenced[head] = 1
          if (kind === KIND_FUNC_PROTO)
            for (let item = items; item < last; item += 2) {
              if (words[item] >>> 0 >= strings) this.#noString(words[item])
              if (words[item + 1] >>> 0 >= end) this.#noType(id, words[item + 1])
              referenced[words[item + 1]] = 1
            }
      }
    }
  }

  #noType(from: number, id: number): never {
    throw new InputError('btf.id', `${this.what}: type [${from}] refers to type [${id >>> 0}] of ${this.end - 1}`)
  }

  #noString(offset: number): never {
    const size = this.strings.length
    throw new InputError(
      'btf.string',
      `${this.what}: string offset ${offset >>> 0} is outside the ${size} bytes of strings`,
    )
  }

  /** The name's offset. */
  name(id: number): number {
    return this.words[this.at[id]]
  }

  isNamed(id: number): boolean {
    return this.strings[this.words[this.at[id]]] !== 0
  }

  /** Whether the name is this one of ASCII characters. */
  isCalled(id: number, text: string): boolean {
    const name = this.words[this.at[id]]
    for (let i = 0; i < text.length; i++) if (this.strings[name + i] !== text.charCodeAt(i)) return false
    return this.strings[name + text.length] === 0
  }

  /** Members, values or parameters. */
  count(id: number): number {
    return this.words[this.at[id] + 1] & 0xffff
  }

  /** The kind flag: bit fields in offsets, signed values, a forward declaration of a union. */
  flag(id: number): boolean {
    return this.words[this.at[id] + 1] >>> 31 === 1
  }

  /** Bytes of an int, a composite or an enum. */
  size(id: number): number {
    return this.words[this.at[id] + 2] >>> 0
  }

  /** The type that a pointer, a qualifier, a typedef, an array leads to; a function's return type. */
  target(id: number): number {
    return this.words[this.at[id] + (this.kinds[id] === KIND_ARRAY ? 3 : 2)]
  }

  /** sizeof in bytes; 0 for what has none. @throws InputError `btf.cycle` */
  sizeOf(id: number): number {
    const { words, at, kinds } = this
    let count = 1
    let type = id
    for (let length = 0; length < LONGEST_CHAIN; length++) {
      switch (kinds[type]) {
        case KIND_INT:
        case KIND_STRUCT:
        case KIND_UNION:
        case KIND_ENUM:
        case KIND_ENUM64:
        case KIND_FLOAT:
        case KIND_DATASEC:
          return (words[at[type] + 2] >>> 0) * count
        case KIND_PTR:
          return 8 * count
        case KIND_ARRAY:
          count *= words[at[type] + 5] >>> 0
          type = words[at[type] + 3]
          break
        case KIND_TYPEDEF:
        case KIND_VOLATILE:
        case KIND_CONST:
        case KIND_RESTRICT:
        case KIND_TYPE_TAG:
        case KIND_VAR:
          type = words[at[type] + 2]
          break
        default:
          return 0
      }
    }
    throw new InputError('btf.cycle', `${this.what}: the size of type [${id}] has no end`)
  }
}
