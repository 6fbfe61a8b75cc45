/**
 * Special fields of map values and of the program's own structs: locks, timers, kernel pointers, roots and nodes of lists
 * and trees (btf_parse_fields of Linux 6.18).
 */
import type { Btf } from '../../btf/index.ts'
import { KERNEL_OBJECT, type KernelTypes, PROGRAM_OBJECT } from './kernel-types.ts'

export type FieldKind =
  | 'bpf_spin_lock'
  | 'bpf_res_spin_lock'
  | 'bpf_timer'
  | 'bpf_wq'
  | 'bpf_task_work'
  | 'bpf_list_head'
  | 'bpf_list_node'
  | 'bpf_rb_root'
  | 'bpf_rb_node'
  | 'bpf_refcount'
  | 'kptr_untrusted'
  | 'kptr'
  | 'percpu_kptr'
  | 'uptr'

export interface ObjectField {
  readonly kind: FieldKind
  readonly offset: number
  readonly size: number
  /** Of a pointer: the local type behind it. Of a root: the struct it holds. */
  readonly target: number
  /** Of a root: the member that links, and where it is. */
  readonly node: string
  readonly nodeOffset: number
}

/** Structs that mark a field, by name: size, alignment, and whether a type may have it only once. */
const STRUCTS: ReadonlyMap<string, readonly [size: number, alignment: number, unique: boolean]> = new Map([
  ['bpf_spin_lock', [4, 4, true]],
  ['bpf_res_spin_lock', [4, 4, true]],
  ['bpf_timer', [16, 8, true]],
  ['bpf_wq', [16, 8, true]],
  ['bpf_task_work', [8, 8, true]],
  ['bpf_list_head', [16, 8, false]],
  ['bpf_list_node', [24, 8, false]],
  ['bpf_rb_root', [16, 8, false]],
  ['bpf_rb_node', [32, 8, false]],
  ['bpf_refcount', [4, 4, true]],
])
const POINTERS: ReadonlySet<string> = new Set(['kptr_untrusted', 'kptr', 'percpu_kptr', 'uptr'])
const POINTER_SIZE = 8
const MAX_DEPTH = 32
/** A type with more has none at all, as far as the kernel is concerned. */
const MAX_FIELDS = 11
/** Fields that may be elements of an array. */
const REPEATED: ReadonlySet<string> = new Set([...POINTERS, 'bpf_list_head', 'bpf_rb_root'])

/** A field as messages name it. */
export function fieldText(field: ObjectField): string {
  return field.kind === 'kptr_untrusted' ? 'kptr' : field.kind
}

export function isLockField(field: ObjectField): boolean {
  return field.kind === 'bpf_spin_lock' || field.kind === 'bpf_res_spin_lock'
}

export function isKernelPointer(field: ObjectField): boolean {
  return POINTERS.has(field.kind)
}

/** The kernel's types, where they are at hand. */
export type KernelSource = () => KernelTypes | undefined

/** Structs of the kernel with a destructor: only those may be behind a counted pointer that a map or object keeps. */
const DESTRUCTIBLE: ReadonlySet<string> = new Set([
  'task_struct',
  'cgroup',
  'bpf_cpumask',
  'bpf_crypto_ctx',
  'prog_test_ref_kfunc',
  'prog_test_member',
])

/** All special fields of a type, in order of their offsets; none where the kernel finds a fault in one. */
export function fieldsOfType(btf: Btf, id: number, kernel?: KernelSource): readonly ObjectField[] {
  const fields = legalFields(new Search(btf, undefined, kernel), skipModifiers(btf, id)) ?? []
  return hasForeignTag(btf, id) ? fields.filter((field) => !POINTERS.has(field.kind)) : fields
}

/** Whether a member is a pointer with a tag that is none of kptrs' (`user`, `rcu` …): 6.18 then finds no kptr in the map at all. */
function hasForeignTag(btf: Btf, id: number): boolean {
  const type = btf.type(skipModifiers(btf, id))
  if (type.kind !== 'struct') return false
  return type.members.some((member) => {
    const pointer = btf.has(member.type) ? btf.type(member.type) : undefined
    const tag = pointer?.kind === 'ptr' && btf.has(pointer.type) ? btf.type(pointer.type) : undefined
    return tag?.kind === 'type_tag' && !POINTERS.has(tag.name)
  })
}

/** Special fields of a struct that programs may allocate. */
export function fieldsOfObject(btf: Btf, id: number): readonly ObjectField[] {
  return legalFields(new Search(btf, OBJECT_KINDS), id) ?? []
}

function legalFields(search: Search, id: number): readonly ObjectField[] | undefined {
  const found = search.of(id)
  return found !== undefined && isLegal(found) ? found.sort((a, b) => a.offset - b.offset) : undefined
}

/** Structs whose members make the one that has them a type of objects. */
const OBJECT_STRUCTS = ['bpf_spin_lock', 'bpf_list_head', 'bpf_list_node', 'bpf_rb_root', 'bpf_rb_node', 'bpf_refcount']

