import type { FunctionContext } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { helper } from '../kinds/helper-calls.ts'
import { i64, type Type, u32 } from '../types/types.ts'
import { Int } from '../values/int.ts'
import { Maybe, nullable } from '../values/maybe.ts'
import { type KernelObject, POINTER } from '../values/socket.ts'
import { type InitOf, type View, view } from '../values/views.ts'
import { MapDefinition, type MapOptions } from './definition.ts'
import { materialize } from './keys.ts'

/** The storages by what they belong to: map type, helpers, since. */
const KINDS = {
  socket: ['sk_storage', 'sk_storage_get', 'sk_storage_delete'],
  task: ['task_storage', 'task_storage_get', 'task_storage_delete'],
  inode: ['inode_storage', 'inode_storage_get', 'inode_storage_delete'],
  cgroup: ['cgrp_storage', 'cgrp_storage_get', 'cgrp_storage_delete'],
} as const
export type StorageKind = keyof typeof KINDS

const reach = (fn: FunctionContext, of: KernelObject): Operand => fn.reach(of[POINTER].fn, of[POINTER].operand)

/** BPF_LOCAL_STORAGE_GET_F_CREATE. */
const CREATE = 1

/** A value that lives with a kernel object (a socket, a task …) and goes with it. */
export class LocalStorage<V extends Type, S extends StorageKind> extends MapDefinition {
  declare readonly valueType: V
  readonly storage: S
  constructor(storage: S, name: string, value: V, options: MapOptions) {
    super(
      KINDS[storage][0],
      name,
      { key: u32, value, maxEntries: 0 },
      { ...options, flags: [...(options.flags ?? []), 'no_prealloc'] },
    )
    this.storage = storage
  }
  /** The object's value, made (from `initial`, else zero) when it is missing; still maybe: there may be no memory. */
  getOrInit(of: KernelObject, initial?: InitOf<V>): Maybe<View<V, 'shared'>> {
    return this.#get('getOrInit', of, CREATE, initial)
  }
  /** The object's value; missing when it has none. */
  get(of: KernelObject): Maybe<View<V, 'shared'>> {
    return this.#get('get', of, 0)
  }
  #get(what: string, of: KernelObject, flags: number, initial?: InitOf<V>): Maybe<View<V, 'shared'>> {
    const { fn, handle } = this.use(what)
    const first: Operand =
      initial === undefined ? constant(0) : materialize(fn, this.valueType, initial, `first value of ${this.name}`)
    const base = fn.emitter.call(helper(KINDS[this.storage][1]), [handle, reach(fn, of), first, constant(flags)], {
      pure: true,
    })
    return new Maybe(fn, nullable(fn, base), () =>
      view<V, 'shared'>(this.valueType, { fn, region: 'map', base, offset: 0, access: 'shared' }),
    )
  }
  /** Removes the object's value; 0 or a negative errno. */
  delete(of: KernelObject): Int<'i64'> {
    const { fn, handle } = this.use('delete')
    return new Int(i64, fn.emitter.call(helper(KINDS[this.storage][2]), [handle, reach(fn, of)]), fn)
  }
}

/** Storage of the cgroup that a program is attached to: one value (Linux 4.19). It is always there. */
export class AttachedCgroupStorage<V extends Type> extends MapDefinition {
  declare readonly valueType: V
  constructor(name: string, value: V, options: MapOptions & { readonly perCpu?: boolean }) {
    super(
      options.perCpu ? 'percpu_cgroup_storage' : 'cgroup_storage',
      name,
      { keySize: 16, value, maxEntries: 0 },
      options,
    )
  }
  /** The value of this cgroup and program. */
  value(): View<V, 'shared'> {
    const { fn, handle } = this.use('value')
    const base = fn.emitter.call(helper('get_local_storage'), [handle, constant(0)], { pure: true })
    return view<V, 'shared'>(this.valueType, { fn, region: 'map', base, offset: 0, access: 'shared' })
  }
}
