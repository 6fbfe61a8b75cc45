import { describe, expect } from 'vitest'
import type { Btf } from '../../src/btf/index.ts'
import { kernelBtf } from '../../src/syscall/prog/kernel-btf.ts'
import {
  type AttrLayout,
  BPF_ATTRS,
  BPF_COMMANDS,
  BTF_INFO,
  LINK_INFO,
  LINK_TYPES,
  MAP_INFO,
  PROG_INFO,
} from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'

type Place = readonly [offset: number, size: number]

/** Every member of a struct or union by name; those of named inner structs with their path, those of anonymous ones without. */
function places(
  btf: Btf,
  id: number,
  base = 0,
  prefix = '',
  all: Map<string, Place[]> = new Map(),
): Map<string, Place[]> {
  const type = btf.resolve(id)
  if (type.kind !== 'struct' && type.kind !== 'union') return all
  for (const member of type.members) {
    const offset = base + member.bitOffset / 8
    const name = prefix + member.name
    const inner = btf.resolve(member.type)
    if (inner.kind === 'struct' || inner.kind === 'union')
      places(btf, member.type, offset, member.name === '' ? prefix : `${name}.`, all)
    else all.set(name, [...(all.get(name) ?? []), [offset, btf.sizeOf(member.type) ?? 0]])
  }
  return all
}

/** Names of the header's inner structs in front of a command's fields. */
const INSIDE: Readonly<Record<string, string>> = {
  map_lookup_batch: 'batch.',
  map_lookup_and_delete_batch: 'batch.',
  map_update_batch: 'batch.',
  map_delete_batch: 'batch.',
  prog_test_run: 'test.',
  obj_get_info_by_fd: 'info.',
  prog_query: 'query.',
  raw_tracepoint_open: 'raw_tracepoint.',
  task_fd_query: 'task_fd_query.',
  link_create: 'link_create.',
  link_update: 'link_update.',
  link_detach: 'link_detach.',
  enable_stats: 'enable_stats.',
  iter_create: 'iter_create.',
  prog_bind_map: 'prog_bind_map.',
  token_create: 'token_create.',
  prog_stream_read_by_fd: 'prog_stream_read.',
}

/** Fields that this kernel may lack because they are newer than some kernels that are supported. */
function faults(layout: AttrLayout, known: Map<string, Place[]>, prefix: string): string[] {
  return Object.entries(layout).flatMap(([name, [offset, size]]) => {
    const there = known.get(prefix + name)
    if (there === undefined) return [`${prefix}${name}: the kernel has no such field`]
    return there.some((place) => place[0] === offset && place[1] === size)
      ? []
      : [`${prefix}${name}: ${offset}+${size}, the kernel says ${JSON.stringify(there)}`]
  })
}

const vmlinux = (): Btf => {
  const btf = kernelBtf()
  if (btf === undefined) throw new Error('this kernel has no BTF')
  return btf
}

describe('the tables of bpf(2)', () => {
  testWith('bpf')('have the attributes where the running kernel has them', () => {
    const btf = vmlinux()
    const known = places(btf, btf.idByName('bpf_attr', 'union') ?? 0)
    const found = Object.entries(BPF_ATTRS).flatMap(([command, layout]) => faults(layout, known, INSIDE[command] ?? ''))
    expect(found).toEqual([])
  })

  testWith('bpf')('have the info structs as the running kernel has them', () => {
    const btf = vmlinux()
    for (const [name, layout] of [
      ['bpf_prog_info', PROG_INFO],
      ['bpf_map_info', MAP_INFO],
      ['bpf_btf_info', BTF_INFO],
      ['bpf_link_info', LINK_INFO],
    ] as const) {
      const known = places(btf, btf.idByName(name, 'struct') ?? 0)
      // a bit field's unit stands for it
      known.set('gpl_compatible', [[84, 4]])
      expect(faults(layout, known, '')).toEqual([])
    }
  })

  testWith('bpf')('number commands and link types as the running kernel does', () => {
    const btf = vmlinux()
    const values = (name: string): Map<string, number> => {
      const type = btf.find(name, 'enum')
      if (type?.kind !== 'enum') throw new Error(`no enum ${name}`)
      return new Map(type.values.map((row) => [row.name, Number(row.value)]))
    }
    const commands = values('bpf_cmd')
    for (const [name, number] of Object.entries(BPF_COMMANDS))
      expect([name, commands.get(`BPF_${name.toUpperCase()}`)]).toEqual([name, number])
    const links = values('bpf_link_type')
    for (const [name, number] of Object.entries(LINK_TYPES))
      expect([name, links.get(`BPF_LINK_TYPE_${name.toUpperCase()}`)]).toEqual([name, number])
  })
})