/** A struct with fields of objects has a fault: the kernel takes no such BTF (btf_parse_struct_metas). */
export function hasFaultyObject(btf: Btf, kernel?: KernelSource): boolean {
  const marks = new Set<number>()
  for (const name of OBJECT_STRUCTS) {
    const id = btf.idByName(name, 'struct')
    if (id !== undefined) marks.add(id)
  }
  for (let id = 1; id < btf.endId; id++)
    if (btf.has(id) && btf.kind(id) === 'ptr' && isObjectPointer(btf, id)) marks.add(id)
  if (marks.size === 0) return false
  for (let id = 1; id < btf.endId; id++) {
    if (!btf.has(id) || btf.kind(id) !== 'struct') continue
    const type = btf.type(id)
    if (type.kind !== 'struct' || !type.members.some((member) => marks.has(member.type))) continue
    if ((legalFields(new Search(btf, OBJECT_KINDS, kernel), id)?.length ?? 0) === 0) return true
  }
  return false
}

function isObjectPointer(btf: Btf, id: number): boolean {
  const pointer = btf.type(id)
  const tag = pointer.kind === 'ptr' && btf.has(pointer.type) ? btf.type(pointer.type) : undefined
  if (tag?.kind !== 'type_tag' || btf.kind(tag.type) === 'type_tag') return false
  return OBJECT_KINDS.has(tag.name as FieldKind) && btf.kind(btf.skipModifiers(tag.type)) === 'struct'
}

/** Special fields that an object of the program may have; others are plain bytes there. */
const OBJECT_KINDS: ReadonlySet<FieldKind> = new Set([
  'bpf_spin_lock',
  'bpf_res_spin_lock',
  'bpf_list_head',
  'bpf_list_node',
  'bpf_rb_root',
  'bpf_rb_node',
  'bpf_refcount',
  'kptr_untrusted',
  'kptr',
  'percpu_kptr',
])

/** Rules that the fields of one type keep together; where they are broken a map has no special fields. */
function isLegal(fields: readonly ObjectField[]): boolean {
  const count = (kind: FieldKind) => fields.filter((field) => field.kind === kind).length
  if (fields.length > MAX_FIELDS) return false
  if (fields.some(({ kind, target }) => (kind === 'bpf_list_head' || kind === 'bpf_rb_root') && target === 0))
    return false
  if (count('bpf_spin_lock') + count('bpf_res_spin_lock') > 1) return false
  const roots = count('bpf_list_head') + count('bpf_rb_root')
  if (roots > 0 && count('bpf_spin_lock') === 0) return false
  return count('bpf_refcount') > 0 || count('bpf_list_node') === 0 || count('bpf_rb_node') === 0
}

function containsTag(btf: Btf, owner: number, component: number): string | undefined {
  for (let id = 1; id < btf.endId; id++) {
    if (!btf.has(id) || btf.kind(id) !== 'decl_tag') continue
    const tag = btf.type(id)
    if (
      tag.kind === 'decl_tag' &&
      tag.type === owner &&
      tag.component === component &&
      tag.name.startsWith('contains:')
    )
      return tag.name.slice('contains:'.length)
  }
  return undefined
}

/** What makes the whole type one without special fields. */
class Fault extends Error {}

/** One walk through a type: members, elements of arrays, variables of a section. Modifiers hide what they stand before. */
class Search {
  readonly #btf: Btf
  readonly #kinds: ReadonlySet<FieldKind> | undefined
  readonly #kernel: KernelSource | undefined
  readonly #seen = new Set<string>()

  /**
   * @param kinds the fields that are looked for; all without
   * @param kernel tells which structs are the kernel's; without it all are taken for the program's own
   */
  constructor(btf: Btf, kinds?: ReadonlySet<FieldKind>, kernel?: KernelSource) {
    this.#btf = btf
    this.#kinds = kinds
    this.#kernel = kernel
  }

  of(id: number): ObjectField[] | undefined {
    const type = this.#btf.type(id)
    try {
      if (type.kind === 'struct') return this.#members(id, 0)
      if (type.kind !== 'datasec') return []
      return type.entries.flatMap((entry) => {
        const variable = this.#btf.type(entry.type)
        return variable.kind === 'var' ? this.#one(variable.type, entry.offset, entry.size, entry.type, -1, 0) : []
      })
    } catch (error) {
      if (error instanceof Fault) return undefined
      throw error
    }
  }

