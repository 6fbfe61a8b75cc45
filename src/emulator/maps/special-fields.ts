import { Btf } from '../../btf/index.ts'
import { BpfError } from '../../errors/index.ts'
import type { MapSpec } from '../../spec/index.ts'

/** A part of a map's value that the kernel keeps for itself: copies of whole values leave it as it is. */
export interface SpecialField {
  readonly offset: number
  readonly size: number
  readonly lock: boolean
}

/** Structs of the kernel's, bytes. */
const STRUCTS: ReadonlyMap<string, number> = new Map([
  ['bpf_spin_lock', 4],
  ['bpf_res_spin_lock', 8],
  ['bpf_timer', 16],
  ['bpf_wq', 16],
  ['bpf_task_work', 8],
  ['bpf_list_head', 16],
  ['bpf_rb_root', 16],
  ['bpf_refcount', 4],
])
const KERNEL_POINTERS: ReadonlySet<string> = new Set(['kptr_untrusted', 'kptr', 'percpu_kptr', 'uptr'])
const MAX_DEPTH = 8
const MAX_FIELDS = 11

function collect(btf: Btf, id: number, base: number, depth: number, found: SpecialField[]): void {
  if (depth > MAX_DEPTH || found.length >= MAX_FIELDS) return
  const type = btf.type(btf.skipModifiers(id))
  if (type.kind === 'array') {
    const size = btf.sizeOf(type.type) ?? 0
    for (let i = 0; i < Math.min(type.count, MAX_FIELDS); i++)
      collect(btf, type.type, base + i * size, depth + 1, found)
  } else if (type.kind === 'ptr') {
    const tag = btf.type(type.type)
    if (tag.kind === 'type_tag' && KERNEL_POINTERS.has(tag.name)) found.push({ offset: base, size: 8, lock: false })
  } else if (type.kind === 'struct') {
    const size = STRUCTS.get(type.name)
    if (size === undefined)
      for (const member of type.members) collect(btf, member.type, base + (member.bitOffset >> 3), depth + 1, found)
    else found.push({ offset: base, size, lock: type.name.endsWith('spin_lock') })
  }
}

/** The special fields of a map's values, from the BTF of the program that has the map; none without BTF. */
export function specialFields(spec: MapSpec, btf: Uint8Array | undefined): readonly SpecialField[] {
  if (btf === undefined || (spec.btfValueTypeId ?? 0) === 0) return []
  const found: SpecialField[] = []
  try {
    collect(new Btf(btf), spec.btfValueTypeId ?? 0, 0, 0, found)
  } catch (error) {
    // types that cannot be read make no fields: loading such a program is what reports them
    if (!(error instanceof BpfError)) throw error
    return []
  }
  return found.filter(({ offset, size }) => offset + size <= spec.valueSize).sort((a, b) => a.offset - b.offset)
}
