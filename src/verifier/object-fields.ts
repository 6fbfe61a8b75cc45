/**
 * Special fields of map values and of the program's own structs: locks, timers, kernel pointers, roots and nodes of lists
 * and trees (btf_parse_fields of Linux 6.18).
 */
import type { Btf } from '../btf/index.ts'
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

const STRUCTS: ReadonlyMap<string, number> = new Map([
  ['bpf_spin_lock', 4],
  ['bpf_res_spin_lock', 8],
  ['bpf_timer', 16],
  ['bpf_wq', 16],
  ['bpf_task_work', 8],
  ['bpf_list_head', 16],
  ['bpf_list_node', 24],
  ['bpf_rb_root', 16],
  ['bpf_rb_node', 32],
  ['bpf_refcount', 4],
])
const POINTERS: ReadonlySet<string> = new Set(['kptr_untrusted', 'kptr', 'percpu_kptr', 'uptr'])
const MAX_DEPTH = 8
/** A type with more has none at all, as far as the kernel is concerned. */
const MAX_FIELDS = 11
const UNIQUE: readonly FieldKind[] = [
  'bpf_spin_lock',
  'bpf_res_spin_lock',
  'bpf_timer',
  'bpf_wq',
  'bpf_task_work',
  'bpf_refcount',
]

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

/** All special fields of a type, in order of their offsets. */
export function fieldsOfType(btf: Btf, id: number): readonly ObjectField[] {
  const found: ObjectField[] = []
  collect(btf, id, 0, 0, 0, -1, found)
  return isLegal(found) ? found.sort((a, b) => a.offset - b.offset) : []
}

/** Special fields that an object of the program may have; others are plain bytes there. */
export const OBJECT_KINDS: ReadonlySet<FieldKind> = new Set([
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
  if (fields.length > MAX_FIELDS || UNIQUE.some((kind) => count(kind) > 1)) return false
  if (fields.some(({ kind, target }) => (kind === 'bpf_list_head' || kind === 'bpf_rb_root') && target === 0))
    return false
  if (count('bpf_spin_lock') + count('bpf_res_spin_lock') > 1) return false
  const roots = count('bpf_list_head') + count('bpf_rb_root')
  if (roots > 0 && count('bpf_spin_lock') + count('bpf_res_spin_lock') === 0) return false
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

function collect(
  btf: Btf,
  id: number,
  offset: number,
  depth: number,
  owner: number,
  component: number,
  found: ObjectField[],
): void {
  if (depth > MAX_DEPTH || found.length > MAX_FIELDS || !btf.has(id)) return
  const current = skipTypedefs(btf, id)
  const type = btf.type(current)
  const plain = { offset, size: 8, target: 0, node: '', nodeOffset: 0 }
  if (type.kind === 'ptr') {
    const tag = btf.has(type.type) ? btf.type(type.type) : undefined
    if (tag?.kind === 'type_tag' && POINTERS.has(tag.name))
      found.push({ ...plain, kind: tag.name as FieldKind, target: btf.skipModifiers(tag.type) })
    return
  }
  if (type.kind === 'array') {
    const size = btf.sizeOf(type.type) ?? 0
    const before = found.length
    for (let i = 0; i < type.count && size > 0; i++) {
      collect(btf, type.type, offset + i * size, depth + 1, owner, component, found)
      if (found.length === before) return
    }
    return
  }
  if (type.kind === 'datasec') {
    for (const entry of type.entries) {
      const variable = btf.type(entry.type)
      if (variable.kind === 'var') collect(btf, variable.type, offset + entry.offset, depth + 1, entry.type, -1, found)
    }
    return
  }
  if (type.kind !== 'struct') return
  const size = STRUCTS.get(type.name)
  if (size !== undefined) {
    const kind = type.name as FieldKind
    if (kind === 'bpf_list_head' || kind === 'bpf_rb_root') {
      const [struct, node] = (containsTag(btf, owner, component) ?? '').split(':')
      const target = btf.idByName(struct, 'struct') ?? 0
      const value = target === 0 ? undefined : btf.type(target)
      const member = value?.kind === 'struct' ? value.members.find((m) => m.name === node) : undefined
      const wanted = kind === 'bpf_list_head' ? 'bpf_list_node' : 'bpf_rb_node'
      const links = member !== undefined && btf.name(btf.skipModifiers(member.type)) === wanted
      const nodeOffset = (member?.bitOffset ?? 0) >> 3
      found.push({ kind, offset, size, target: links ? target : 0, node: node ?? '', nodeOffset })
    } else found.push({ ...plain, kind, size })
    return
  }
  for (const [i, member] of type.members.entries())
    collect(btf, member.type, offset + (member.bitOffset >> 3), depth + 1, current, i, found)
}

function skipTypedefs(btf: Btf, id: number): number {
  let current = id
  for (let hops = 0; hops < 32; hops++) {
    const type = btf.type(current)
    if (
      type.kind === 'typedef' ||
      type.kind === 'const' ||
      type.kind === 'volatile' ||
      type.kind === 'restrict' ||
      type.kind === 'type_tag'
    )
      current = type.type
    else break
  }
  return current
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
