import { InputError } from '../errors/index.ts'
import { Alignments, padding } from './dump-c-layout.ts'
import type { FlatTypes } from './flat.ts'
import {
  KIND_ARRAY,
  KIND_CONST,
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
  KIND_VOID,
  KIND_VOLATILE,
} from './kinds.ts'
import { NameCounts } from './name-counts.ts'
import type { TextBuffer } from './text-buffer.ts'
import { BTF_KINDS } from './types.ts'

/** A declaration passes through no more types than this, with those that it stands in. */
const LONGEST_CHAIN = 4096

/** By kind: 1 where a declaration goes on with what the type leads to. */
const LEADS_ON = new Uint8Array(BTF_KINDS.length)
for (const kind of [KIND_PTR, KIND_VOLATILE, KIND_CONST, KIND_RESTRICT, KIND_TYPE_TAG, KIND_ARRAY, KIND_FUNC_PROTO])
  LEADS_ON[kind] = 1

/** A value of 64 bits as a literal. */
function wideValue(low: number, high: number, signed: boolean): string {
  const value = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
  return signed ? `${BigInt.asIntN(64, value)}LL` : `${value}ULL`
}

/** Writes single definitions and declarations in C, with the names that tell types of one name apart. */
export class CWriter {
  readonly #types: FlatTypes
  readonly #out: TextBuffer
  /** By id: which type of its name it is, from 1; 0: not named yet. */
  readonly #ordinals: Uint32Array
  readonly #tags: NameCounts
  readonly #identifiers: NameCounts
  readonly #alignments: Alignments
  /** The types from a name outwards, those of enclosing declarations below. */
  readonly #chain = new Int32Array(LONGEST_CHAIN)
  #top = 0

  constructor(types: FlatTypes, out: TextBuffer) {
    this.#types = types
    this.#out = out
    this.#ordinals = new Uint32Array(types.end)
    this.#tags = new NameCounts(types.strings)
    this.#identifiers = new NameCounts(types.strings)
    this.#alignments = new Alignments(types)
  }

  /** `struct NAME;` */
  forward(id: number): void {
    this.#tagged(id)
    this.#out.text(';\n\n')
  }

  /** A typedef of a built-in type. */
  alias(id: number, meaning: string): void {
    this.#out.text(`typedef ${meaning} `)
    this.nameInt(id)
    this.#printName(this.#types.name(id), this.#ordinals[id])
    this.#out.text(';\n\n')
  }

  /** Takes the name of an int, which is not defined. */
  nameInt(id: number): void {
    this.#nameOf(id, this.#tags)
  }

  typedef(id: number): void {
    const types = this.#types
    // a compiler's built-in
    if (types.isCalled(id, '__builtin_va_list')) return
    const ordinal = this.#nameOf(id, this.#identifiers)
    const target = types.target(id)
    if (target === 0 && ordinal === 1 && types.isCalled(id, '__gnuc_va_list')) {
      this.#out.text('typedef __builtin_va_list __gnuc_va_list;\n\n')
      return
    }
    this.#out.text('typedef ')
    this.#declare(target, types.name(id), ordinal, 0)
    this.#out.text(';\n\n')
  }

  enum(id: number, level: number): void {
    const types = this.#types
    const { words, strings } = types
    const out = this.#out
    this.#tagged(id)
    const count = types.count(id)
    if (count === 0) return
    out.text(' {')
    const wide = types.kinds[id] === KIND_ENUM64
    const signed = types.flag(id)
    const step = wide ? 3 : 2
    const first = types.at[id] + 3
    for (let place = first, end = first + step * count; place < end; place += step) {
      const name = words[place]
      out.line(level + 1)
      this.#printName(name, strings[name] === 0 ? 1 : this.#identifiers.add(name))
      out.text(' = ')
      const low = words[place + 1]
      if (wide) out.text(wideValue(low, words[place + 2], signed))
      else out.number(signed ? low : low >>> 0)
      out.text(',')
    }
    out.line(level)
    out.text('}')
  }

