/** The structs of the programs with objects of their own, as BTF, and the maps whose values they are. */
import type { MapSpec } from '../../../../src/spec/index.ts'
import { MAP_TYPES } from '../../../../src/uapi/index.ts'
import { member, type Types, types } from './typed.ts'

/** Offsets of the fields of a map value, and of the nodes that its list and its tree hold. */
export const VALUE = {
  timer: 0,
  queue: 16,
  kptr: 32,
  plain: 40,
  local: 48,
  list: 64,
  tree: 80,
  lock: 96,
  data: 100,
  more: 104,
  size: 136,
}
export const RES = { lock: 8, size: 16 }
export const NODE = { list: 8, tree: 32, count: 64, size: 72 }
export const FIRST = 0
export const SECOND = 1
export const PLAIN = 2
export const RESILIENT = 3

/** Types of a program and the maps of them. */
export interface World extends Types {
  readonly node: number
  readonly scalars: number
  readonly maps: readonly MapSpec[]
}

/** Ways to write a field that the kernel may not take for one. */
export const QUIRKS = ['typedef', 'const', 'size', 'twice', 'nested', 'elements', 'bits', 'tag', 'many'] as const
export type Quirk = (typeof QUIRKS)[number]

export function world(quirk?: Quirk): World {
  const t = types()
  const { b, int } = t
  const struct = (name: string, size: number, fields: readonly (readonly [string, number, number])[] = []): number =>
    b.add({ kind: 'struct', name, size, members: fields.map(([field, type, at]) => member(field, type, at * 8)) })
  const opaque = (name: string, size: number): number => {
    const word = b.int('__u64', 8)
    return struct(name, size, [['opaque', size === 4 ? int : b.array(word, size / 8), 0]])
  }
  const lock = opaque('bpf_spin_lock', 4)
  const head = opaque('bpf_list_head', 16)
  const root = opaque('bpf_rb_root', 16)
  const node = struct('own_node', NODE.size, [
    ['key', b.int('__u64', 8), 0],
    ['in_list', opaque('bpf_list_node', 24), NODE.list],
    ['in_tree', opaque('bpf_rb_node', 32), NODE.tree],
    ['count', opaque('bpf_refcount', 4), NODE.count],
    ['more', int, 68],
  ])
  const scalars = struct('numbers', 8, [
    ['a', int, 0],
    ['b', int, 4],
  ])
  const task = struct('task_struct', 8)
  const tagged = (tag: string, target: number): number =>
    b.pointer(b.add({ kind: 'type_tag', name: tag, type: target }))
  const odd = (type: number, size: number): number => {
    if (quirk === 'typedef') return b.add({ kind: 'typedef', name: 'hidden_t', type })
    if (quirk === 'const') return b.add({ kind: 'const', type })
    if (quirk === 'nested') return struct('around', size, [['inner', type, 0]])
    if (quirk === 'elements') return b.array(type, 1)
    return type
  }
  const more: (readonly [string, number, number])[] =
    quirk === 'twice'
      ? [['lock2', lock, VALUE.more]]
      : quirk === 'bits'
        ? [['bit', int, VALUE.more + 0.125]]
        : quirk === 'tag'
          ? [['tagged', tagged('user', task), VALUE.more]]
          : [['array', b.array(tagged('kptr', task), quirk === 'many' ? 4 : 2), VALUE.more]]
  const value = struct('own_value', VALUE.size, [
    ['timer', quirk === 'size' ? opaque('bpf_timer', 8) : odd(opaque('bpf_timer', 16), 16), VALUE.timer],
    ['queue', opaque('bpf_wq', 16), VALUE.queue],
    ['task', odd(tagged('kptr', task), 8), VALUE.kptr],
    ['plain', tagged('kptr_untrusted', task), VALUE.plain],
    ['local', tagged('kptr', node), VALUE.local],
    ['list', head, VALUE.list],
    ['tree', root, VALUE.tree],
    ['lock', lock, VALUE.lock],
    ['data', int, VALUE.data],
    ...more,
  ])
  b.add({ kind: 'decl_tag', name: 'contains:own_node:in_list', type: value, component: 5 })
  b.add({ kind: 'decl_tag', name: 'contains:own_node:in_tree', type: value, component: 6 })
  const resilient = struct('own_resilient', RES.size, [
    ['key', b.int('__u64', 8), 0],
    ['lock', opaque('bpf_res_spin_lock', 4), RES.lock],
  ])
  const map = (name: string, valueSize: number, type?: number): MapSpec => ({
    name,
    type: MAP_TYPES.array,
    keySize: 4,
    valueSize,
    maxEntries: 2,
    flags: 0,
    ...(type === undefined ? {} : { btfKeyTypeId: int, btfValueTypeId: type }),
  })
  const maps = [map('first', VALUE.size, value), map('second', VALUE.size, value), map('untyped', VALUE.size)]
  return { ...t, node, scalars, maps: [...maps, map('resilient', RES.size, resilient)] }
}
