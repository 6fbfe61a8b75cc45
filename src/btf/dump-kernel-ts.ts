import { InputError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import type { BtfComposite, BtfEnum, BtfMember, BtfType } from './types.ts'

/** Structs that one dump describes at most: those inside each other are followed, those behind pointers are not. */
const MAX_STRUCTS = 2000
/** Members that are looked at: nameless structs in each other can be very many in few bytes. */
const MAX_MEMBERS = 50_000

/**
 * TypeScript definitions of kernel structs for the builder's CO-RE access (`kernelStruct`): what the roots and the structs
 * inside them have by name; unions and nameless structs in their place. Pointers lead to the other described structs, else to
 * one without members. Members that the builder cannot read (arrays of numbers, 64-bit enumerations) are named in a comment.
 * @param roots ids of structs
 * @throws InputError `btf.kind` when a root is no struct with members
 */
export function dumpKernelTypes(btf: Btf, roots: readonly number[]): string {
  const named = new Map<string, BtfComposite>()
  const budget = { left: MAX_MEMBERS }
  const add = (id: number, root: boolean): void => {
    const type = btf.type(btf.skipModifiers(id))
    if (type.kind !== 'struct' || type.name === '') {
      if (root) throw new InputError('btf.kind', `${btf.what}: ${btf.describe(id)} is no struct with a name`)
      return
    }
    if (named.has(type.name) || named.size >= MAX_STRUCTS) return
    named.set(type.name, type)
    addInside(type, 0)
  }
  const addInside = (type: BtfComposite, depth: number): void => {
    for (const member of membersOf(btf, type, budget)) {
      const inner = btf.type(btf.skipModifiers(member.type))
      if (isInline(inner) && depth < MAX_INLINE) addInside(inner, depth + 1)
      else if (member.bitSize === 0) add(member.type, false)
    }
  }
  for (const id of roots) add(id, true)
  const dump = new KernelTypes(btf, named)
  const bodies = [...named.values()].map((struct) => dump.struct(struct))
  return [dump.head(), ...dump.enumerations(), ...bodies].join('\n')
}

/** Levels of nameless structs and unions in each other. */
const MAX_INLINE = 8

/** Written where it is used: CO-RE looks up the outermost type by name, and what is inside by the way to it. */
function isInline(type: BtfType): type is BtfComposite {
  return type.kind === 'union' || (type.kind === 'struct' && type.name === '')
}

/** Members by name, those of nameless structs and unions in their place: CO-RE finds both alike. */
function membersOf(btf: Btf, { members }: BtfComposite, budget: { left: number }, depth = 0): BtfMember[] {
  return members.flatMap((member) => {
    if (--budget.left < 0)
      throw new InputError('btf.size', `${btf.what}: these structs have more than ${MAX_MEMBERS} members`)
    if (member.name !== '') return [member]
    const inner = btf.type(btf.skipModifiers(member.type))
    return depth < 32 && (inner.kind === 'struct' || inner.kind === 'union')
      ? membersOf(btf, inner, budget, depth + 1)
      : []
  })
}

interface Member {
  readonly type: string
  readonly value: string
}

class KernelTypes {
  readonly #btf: Btf
  readonly #named: ReadonlyMap<string, BtfComposite>
  readonly #types = new Set<string>(['type KernelStruct'])
  readonly #values = new Set<string>(['kernelStruct'])
  readonly #enumerations = new Map<string, string>()
  readonly #budget = { left: MAX_MEMBERS }
  #opaque = false

  constructor(btf: Btf, named: ReadonlyMap<string, BtfComposite>) {
    this.#btf = btf
    this.#named = named
  }

  head(): string {
    const names = [...this.#types, ...this.#values].sort((a, b) =>
      a.replace('type ', '') < b.replace('type ', '') ? -1 : 1,
    )
    const opaque = this.#opaque
      ? "\n/** What a pointer leads to when nothing here describes it. */\nconst opaque = kernelStruct('opaque', () => ({}))\n"
      : ''
    return `import { ${names.join(', ')} } from 'typebpf'\n${opaque}`
  }

  enumerations(): string[] {
    return [...this.#enumerations.values()]
  }

  struct(type: BtfComposite): string {
    const { name } = type
    const { types, values, left } = this.#body(type, '', 0)
    const note = left.length === 0 ? '' : ` Not here: ${left.join(', ')}.`
    const id = identifier(name)
    return `/** struct ${name}.${note} */
export interface ${id} extends KernelStruct<{
${types}}> {}
export const ${id}: ${id} = kernelStruct('${name}', () => ({
${values}}))
`
  }

  /** The lines of a struct's type and of its value. */
  #body(type: BtfComposite, indent: string, depth: number): { types: string; values: string; left: string[] } {
    const rows: { readonly name: string; readonly member: Member }[] = []
    const left: string[] = []
    for (const member of membersOf(this.#btf, type, this.#budget)) {
      const found = member.bitSize > 0 ? this.#bits(member) : this.#member(member.type, `${indent}  `, depth)
      if (found !== undefined) rows.push({ name: key(member.name), member: found })
      else left.push(member.name)
    }
    return {
      types: rows.map((row) => `${indent}  readonly ${row.name}: ${row.member.type}\n`).join(''),
      values: rows.map((row) => `${indent}  ${row.name}: ${row.member.value},\n`).join(''),
      left,
    }
  }

  #bits(member: BtfMember): Member | undefined {
    const type = this.#btf.type(this.#btf.skipModifiers(member.type))
    if (type.kind !== 'int' || ![1, 2, 4, 8].includes(type.size)) return undefined
    const base = `u${type.size * 8}`
    this.#values.add(base)
    this.#values.add('bits')
    return { type: `ReturnType<typeof bits<'${base}'>>`, value: `bits(${base}, ${member.bitSize})` }
  }

  #enumeration(type: BtfEnum): Member | undefined {
    if (type.size !== 4 || type.values.length === 0) return undefined
    this.#values.add('enumeration')
    const values = type.values.map(({ name, value }) => `${key(name)}: ${value}`).join(', ')
    const name = type.name === '' ? `enum_of_${type.values[0].name}` : `enum_${type.name}`
    const text = `export const ${name} = enumeration('${type.name}', { ${values} })\n`
    this.#enumerations.set(name, text)
    return { type: `typeof ${name}`, value: name }
  }

  #member(id: number, indent: string, depth: number): Member | undefined {
    const type = this.#btf.type(this.#btf.skipModifiers(id))
    switch (type.kind) {
      case 'int': {
        if (![1, 2, 4, 8].includes(type.size)) return undefined
        const name = `${type.signed ? 'i' : 'u'}${type.size * 8}`
        this.#values.add(name)
        return { type: `typeof ${name}`, value: name }
      }
      case 'enum':
        return this.#enumeration(type)
      case 'ptr': {
        const target = this.#btf.type(this.#btf.skipModifiers(type.type))
        const to = target.kind === 'struct' && this.#named.has(target.name) ? identifier(target.name) : undefined
        this.#values.add('ptr')
        this.#types.add('type KernelPointer')
        if (to !== undefined) return { type: `KernelPointer<${to}>`, value: `ptr(() => ${to})` }
        this.#opaque = true
        return { type: 'KernelPointer<typeof opaque>', value: 'ptr(() => opaque)' }
      }
      case 'array': {
        const element = this.#btf.type(this.#btf.skipModifiers(type.type))
        if (element.kind !== 'int' || element.size !== 1 || type.count === 0) return undefined
        const form = element.char || element.name === 'char' ? 'text' : 'bytes'
        this.#values.add(form)
        return { type: `ReturnType<typeof ${form}<${type.count}>>`, value: `${form}(${type.count})` }
      }
      case 'union':
        return this.#inline(type, indent, depth)
      case 'struct': {
        if (type.name === '') return this.#inline(type, indent, depth)
        const id = identifier(type.name)
        return this.#named.has(type.name) ? { type: id, value: id } : undefined
      }
      default:
        return undefined
    }
  }

  #inline(type: BtfComposite, indent: string, depth: number): Member | undefined {
    if (depth >= MAX_INLINE) return undefined
    const { types, values } = this.#body(type, indent, depth + 1)
    if (types === '') return undefined
    return {
      type: `KernelStruct<{\n${types}${indent}}>`,
      value: `kernelStruct('', () => ({\n${values}${indent}}))`,
    }
  }
}

const TAKEN = new Set(
  'opaque ptr text bytes bits enumeration bool i8 i16 i32 i64 u8 u16 u32 u64 kernelStruct class new delete'.split(' '),
)

function identifier(name: string): string {
  return TAKEN.has(name) ? `${name}_` : name
}

function key(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name)
}