  /** A struct or union. All places in bits. */
  composite(id: number, level: number): void {
    const types = this.#types
    const { words } = types
    const out = this.#out
    const isStruct = types.kinds[id] === KIND_STRUCT
    const packed = isStruct && this.#alignments.isPacked(id)
    this.#tagged(id)
    out.text(' {')
    const bitFields = types.flag(id)
    const count = types.count(id)
    const size = types.size(id) * 8
    let end = 0
    let afterBitField = false
    const first = types.at[id] + 3
    for (let place = first, last = first + 3 * count; place < last; place += 3) {
      const type = words[place + 1]
      const offset = words[place + 2]
      const bitOffset = bitFields ? offset & 0xffffff : offset >>> 0
      const bitSize = bitFields ? offset >>> 24 : 0
      if (end < bitOffset) {
        const align = packed ? 1 : this.#alignments.of(type)
        out.text(padding(end, bitOffset, align, afterBitField && bitSize !== 0, level + 1))
      }
      out.line(level + 1)
      this.#declare(type, words[place], 1, level + 1)
      if (bitSize !== 0) {
        out.text(': ')
        out.number(bitSize)
        end = bitOffset + bitSize
        afterBitField = true
      } else {
        end = bitOffset + types.sizeOf(type) * 8
        afterBitField = false
      }
      out.text(';')
    }
    if (isStruct && end < size) out.text(padding(end, size, this.#alignments.of(id), false, level + 1))
    if (count > 0 || size > 0) out.line(level)
    out.text(packed ? '} __attribute__((packed))' : '}')
  }

  /** Which type of its name this one is: the second gets `___2`, the third `___3`. */
  #nameOf(id: number, taken: NameCounts): number {
    const known = this.#ordinals[id]
    if (known !== 0) return known
    const types = this.#types
    const kind = types.kinds[id]
    // a declaration means the definition of that name
    const declares = kind === KIND_FWD || (kind === KIND_ENUM && types.count(id) === 0)
    const ordinal = declares || !types.isNamed(id) ? 1 : taken.add(types.name(id))
    this.#ordinals[id] = ordinal
    return ordinal
  }

  #printName(name: number, ordinal: number): void {
    this.#out.string(this.#types.strings, name)
    if (ordinal > 1) this.#out.text(`___${ordinal}`)
  }

