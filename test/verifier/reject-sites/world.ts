/** The types and maps of the programs by reject site: objects with every kind of special field. */
import { BtfBuilder } from '../../../src/btf/index.ts'
import type { MapSpec } from '../../../src/spec/index.ts'
import { MAP_FLAGS, MAP_TYPES } from '../../../src/uapi/index.ts'
import { CAMPAIGN_MAPS } from '../../differential/verifier/maps.ts'

type Field = readonly [name: string, type: number, offset: number]

/** What a program's types are called in its rows. */
export interface World {
  readonly b: BtfBuilder
  readonly ids: Readonly<Record<string, number>>
  readonly maps: readonly MapSpec[]
}

/** Offsets in `struct thing`, the value of the maps `things` and `others`. */
export const THING = { timer: 0, queue: 16, task: 32, plain: 40, node: 48, list: 64, tree: 80, lock: 96, percpu: 104 }

export function world(): World {
  const b = new BtfBuilder()
  const int = b.int('int', 4, { signed: true })
  const word = b.int('__u64', 8)
  const struct = (name: string, size: number, fields: readonly Field[] = []): number =>
    b.add({
      kind: 'struct',
      name,
      size,
      members: fields.map(([field, type, at]) => ({ name: field, type, bitOffset: at * 8, bitSize: 0 })),
    })
  const opaque = (name: string, size: number): number =>
    struct(name, size, [['opaque', size === 4 ? int : b.array(word, size / 8), 0]])
  const tagged = (tag: string, target: number): number =>
    b.pointer(b.add({ kind: 'type_tag', name: tag, type: target }))
  const lock = opaque('bpf_spin_lock', 4)
  const listNode = opaque('bpf_list_node', 24)
  const treeNode = opaque('bpf_rb_node', 32)
  const listHead = opaque('bpf_list_head', 16)
  const treeRoot = opaque('bpf_rb_root', 16)
  const refcount = opaque('bpf_refcount', 4)
  const node = struct('site_node', 72, [
    ['key', word, 0],
    ['in_list', listNode, 8],
    ['in_tree', treeNode, 32],
    ['count', refcount, 64],
  ])
  const both = struct('site_both', 56, [
    ['first', listNode, 0],
    ['second', listNode, 24],
  ])
  const twin = struct('site_twin', 32, [['in_list', listNode, 0]])
  const scalars = struct('site_scalars', 8, [
    ['a', int, 0],
    ['b', int, 4],
  ])
  const large = struct('site_large', 520, [['words', b.array(word, 65), 0]])
  const withPointer = struct('site_with_pointer', 8, [['p', b.pointer(int), 0]])
  const head = struct('site_head', 24, [
    ['list', listHead, 0],
    ['lock', lock, 16],
  ])
  const pairs = struct('site_pairs', 24, [
    ['list', listHead, 0],
    ['lock', lock, 16],
  ])
  const task = struct('task_struct', 8)
  const timer = opaque('bpf_timer', 16)
  const queue = opaque('bpf_wq', 16)
  const thing = struct('site_thing', 112, [
    ['timer', timer, THING.timer],
    ['queue', queue, THING.queue],
    ['task', tagged('kptr', task), THING.task],
    ['plain', tagged('kptr_untrusted', task), THING.plain],
    ['node', tagged('kptr', node), THING.node],
    ['list', listHead, THING.list],
    ['tree', treeRoot, THING.tree],
    ['lock', lock, THING.lock],
    ['percpu', tagged('percpu_kptr', scalars), THING.percpu],
  ])
  b.add({ kind: 'decl_tag', name: 'contains:site_node:in_list', type: thing, component: 5 })
  b.add({ kind: 'decl_tag', name: 'contains:site_node:in_tree', type: thing, component: 6 })
  b.add({ kind: 'decl_tag', name: 'contains:site_both:second', type: pairs, component: 0 })
  b.add({ kind: 'decl_tag', name: 'contains:site_twin:in_list', type: head, component: 0 })
  const resilient = struct('site_resilient', 16, [
    ['key', word, 0],
    ['lock', opaque('bpf_res_spin_lock', 4), 8],
  ])
  const keeper = struct('site_keeper', 8, [['kept', tagged('kptr', scalars), 0]])
  const shared = struct('site_shared', 8, [['page', tagged('uptr', scalars), 0]])
  const pointers = {
    context: b.pointer(struct('__sk_buff', 4, [['len', int, 0]])),
    dynptr: b.pointer(struct('bpf_dynptr', 16)),
    taskPointer: b.pointer(task),
    scalarsPointer: b.pointer(scalars),
    wordPointer: b.pointer(word),
    nothing: b.pointer(0),
  }
  const map = (name: string, valueSize: number, type?: number, more: Partial<MapSpec> = {}): MapSpec => ({
    name,
    type: MAP_TYPES.array,
    keySize: 4,
    valueSize,
    maxEntries: 2,
    flags: 0,
    ...(type === undefined ? {} : { btfKeyTypeId: int, btfValueTypeId: type }),
    ...more,
  })
  return {
    b,
    ids: { int, word, node, both, twin, scalars, large, withPointer, head, thing, ...pointers },
    maps: [
      ...CAMPAIGN_MAPS,
      map('things', 112, thing),
      map('others', 112, thing),
      map('only', 112, thing, { maxEntries: 1 }),
      map('pairs', 24, pairs),
      map('untyped', 112),
      map('numbers', 8, scalars),
      map('keepers', 8, keeper),
      map('locks', 16, resilient),
      map('only_lock', 16, resilient, { maxEntries: 1 }),
      map('frozen_hash', 8, undefined, { type: MAP_TYPES.hash, flags: MAP_FLAGS.rdonly_prog, frozen: true }),
      map('frozen_array', 8, undefined, { flags: MAP_FLAGS.rdonly_prog, frozen: true }),
      map('from_user', 0, undefined, { type: MAP_TYPES.user_ringbuf, keySize: 0, maxEntries: 4096 }),
      ...Array.from({ length: 65 }, (_, i) => map(`m${i}`, 8)),
      map('storage_of_tasks', 8, shared, {
        type: MAP_TYPES.task_storage,
        maxEntries: 0,
        flags: MAP_FLAGS.no_prealloc,
      }),
    ],
  }
}

/** Ids of the types, the same in every world. */
export const TYPES: World['ids'] = world().ids
