import { InputError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import { DefinitionOrder } from './dump-c-order.ts'
import { CWriter } from './dump-c-write.ts'
import { FlatTypes } from './flat.ts'
import {
  KIND_ARRAY,
  KIND_CONST,
  KIND_DATASEC,
  KIND_DECL_TAG,
  KIND_ENUM,
  KIND_ENUM64,
  KIND_FUNC,
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
  KIND_VOID,
  KIND_VOLATILE,
} from './kinds.ts'
import { TextBuffer } from './text-buffer.ts'

/** Where a type stands in the output. */
const NEW = 0
const BUSY = 1
const DONE = 2

/** Types that GCC builds in on Arm and other compilers do not know. */
const ALIASES = [
  ['__Poly8_t', 'unsigned char'],
  ['__Poly16_t', 'unsigned short'],
  ['__Poly64_t', 'unsigned long long'],
  ['__Poly128_t', 'unsigned __int128'],
] as const

const decoder = new TextDecoder()

/**
 * Writes BTF types as C definitions, each after those that it needs whole and with forward declarations where a pointer
 * is enough: the text that bpftool's `btf dump … format c` gives (libbpf 1.1's rules for order, names and padding).
 */
export class CDump {
  readonly #types: FlatTypes
  readonly #order: DefinitionOrder
  readonly #writer: CWriter
  readonly #out: TextBuffer
  readonly #emit: Uint8Array
  /** By id: 1 when a forward declaration stands in the text. */
  readonly #forward: Uint8Array

  constructor(btf: Btf) {
    const types = new FlatTypes(btf)
    this.#types = types
    this.#out = new TextBuffer(btf.bytes.length)
    this.#order = new DefinitionOrder(types)
    this.#writer = new CWriter(types, this.#out)
    this.#emit = new Uint8Array(types.end)
    this.#emit[0] = DONE
    this.#forward = new Uint8Array(types.end)
  }

  /** Adds the definition of a type and of all it needs. @throws InputError `btf.cycle` */
  add(id: number): void {
    const { what, kinds } = this.#types
    if (id >= this.#types.end) throw new InputError('btf.id', `${what}: there is no type [${id}]`)
    switch (kinds[id]) {
      case KIND_FUNC:
      case KIND_VAR:
      case KIND_DATASEC:
      case KIND_DECL_TAG:
      case KIND_VOID:
        return // these have no definition in C
    }
    try {
      const count = this.#order.find(id)
      for (let i = 0; i < count; i++) this.#emitType(this.#order.at(i), 0)
    } catch (error) {
      if (error instanceof RangeError) throw new InputError('btf.cycle', `${what}: type [${id}] is nested too deeply`)
      throw error
    }
  }

  /** Adds text of one's own, ASCII. */
  text(text: string): void {
    this.#out.text(text)
  }

  /** Bytes of the text so far. */
  get length(): number {
    return this.#out.length
  }

  /** The text so far, as it is written to a file. It stays valid until more is added. */
  get bytes(): Uint8Array {
    return this.#out.bytes
  }

  /** The text so far, and starts anew. */
  take(): string {
    const text = decoder.decode(this.#out.bytes)
    this.#out.clear()
    return text
  }

  /** @param holder the struct or union whose definition needs this type, 0: the type itself is wanted */
  #emitType(id: number, holder: number): void {
    const types = this.#types
    const emit = this.#emit
    if (emit[id] === DONE) return
    if (emit[id] === BUSY) {
      this.#emitForward(id, holder)
      return
    }
    const { words, at } = types
    switch (types.kinds[id]) {
      case KIND_INT:
        this.#int(id)
        emit[id] = DONE
        break
      case KIND_ENUM:
      case KIND_ENUM64:
        if (holder === 0) {
          this.#writer.enum(id, 0)
          this.#out.text(';\n\n')
        }
        emit[id] = DONE
        break
      case KIND_PTR:
      case KIND_CONST:
      case KIND_VOLATILE:
      case KIND_RESTRICT:
      case KIND_TYPE_TAG:
        this.#emitType(words[at[id] + 2], holder)
        break
      case KIND_ARRAY:
        this.#emitType(words[at[id] + 3], holder)
        break
      case KIND_FWD:
        this.#writer.forward(id)
        emit[id] = DONE
        break
      case KIND_TYPEDEF:
        emit[id] = BUSY
        this.#emitType(words[at[id] + 2], id)
        if (this.#forward[id] === 0) this.#writer.typedef(id)
        emit[id] = DONE
        break
      case KIND_STRUCT:
      case KIND_UNION: {
        emit[id] = BUSY
        const named = types.isNamed(id)
        if (holder === 0 || !named) {
          const first = at[id] + 4
          for (let place = first, end = first + 3 * types.count(id); place < end; place += 3)
            if (emit[words[place]] !== DONE) this.#emitType(words[place], named ? id : holder)
        } else if (this.#forward[id] === 0 && id !== holder) {
          this.#writer.forward(id)
          this.#forward[id] = 1
        }
        if (holder === 0) {
          this.#writer.composite(id, 0)
          this.#out.text(';\n\n')
          emit[id] = DONE
        } else emit[id] = NEW
        break
      }
      case KIND_FUNC_PROTO: {
        this.#emitType(words[at[id] + 2], holder)
        const first = at[id] + 4
        for (let place = first, end = first + 2 * types.count(id); place < end; place += 2)
          if (emit[words[place]] !== DONE) this.#emitType(words[place], holder)
        break
      }
      default:
    }
  }

  #int(id: number): void {
    const alias = ALIASES.find(([name]) => this.#types.isCalled(id, name))
    if (alias === undefined) this.#writer.nameInt(id)
    else this.#writer.alias(id, alias[1])
  }

  #emitForward(id: number, holder: number): void {
    if (this.#forward[id] === 1) return
    const kind = this.#types.kinds[id]
    if (kind === KIND_STRUCT || kind === KIND_UNION) {
      if (id === holder || !this.#types.isNamed(id)) return
      this.#writer.forward(id)
      this.#forward[id] = 1
    } else if (kind === KIND_TYPEDEF) {
      this.#writer.typedef(id)
      this.#forward[id] = 1
    }
  }
}

const HEAD =
  '#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n\n#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n#endif\n\n'
const TAIL = '#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute pop\n#endif\n\n#endif /* __VMLINUX_H__ */\n'

/** A header with all types of a BTF, or with those named and what they need, as UTF-8. */
export function dumpCBytes(btf: Btf, roots?: readonly number[]): Uint8Array {
  const dump = new CDump(btf)
  dump.text(HEAD)
  if (roots === undefined) for (let id = 1; id < btf.endId; id++) dump.add(id)
  else for (const id of roots) dump.add(id)
  dump.text(TAIL)
  return dump.bytes
}

/** The same as text. */
export function dumpC(btf: Btf, roots?: readonly number[]): string {
  return decoder.decode(dumpCBytes(btf, roots))
}