  /** `struct`, `union` or `enum` with the name, if there is one. */
  #tagged(id: number): void {
    const types = this.#types
    const kind = types.kinds[id]
    const named = types.isNamed(id)
    if (kind === KIND_STRUCT) this.#out.text(named ? 'struct ' : 'struct')
    else if (kind === KIND_UNION) this.#out.text(named ? 'union ' : 'union')
    else if (kind === KIND_FWD) this.#out.text(types.flag(id) ? 'union ' : 'struct ')
    else this.#out.text(named ? 'enum ' : 'enum')
    if (named) this.#printName(types.name(id), this.#nameOf(id, this.#tags))
  }

  /** A declaration of a name: from the name outwards in the type graph, from the innermost type in C. */
  #declare(id: number, name: number, ordinal: number, level: number): void {
    const { kinds, words, at } = this.#types
    const chain = this.#chain
    const bottom = this.#top
    let top = bottom
    let type = id
    for (let kind = kinds[type]; LEADS_ON[kind] === 1 && top < LONGEST_CHAIN; kind = kinds[type]) {
      chain[top++] = type
      type = words[at[type] + (kind === KIND_ARRAY ? 3 : 2)]
    }
    if (top === LONGEST_CHAIN)
      throw new InputError('btf.cycle', `${this.#types.what}: the declaration of type [${id}] has no end`)
    chain[top++] = type
    this.#top = top
    this.#unwind(bottom, name, ordinal, level)
  }

  /** @param bottom where this declaration's types begin in the chain */
  #unwind(bottom: number, name: number, ordinal: number, level: number): void {
    const types = this.#types
    const chain = this.#chain
    const out = this.#out
    let afterPointer = true
    while (this.#top > bottom) {
      const id = chain[--this.#top]
      const kind = types.kinds[id]
      switch (kind) {
        case KIND_PTR:
          out.text(afterPointer ? '*' : ' *')
          break
        case KIND_VOID:
          this.#qualifiers(bottom)
          out.text('void')
          break
        case KIND_INT:
        case KIND_FLOAT:
          this.#qualifiers(bottom)
          out.string(types.strings, types.name(id))
          break
        case KIND_STRUCT:
        case KIND_UNION:
          this.#qualifiers(bottom)
          if (types.isNamed(id)) this.#tagged(id)
          else this.composite(id, level)
          break
        case KIND_ENUM:
        case KIND_ENUM64:
          this.#qualifiers(bottom)
          if (types.isNamed(id)) this.#tagged(id)
          else this.enum(id, level)
          break
        case KIND_FWD:
          this.#qualifiers(bottom)
          this.#tagged(id)
          break
        case KIND_TYPEDEF:
          this.#qualifiers(bottom)
          this.#printName(types.name(id), this.#nameOf(id, this.#identifiers))
          break
        case KIND_VOLATILE:
        case KIND_CONST:
        case KIND_RESTRICT:
          out.text(` ${BTF_KINDS[kind]}`)
          break
        case KIND_TYPE_TAG:
          this.#qualifiers(bottom)
          out.text(' __attribute__((btf_type_tag("')
          out.string(types.strings, types.name(id))
          out.text('")))')
          break
        case KIND_ARRAY: {
          this.#dropQualifiers(bottom)
          if (this.#top === bottom) this.#declared(name, ordinal, afterPointer)
          else {
            const nested = types.kinds[chain[this.#top - 1]] === KIND_ARRAY
            if (!afterPointer && types.strings[name] !== 0) out.text(' ')
            if (!nested) out.text('(')
            this.#unwind(bottom, name, ordinal, level)
            if (!nested) out.text(')')
          }
          out.text('[')
          out.number(types.words[types.at[id] + 5] >>> 0)
          out.text(']')
          return
        }
        case KIND_FUNC_PROTO:
          this.#dropQualifiers(bottom)
          if (this.#top > bottom) {
            out.text(' (')
            this.#unwind(bottom, name, ordinal, level)
            out.text(')')
          } else this.#declared(name, ordinal, afterPointer)
          this.#parameters(id, level)
          return
        default:
          this.#top = bottom
          return
      }
      afterPointer = kind === KIND_PTR
    }
    this.#declared(name, ordinal, afterPointer)
  }

  /** The name that is declared, if there is one. */
  #declared(name: number, ordinal: number, afterPointer: boolean): void {
    if (this.#types.strings[name] === 0) return
    if (!afterPointer) this.#out.text(' ')
    this.#printName(name, ordinal)
  }

  #parameters(id: number, level: number): void {
    const { words, at } = this.#types
    const out = this.#out
    const count = this.#types.count(id)
    const first = at[id] + 3
    if (count === 0 || (count === 1 && words[first + 1] === 0)) {
      out.text('(void)')
      return
    }
    out.text('(')
    for (let i = 0; i < count; i++) {
      if (i > 0) out.text(', ')
      const type = words[first + 2 * i + 1]
      if (i === count - 1 && type === 0) out.text('...')
      else this.#declare(type, words[first + 2 * i], 1, level)
    }
    out.text(')')
  }

  /** Qualifiers stand before the type that they qualify. */
  #qualifiers(bottom: number): void {
    const chain = this.#chain
    while (this.#top > bottom) {
      const kind = this.#types.kinds[chain[this.#top - 1]]
      if (kind !== KIND_CONST && kind !== KIND_VOLATILE && kind !== KIND_RESTRICT) return
      this.#out.text(`${BTF_KINDS[kind]} `)
      this.#top--
    }
  }

  /** Compilers attach qualifiers to arrays and functions, where they mean nothing. */
  #dropQualifiers(bottom: number): void {
    const chain = this.#chain
    while (this.#top > bottom) {
      const kind = this.#types.kinds[chain[this.#top - 1]]
      if (kind !== KIND_CONST && kind !== KIND_VOLATILE && kind !== KIND_RESTRICT && kind !== KIND_TYPE_TAG) return
      this.#top--
    }
  }
}
