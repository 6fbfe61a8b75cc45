import { InputError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import { Alignments } from './dump-c-layout.ts'
import { FlatTypes } from './flat.ts'
import type { BtfComposite, BtfEnum, BtfEnum64, BtfInt, BtfType } from './types.ts'

/** Names that TypeScript keeps for itself. */
const RESERVED = new Set(
  'break case catch class const continue debugger default delete do else enum export extends false finally for function if import in instanceof new null return super switch this throw true try typeof var void while with implements interface let package private protected public static yield await arguments eval'.split(
    ' ',
  ),
)

/** Types inside types before this counts as endless. */
const MAX_DEPTH = 200

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to

/**
 * TypeScript definitions of BTF types for the builder and for user space: one `export const` a named struct, union or
 * enum, made of the layouts of `typebpf/layout`, in an order in which each stands after those it embeds. Pointers are
 * addresses; gaps that the compiler would not leave by itself become `_padN` fields, so that every offset is the kernel's.
 */
export function dumpTypeScript(btf: Btf, roots?: readonly number[]): string {
  return new TypeScriptDump(btf).write(roots)
}

/** The same for use inside a module: definitions, and the expression that stands for each wanted type. */
export function typeScriptLayouts(
  btf: Btf,
  wanted: readonly number[],
): { readonly text: string; readonly expressions: ReadonlyMap<number, string> } {
  const dump = new TypeScriptDump(btf)
  const expressions = new Map(wanted.map((id) => [id, dump.expression(id)] as const))
  return { text: dump.write([]), expressions }
}

class TypeScriptDump {
  readonly #btf: Btf
  readonly #types: BtfType[] = []
  readonly #alignments: Alignments
  readonly #imports = new Set<string>()
  readonly #names = new Map<number, string>()
  readonly #taken = new Set<string>()
  readonly #busy = new Set<number>()
  readonly #definitions: string[] = []
  #depth = 0

  constructor(btf: Btf) {
    this.#btf = btf
    for (let id = 0; id < btf.endId; id++) this.#types.push(btf.type(id))
    this.#alignments = new Alignments(new FlatTypes(btf))
  }

  write(roots?: readonly number[]): string {
    const ids = roots ?? this.#types.map((_, id) => id)
    for (const id of ids) this.#define(id)
    for (const name of this.#imports)
      if (this.#taken.has(name))
        throw new InputError('btf.name', `${this.#btf.what}: a type is called ${name}, as the layout is`)
    const imports = [...this.#imports].sort()
    const head = imports.length === 0 ? '' : `import { ${imports.join(', ')} } from 'typebpf/layout'\n\n`
    return `${head}${this.#definitions.join('\n')}`
  }

  #use(name: string): string {
    this.#imports.add(name)
    return name
  }

  #define(id: number): void {
    const at = this.#btf.skipModifiers(id)
    const type = this.#types[at]
    const composite = type.kind === 'struct' || type.kind === 'union'
    if (!(composite || type.kind === 'enum' || type.kind === 'enum64') || type.name === '' || this.#names.has(at))
      return
    if (this.#busy.has(at)) throw new InputError('btf.cycle', `${this.#btf.what}: type [${at}] contains itself`)
    this.#busy.add(at)
    const body =
      type.kind === 'struct' || type.kind === 'union'
        ? this.#composite(type, at)
        : this.#enum(type as BtfEnum | BtfEnum64)
    this.#busy.delete(at)
    const name = this.#unique(type.name)
    this.#names.set(at, name)
    this.#definitions.push(`/** ${type.kind} ${type.name}, ${type.size} bytes */\nexport const ${name} = ${body}\n`)
  }

  #unique(name: string): string {
    const base =
      RESERVED.has(name) || LAYOUTS.has(name) || !/^[A-Za-z_$]/.test(name) ? `_${name}` : name.replace(/[^\w$]/g, '_')
    let result = base
    for (let number = 2; this.#taken.has(result); number++) result = `${base}___${number}`
    this.#taken.add(result)
    return result
  }

  /** The expression for a type, after the definitions that it needs. */
  expression(id: number): string {
    if (this.#depth >= MAX_DEPTH)
      throw new InputError('btf.cycle', `${this.#btf.what}: type [${id}] is nested too deeply`)
    this.#depth++
    const text = this.#expressionOf(id)
    this.#depth--
    return text
  }

  #expressionOf(id: number): string {
    const at = this.#btf.skipModifiers(id)
    const named = this.#networkOrder(id)
    if (named !== undefined) return this.#use(named)
    const type = this.#types[at]
    switch (type.kind) {
      case 'int':
        return this.#integer(type)
      case 'float':
        return type.size === 4
          ? this.#use('f32')
          : type.size === 8
            ? this.#use('f64')
            : `${this.#use('bytes')}(${type.size})`
      case 'ptr':
        return `${this.#use('pointer')}()`
      case 'enum':
      case 'enum64':
      case 'struct':
      case 'union': {
        if (type.name === '')
          return type.kind === 'enum' || type.kind === 'enum64' ? this.#enum(type) : this.#composite(type, at)
        this.#define(at)
        return this.#names.get(at) as string
      }
      case 'array': {
        const element = this.#types[this.#btf.skipModifiers(type.type)]
        if (element.kind === 'int' && element.size === 1 && type.count > 0 && (element.char || element.name === 'char'))
          return `${this.#use('chars')}(${type.count})`
        if (element.kind === 'int' && element.size === 1 && !element.bool && !element.signed)
          return `${this.#use('bytes')}(${type.count})`
        return `${this.#use('array')}(${this.expression(type.type)}, ${type.count})`
      }
      default:
        throw new InputError('btf.size', `${this.#btf.what}: ${this.#btf.describe(at)} has no size`)
    }
  }

  /** `__be16` and the like are typedefs on the way. */
  #networkOrder(id: number): string | undefined {
    let at = id
    for (let depth = 0; depth < 64; depth++) {
      const type = this.#types[at]
      if (type.kind === 'typedef' && /^__be(16|32|64)$/.test(type.name)) return type.name.slice(2)
      if (type.kind !== 'typedef' && type.kind !== 'const' && type.kind !== 'volatile') return undefined
      at = type.type
    }
    return undefined
  }

  #integer(type: BtfInt): string {
    if (type.bool && type.size === 1) return this.#use('bool')
    if ([1, 2, 4, 8].includes(type.size)) return this.#use(`${type.signed ? 'i' : 'u'}${type.size * 8}`)
    return `${this.#use('array')}(${this.#use('u64')}, ${type.size / 8})`
  }

  #enum(type: BtfEnum | BtfEnum64): string {
    const element = this.#use(`${type.signed ? 'i' : 'u'}${type.size * 8}`)
    const values = type.values.map(
      ({ name, value }) => `  ${key(name)}: ${value}${typeof value === 'bigint' ? 'n' : ''},`,
    )
    return `${this.#use('enumeration')}(${JSON.stringify(type.name)}, {\n${values.join('\n')}\n}, ${element})`
  }

  #composite(type: BtfComposite, id: number): string {
    const packed = type.kind === 'struct' && this.#alignments.isPacked(id)
    const lines: string[] = []
    let end = 0
    let pads = 0
    let anonymous = 0
    const pad = (bits: number): void => {
      if (bits <= 0) return
      if (bits % 8 === 0 && end % 8 === 0) lines.push(`_pad${++pads}: ${this.#use('bytes')}(${bits / 8}),`)
      else lines.push(`_pad${++pads}: ${this.#use('bits')}(${this.#use('u8')}, ${Math.min(bits, 8 - (end % 8))}),`)
      end += bits % 8 === 0 && end % 8 === 0 ? bits : Math.min(bits, 8 - (end % 8))
    }
    for (const member of type.members) {
      const size = (this.#btf.sizeOf(member.type) ?? 0) * 8
      const align = packed ? 1 : Math.max(1, this.#alignments.of(member.type))
      let expression = this.expression(member.type)
      if (type.kind === 'struct') {
        const natural = member.bitSize > 0 ? end : roundUp(end, align * 8)
        if (natural < member.bitOffset)
          for (let guard = 0; guard < 3 && end < member.bitOffset; guard++) pad(member.bitOffset - end)
      }
      if (member.bitSize > 0) {
        const under = this.#types[this.#btf.skipModifiers(member.type)]
        const signed = (under.kind === 'int' || under.kind === 'enum') && under.signed
        expression = `${this.#use('bits')}(${this.#use(`${signed ? 'i' : 'u'}${size}`)}, ${member.bitSize})`
      }
      const name = member.name === '' ? `_anonymous${++anonymous}` : member.name
      lines.push(`${key(name)}: ${expression},`)
      end = member.bitOffset + (member.bitSize > 0 ? member.bitSize : size)
    }
    if (type.kind === 'struct') {
      const align = packed ? 1 : Math.max(1, this.#alignments.of(id))
      for (let guard = 0; guard < 3 && roundUp(end, align * 8) < type.size * 8; guard++) pad(type.size * 8 - end)
    }
    const body = lines.map((line) => `  ${line.replaceAll('\n', '\n  ')}`).join('\n')
    const options = packed ? ', { packed: true }' : ''
    return `${this.#use(type.kind)}(${JSON.stringify(type.name)}, {\n${body}\n}${options})`
  }
}

const LAYOUTS = new Set(
  'array bits bytes chars enumeration struct union be16 be32 be64 bool f32 f64 i8 i16 i32 i64 pointer u8 u16 u32 u64'.split(
    ' ',
  ),
)

function key(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name)
}
