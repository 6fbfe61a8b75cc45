import { InputError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import { Alignments, padding, tabs } from './dump-c-layout.ts'
import type { BtfComposite, BtfEnum, BtfEnum64, BtfType } from './types.ts'

/** Where a type stands in the order of definitions, and in the output. */
const NEW = 0
const BUSY = 1
const DONE = 2

/**
 * Writes BTF types as C definitions, each after those that it needs whole and with forward declarations where a pointer
 * is enough: the text that bpftool's `btf dump … format c` gives (libbpf 1.1's rules for order, names and padding).
 */
export class CDump {
  readonly #btf: Btf
  readonly #order: Uint8Array
  readonly #emit: Uint8Array
  readonly #forward: Uint8Array
  readonly #referenced: Uint8Array
  readonly #types: (BtfType | undefined)[]
  readonly #names: (string | undefined)[] = []
  readonly #alignments: Alignments
  readonly #typeNames = new Map<string, number>()
  readonly #identifiers = new Map<string, number>()
  #queue: number[] = []
  #out = ''

  constructor(btf: Btf) {
    this.#btf = btf
    const count = btf.endId
    this.#order = new Uint8Array(count)
    this.#emit = new Uint8Array(count)
    this.#forward = new Uint8Array(count)
    this.#referenced = new Uint8Array(count)
    this.#types = new Array(count)
    this.#alignments = new Alignments((id) => this.#type(id), count)
    this.#order[0] = DONE
    this.#emit[0] = DONE
    this.#types[0] = { kind: 'void' }
    for (let from: Btf | undefined = btf; from !== undefined; from = from.base) from.markReferenced(this.#referenced)
  }

  /** Types are decoded when they are first looked at: functions never are. */
  #type(id: number): BtfType {
    let type = this.#types[id]
    if (type === undefined) {
      type = this.#btf.type(id)
      this.#types[id] = type
    }
    return type
  }

  /** Adds the definition of a type and of all it needs. @throws InputError `btf.cycle` */
  add(id: number): void {
    if (id >= this.#types.length) throw new InputError('btf.id', `${this.#btf.what}: there is no type [${id}]`)
    if (UNDECLARED.has(this.#btf.kind(id))) return
    this.#queue = []
    try {
      this.#sort(id, false)
      for (const queued of this.#queue) this.#emitType(queued, 0)
    } catch (error) {
      if (error instanceof RangeError)
        throw new InputError('btf.cycle', `${this.#btf.what}: type [${id}] is nested too deeply`)
      throw error
    }
  }

  /** Characters of the text so far. */
  get length(): number {
    return this.#out.length
  }

  /** The text so far, and starts anew. */
  take(): string {
    const text = this.#out
    this.#out = ''
    return text
  }

  /** True when the type has to be defined before whoever embeds it. */
  #sort(id: number, throughPointer: boolean): boolean {
    const order = this.#order
    if (order[id] === DONE) return true
    const type = this.#type(id)
    if (order[id] === BUSY) {
      if ((type.kind === 'struct' || type.kind === 'union') && throughPointer && type.name !== '') return false
      throw new InputError('btf.cycle', `${this.#btf.what}: type [${id}] contains itself`)
    }
    switch (type.kind) {
      case 'int':
      case 'float':
        order[id] = DONE
        return false
      case 'ptr': {
        const strong = this.#sort(type.type, true)
        order[id] = DONE
        return strong
      }
      case 'array':
        return this.#sort(type.type, false)
      case 'struct':
      case 'union':
        if (throughPointer && type.name !== '') return false
        order[id] = BUSY
        for (const member of type.members) this.#sort(member.type, false)
        if (type.name !== '') this.#queue.push(id)
        order[id] = DONE
        return true
      case 'enum':
      case 'enum64':
      case 'fwd':
        if (type.name !== '' || this.#referenced[id] === 0) this.#queue.push(id)
        order[id] = DONE
        return true
      case 'typedef': {
        const strong = this.#sort(type.type, throughPointer)
        if (throughPointer && !strong) return false
        this.#queue.push(id)
        order[id] = DONE
        return true
      }
      case 'const':
      case 'volatile':
      case 'restrict':
      case 'type_tag':
        return this.#sort(type.type, throughPointer)
      case 'func_proto': {
        let strong = this.#sort(type.returnType, throughPointer)
        for (const param of type.params) if (this.#sort(param.type, throughPointer)) strong = true
        return strong
      }
      default:
        order[id] = DONE
        return false
    }
  }

  /** @param holder the struct or union whose definition needs this type, 0: the type itself is wanted */
  #emitType(id: number, holder: number): void {
    if (this.#emit[id] === DONE) return
    const type = this.#type(id)
    if (this.#emit[id] === BUSY) {
      this.#emitForward(id, type, holder)
      return
    }
    switch (type.kind) {
      case 'int': {
        const alias = ALIASES[type.name]
        if (alias !== undefined) this.#out += `typedef ${alias} ${this.#typeName(id, type.name)};\n\n`
        else this.#typeName(id, type.name)
        this.#emit[id] = DONE
        break
      }
      case 'enum':
      case 'enum64':
        if (holder === 0) {
          this.#enum(id, type, 0)
          this.#out += ';\n\n'
        }
        this.#emit[id] = DONE
        break
      case 'ptr':
      case 'const':
      case 'volatile':
      case 'restrict':
      case 'type_tag':
      case 'array':
        this.#emitType(type.type, holder)
        break
      case 'fwd':
        this.#out += `${type.union ? 'union' : 'struct'} ${this.#typeName(id, type.name)};\n\n`
        this.#emit[id] = DONE
        break
      case 'typedef':
        this.#emit[id] = BUSY
        this.#emitType(type.type, id)
        if (this.#forward[id] === 0) this.#typedef(id, type.name, type.type)
        this.#emit[id] = DONE
        break
      case 'struct':
      case 'union':
        this.#emit[id] = BUSY
        if (holder === 0 || type.name === '') {
          for (const member of type.members) this.#emitType(member.type, type.name === '' ? holder : id)
        } else if (this.#forward[id] === 0 && id !== holder) {
          this.#out += `${type.kind} ${this.#typeName(id, type.name)};\n\n`
          this.#forward[id] = 1
        }
        if (holder === 0) {
          this.#struct(id, type, 0)
          this.#out += ';\n\n'
          this.#emit[id] = DONE
        } else this.#emit[id] = NEW
        break
      case 'func_proto':
        this.#emitType(type.returnType, holder)
        for (const param of type.params) this.#emitType(param.type, holder)
        break
      default:
    }
  }

  #emitForward(id: number, type: BtfType, holder: number): void {
    if (this.#forward[id] === 1) return
    if (type.kind === 'struct' || type.kind === 'union') {
      if (id === holder || type.name === '') return
      this.#out += `${type.kind} ${this.#typeName(id, type.name)};\n\n`
      this.#forward[id] = 1
    } else if (type.kind === 'typedef') {
      this.#typedef(id, type.name, type.type)
      this.#forward[id] = 1
    }
  }

  #typedef(id: number, name: string, target: number): void {
    // a compiler's built-in
    if (name === '__builtin_va_list') return
    const own = this.#unique(id, name, this.#identifiers)
    if (target === 0 && own === '__gnuc_va_list') {
      this.#out += 'typedef __builtin_va_list __gnuc_va_list;\n\n'
      return
    }
    this.#out += 'typedef '
    this.#declare(target, own, 0)
    this.#out += ';\n\n'
  }

  #typeName(id: number, name: string): string {
    return this.#unique(id, name, this.#typeNames)
  }

  /** The second type of a name gets `___2`, the third `___3`. */
  #unique(id: number, name: string, taken: Map<string, number>): string {
    if (name === '') return ''
    let own = this.#names[id]
    if (own === undefined) {
      own = name
      const type = this.#type(id)
      // a declaration means the definition of that name
      if (type.kind !== 'fwd' && (type.kind !== 'enum' || type.values.length > 0)) {
        const count = (taken.get(name) ?? 0) + 1
        taken.set(name, count)
        if (count > 1) own = `${name}___${count}`
      }
      this.#names[id] = own
    }
    return own
  }

  #enum(id: number, type: BtfEnum | BtfEnum64, level: number): void {
    this.#out += type.name === '' ? 'enum' : `enum ${this.#typeName(id, type.name)}`
    if (type.values.length === 0) return
    this.#out += ' {'
    const suffix = type.kind === 'enum64' ? (type.signed ? 'LL' : 'ULL') : ''
    for (const { name, value } of type.values) {
      const count = (this.#identifiers.get(name) ?? 0) + 1
      this.#identifiers.set(name, count)
      this.#out += `\n${tabs(level + 1)}${name}${count > 1 ? `___${count}` : ''} = ${value}${suffix},`
    }
    this.#out += `\n${tabs(level)}}`
  }

  #struct(id: number, type: BtfComposite, level: number): void {
    const isStruct = type.kind === 'struct'
    const packed = isStruct && this.#alignments.isPacked(type)
    this.#out += `${type.kind}${type.name === '' ? '' : ` ${this.#typeName(id, type.name)}`} {`
    let end = 0
    let afterBitField = false
    for (const member of type.members) {
      const align = packed ? 1 : this.#alignments.of(member.type)
      this.#out += padding(end, member.bitOffset, align, afterBitField && member.bitSize !== 0, level + 1)
      this.#out += `\n${tabs(level + 1)}`
      this.#declare(member.type, member.name, level + 1)
      if (member.bitSize !== 0) {
        this.#out += `: ${member.bitSize}`
        end = member.bitOffset + member.bitSize
        afterBitField = true
      } else {
        end = member.bitOffset + this.#sizeOf(member.type) * 8
        afterBitField = false
      }
      this.#out += ';'
    }
    if (isStruct) this.#out += padding(end, type.size * 8, this.#alignments.of(id), false, level + 1)
    this.#out += type.members.length > 0 || type.size > 0 ? `\n${tabs(level)}}` : '}'
    if (packed) this.#out += ' __attribute__((packed))'
  }

  #sizeOf(id: number): number {
    const type = this.#type(id)
    switch (type.kind) {
      case 'int':
      case 'struct':
      case 'union':
      case 'enum':
      case 'enum64':
        return type.size
      case 'ptr':
        return 8
      default:
        return this.#btf.sizeOf(id) ?? 0
    }
  }

  /** A declaration of `name`: from the name outwards in the type graph, from the innermost type in C. */
  #declare(id: number, name: string, level: number): void {
    const chain: number[] = []
    for (let at = id; ; ) {
      chain.push(at)
      if (chain.length > 4096)
        throw new InputError('btf.cycle', `${this.#btf.what}: the declaration of type [${id}] has no end`)
      if (at === 0) break
      const type = this.#type(at)
      if (type.kind === 'func_proto') at = type.returnType
      else if (CHAINED.has(type.kind)) at = (type as { type: number }).type
      else break
    }
    this.#chain(chain, name, level)
  }

  #chain(chain: number[], name: string, level: number): void {
    let afterPointer = true
    const emitName = (): void => {
      this.#out += name !== '' && !afterPointer ? ` ${name}` : name
    }
    for (let id = chain.pop(); id !== undefined; id = chain.pop()) {
      const type = this.#type(id)
      switch (type.kind) {
        case 'void':
          this.#qualifiers(chain)
          this.#out += 'void'
          break
        case 'int':
        case 'float':
          this.#qualifiers(chain)
          this.#out += type.name
          break
        case 'struct':
        case 'union':
          this.#qualifiers(chain)
          if (type.name === '') this.#struct(id, type, level)
          else this.#out += `${type.kind} ${this.#typeName(id, type.name)}`
          break
        case 'enum':
        case 'enum64':
          this.#qualifiers(chain)
          if (type.name === '') this.#enum(id, type, level)
          else this.#out += `enum ${this.#typeName(id, type.name)}`
          break
        case 'fwd':
          this.#qualifiers(chain)
          this.#out += `${type.union ? 'union' : 'struct'} ${this.#typeName(id, type.name)}`
          break
        case 'typedef':
          this.#qualifiers(chain)
          this.#out += this.#unique(id, type.name, this.#identifiers)
          break
        case 'ptr':
          this.#out += afterPointer ? '*' : ' *'
          break
        case 'volatile':
        case 'const':
        case 'restrict':
          this.#out += ` ${type.kind}`
          break
        case 'type_tag':
          this.#qualifiers(chain)
          this.#out += ` __attribute__((btf_type_tag("${type.name}")))`
          break
        case 'array': {
          this.#dropQualifiers(chain)
          if (chain.length === 0) {
            emitName()
            this.#out += `[${type.count}]`
            return
          }
          const nested = this.#type(chain[chain.length - 1]).kind === 'array'
          if (name !== '' && !afterPointer) this.#out += ' '
          if (!nested) this.#out += '('
          this.#chain(chain, name, level)
          this.#out += `${nested ? '' : ')'}[${type.count}]`
          return
        }
        case 'func_proto': {
          this.#dropQualifiers(chain)
          if (chain.length > 0) {
            this.#out += ' ('
            this.#chain(chain, name, level)
            this.#out += ')'
          } else emitName()
          this.#parameters(type.params, level)
          return
        }
        default:
          return
      }
      afterPointer = type.kind === 'ptr'
    }
    emitName()
  }

  #parameters(params: readonly { readonly name: string; readonly type: number }[], level: number): void {
    if (params.length === 0 || (params.length === 1 && params[0].type === 0)) {
      this.#out += '(void)'
      return
    }
    this.#out += '('
    for (const [i, param] of params.entries()) {
      if (i > 0) this.#out += ', '
      if (i === params.length - 1 && param.type === 0) {
        this.#out += '...'
        break
      }
      this.#declare(param.type, param.name, level)
    }
    this.#out += ')'
  }

  /** Qualifiers stand before the type that they qualify. */
  #qualifiers(chain: number[]): void {
    while (chain.length > 0) {
      const { kind } = this.#type(chain[chain.length - 1])
      if (kind !== 'const' && kind !== 'volatile' && kind !== 'restrict') return
      this.#out += `${kind} `
      chain.pop()
    }
  }

  /** Compilers attach qualifiers to arrays and functions, where they mean nothing. */
  #dropQualifiers(chain: number[]): void {
    while (chain.length > 0) {
      const { kind } = this.#type(chain[chain.length - 1])
      if (kind !== 'const' && kind !== 'volatile' && kind !== 'restrict' && kind !== 'type_tag') return
      chain.pop()
    }
  }
}