  #members(id: number, depth: number): ObjectField[] {
    const type = this.#btf.type(id)
    if (depth >= MAX_DEPTH) throw new Fault()
    if (type.kind !== 'struct') return []
    return type.members.flatMap((member, i) => {
      if (member.bitOffset % 8 !== 0) throw new Fault()
      return this.#one(member.type, member.bitOffset / 8, 0, id, i, depth)
    })
  }

  /** The fields of one member or variable; `size` is 0 where nothing says how large it must be. */
  #one(start: number, offset: number, size: number, owner: number, component: number, depth: number): ObjectField[] {
    const btf = this.#btf
    let id = start
    let elements = 1
    for (let hops = 0; btf.has(id); hops++) {
      const type = btf.type(id)
      if (type.kind !== 'array') break
      if (hops === MAX_DEPTH) throw new Fault()
      elements *= type.count
      id = type.type
    }
    if (elements === 0 || !btf.has(id)) return []
    const type = btf.type(id)
    const name = 'name' in type ? type.name : ''
    const known = this.#wanted(name) ? STRUCTS.get(name) : undefined
    if (known === undefined && type.kind === 'struct') {
      if (size !== 0 && size !== type.size * elements) return []
      const inside = this.#members(id, depth + 1).map((field) => ({ ...field, offset: field.offset + offset }))
      return repeated(inside, elements, type.size)
    }
    const [own, alignment, unique] = known ?? [POINTER_SIZE, POINTER_SIZE, false]
    if (unique) {
      if (this.#seen.has(name)) throw new Fault()
      this.#seen.add(name)
    }
    if ((size !== 0 && size !== own * elements) || offset % alignment !== 0) return []
    if (known === undefined) return repeated(this.#pointer(id, offset), elements, own)
    if (type.kind !== 'struct' || type.size !== own) return []
    const kind = name as FieldKind
    const isRoot = kind === 'bpf_list_head' || kind === 'bpf_rb_root'
    const field = isRoot ? this.#root(kind, offset, own, owner, component) : { ...NOWHERE, kind, offset, size: own }
    return repeated([field], elements, own)
  }

  #wanted(name: string): boolean {
    return this.#kinds === undefined || this.#kinds.has(name as FieldKind)
  }

  #pointer(start: number, offset: number): ObjectField[] {
    const btf = this.#btf
    const first = btf.type(start)
    const pointer = first.kind === 'volatile' ? btf.type(first.type) : first
    if (pointer.kind !== 'ptr' || !btf.has(pointer.type)) return []
    const tag = btf.type(pointer.type)
    if (tag.kind !== 'type_tag') return []
    const target = btf.skipModifiers(tag.type)
    if (btf.kind(tag.type) === 'type_tag') throw new Fault()
    if (!POINTERS.has(tag.name) || !this.#wanted(tag.name)) return []
    const pointee = btf.type(target)
    if (pointee.kind !== 'struct') throw new Fault()
    const lasting = tag.name === 'kptr' && !DESTRUCTIBLE.has(pointee.name)
    if (lasting && this.#kernel?.()?.struct(pointee.name) !== undefined) throw new Fault()
    return [{ ...NOWHERE, kind: tag.name as FieldKind, offset, size: POINTER_SIZE, target }]
  }

  #root(kind: FieldKind, offset: number, size: number, owner: number, component: number): ObjectField {
    const btf = this.#btf
    const [struct, node = ''] = (containsTag(btf, owner, component) ?? '').split(':')
    const target = btf.idByName(struct, 'struct') ?? 0
    const value = target === 0 ? undefined : btf.type(target)
    const member = value?.kind === 'struct' ? value.members.find((m) => m.name === node) : undefined
    const wanted = kind === 'bpf_list_head' ? 'bpf_list_node' : 'bpf_rb_node'
    const links = member !== undefined && btf.name(btf.skipModifiers(member.type)) === wanted
    return { kind, offset, size, target: links ? target : 0, node, nodeOffset: (member?.bitOffset ?? 0) >> 3 }
  }
}

const NOWHERE = { target: 0, node: '', nodeOffset: 0 }

/** The fields of every element of an array. */
function repeated(fields: ObjectField[], elements: number, size: number): ObjectField[] {
  if (elements === 1 || fields.length === 0) return fields
  if (fields.length * elements > MAX_FIELDS || fields.some(({ kind }) => !REPEATED.has(kind))) throw new Fault()
  return Array.from({ length: elements }, (_, i) =>
    fields.map((field) => ({ ...field, offset: field.offset + i * size })),
  ).flat()
}

function skipModifiers(btf: Btf, id: number): number {
  return btf.has(id) ? btf.skipModifiers(id) : id
}

/** What a pointer field points to: the kernel's struct of that name, else the program's own. */
export function pointerTarget(
  btf: Btf,
  kernel: KernelTypes | undefined,
  field: ObjectField,
): { readonly object: number; readonly id: number } | undefined {
  const type = btf.type(field.target)
  if (type.kind !== 'struct' && type.kind !== 'union' && type.kind !== 'fwd') return undefined
  if (kernel === undefined) return undefined
  const kind = type.kind === 'union' ? 'union' : 'struct'
  const id = kernel.btf.idByName(type.name, kind)
  if (id !== undefined) return { object: KERNEL_OBJECT, id }
  return { object: PROGRAM_OBJECT, id: field.target }
}
