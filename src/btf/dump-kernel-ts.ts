import { InputError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import type { BtfComposite, BtfMember } from './types.ts'

/** Structs that one dump describes at most: those inside each other are followed, those behind pointers are not. */
const MAX_STRUCTS = 2000

/**
 * TypeScript definitions of kernel structs for the builder's CO-RE access (`kernelStruct`): what the roots and the structs
 * inside them have by name. Pointers lead to the other described structs, else to one without members. Members that the
 * builder cannot read (bit fields, booleans, arrays of numbers, unions) are named in a comment.
 * @param roots ids of structs
 * @throws InputError `btf.kind` when a root is no struct with members
 */
export function dumpKernelTypes(btf: Btf, roots: readonly number[]): string {
  const named = new Map<string, BtfComposite>()
  const add = (id: number, root: boolean): void => {
    const type = btf.type(btf.skipModifiers(id))
    if (type.kind !== 'struct' || type.name === '') {
      if (root) throw new InputError('btf.kind', `${btf.what}: ${btf.describe(id)} is no struct with a name`)
      return
    }
    if (named.has(type.name) || named.size >= MAX_STRUCTS) return
    named.set(type.name, type)
    for (const member of membersOf(btf, type)) if (member.bitSize === 0) add(member.type, false)
  }
  for (const id of roots) add(id, true)
  const dump = new KernelTypes(btf, named)
  const bodies = [...named.values()].map((struct) => dump.struct(struct))
  return `${dump.head()}\n${bodies.join('\n')}`
}

/** Members by name, those of nameless structs and unions in their place: CO-RE finds both alike. */
function membersOf(btf: Btf, { members }: BtfComposite, depth = 0): BtfMember[] {
  return members.flatMap((member) => {
    if (member.name !== '') return [member]
    const inner = btf.type(btf.skipModifiers(member.type))
    return depth < 32 && (inner.kind === 'struct' || inner.kind === 'union') ? membersOf(btf, inner, depth + 1) : []
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

  struct(type: BtfComposite): string {
    const { name } = type
    const rows: { readonly name: string; readonly member: Member }[] = []
    const left: string[] = []
    for (const member of membersOf(this.#btf, type)) {
      const found = member.bitSize > 0 ? undefined : this.#member(member.type)
      if (found !== undefined) rows.push({ name: key(member.name), member: found })
      else left.push(member.name)
    }
    const types = rows.map((row) => `  readonly ${row.name}: ${row.member.type}\n`).join('')
    const values = rows.map((row) => `  ${row.name}: ${row.member.value},\n`).join('')
    const note = left.length === 0 ? '' : ` Not here: ${left.join(', ')}.`
    const id = identifier(name)
    return `/** struct ${name}.${note} */
export interface ${id} extends KernelStruct<{
${types}}> {}
export const ${id}: ${id} = kernelStruct('${name}', () => ({
${values}}))
`
  }

  #member(id: number): Member | undefined {
    const type = this.#btf.type(this.#btf.skipModifiers(id))
    switch (type.kind) {
      case 'int': {
        if (type.bool || ![1, 2, 4, 8].includes(type.size)) return undefined
        const name = `${type.signed ? 'i' : 'u'}${type.size * 8}`
        this.#values.add(name)
        return { type: `typeof ${name}`, value: name }
      }
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
      case 'struct': {
        const id = identifier(type.name)
        return this.#named.has(type.name) ? { type: id, value: id } : undefined
      }
      default:
        return undefined
    }
  }
}

const TAKEN = new Set(
  'opaque ptr text bytes bool i8 i16 i32 i64 u8 u16 u32 u64 kernelStruct class new delete'.split(' '),
)

function identifier(name: string): string {
  return TAKEN.has(name) ? `${name}_` : name
}

function key(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name)
}