/** Kinds that have no definition in C. */
const UNDECLARED: ReadonlySet<string> = new Set(['func', 'var', 'datasec', 'decl_tag', 'void'])

const CHAINED: ReadonlySet<string> = new Set(['ptr', 'volatile', 'const', 'restrict', 'type_tag', 'array'])

/** Types that GCC builds in on Arm and other compilers do not know. */
const ALIASES: Readonly<Record<string, string>> = {
  __Poly8_t: 'unsigned char',
  __Poly16_t: 'unsigned short',
  __Poly64_t: 'unsigned long long',
  __Poly128_t: 'unsigned __int128',
}

/** Characters of text that are gathered before they become one string. */
const FLAT = 1 << 13

/** A header with all types of a BTF, or with those named and what they need. */
export function dumpC(btf: Btf, roots?: readonly number[]): string {
  const dump = new CDump(btf)
  const parts = [
    '#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n\n#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n#endif\n\n',
  ]
  const [encoder, decoder] = [new TextEncoder(), new TextDecoder()]
  const add = (id: number): void => {
    dump.add(id)
    // the text is a rope of small strings: flattened while it is young, the garbage collector need not copy it
    if (dump.length > FLAT) parts.push(decoder.decode(encoder.encode(dump.take())))
  }
  if (roots === undefined) for (let id = 1; id < btf.endId; id++) add(id)
  else for (const id of roots) add(id)
  parts.push(
    dump.take(),
    '#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute pop\n#endif\n\n#endif /* __VMLINUX_H__ */\n',
  )
  return parts.join('')
}
