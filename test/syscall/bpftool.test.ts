import { execFileSync } from 'node:child_process'
import { mkdirSync, rmdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { BtfBuilder } from '../../src/btf/index.ts'
import type { MapSpec } from '../../src/spec/index.ts'
import {
  attachCgroup,
  attachIterator,
  attachNetfilter,
  attachNetns,
  attachPerfEvent,
  attachRawTracepoint,
  attachSockmap,
  attachTcx,
  attachTracepoint,
  attachUprobe,
  attachUprobeMulti,
  attachXdp,
  createRawMap,
  findBinary,
  interfaceIndex,
  kernelMemory,
  type Link,
  loadBtf,
  mapInfo,
  possibleCpus,
  programInfo,
  type RawMap,
  realSys,
} from '../../src/syscall/index.ts'
import { MAP_FLAGS, MAP_TYPES, type MapType, PROGRAM_TYPES, type ProgramType } from '../../src/uapi/index.ts'
import { testWith, unmet } from '../requirements.ts'
import { enterOwnNamespace, type OwnNamespace } from './own-namespace.ts'
import { type Counter, counter } from './programs.ts'

const toolTest = testWith('bpf', 'program:ip', 'program:bpftool')
let own: OwnNamespace | undefined

beforeAll(() => {
  if (unmet('bpf', 'program:ip', 'program:bpftool') === undefined) own = enterOwnNamespace()
})
afterAll(() => own?.close())

type Row = Readonly<Record<string, unknown>>
function show(kind: 'map' | 'prog' | 'link', id: number): Row {
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` }
  return JSON.parse(execFileSync('bpftool', ['-j', kind, 'show', 'id', String(id)], { encoding: 'utf8', env })) as Row
}

function intBtf(): { bytes: Uint8Array; int: number } {
  const builder = new BtfBuilder()
  const int = builder.add({
    kind: 'int',
    name: 'int',
    size: 4,
    bits: 32,
    bitOffset: 0,
    signed: true,
    char: false,
    bool: false,
  })
  return { bytes: builder.toBytes(), int }
}

describe('bpftool says the same', () => {
  toolTest('of every map type', () => {
    const sys = realSys()
    const page = sys.pageSize
    const { bytes, int } = intBtf()
    using btf = loadBtf(sys, bytes)
    const typed = { maxEntries: 0, flags: MAP_FLAGS.no_prealloc, btfKeyTypeId: int, btfValueTypeId: int }
    const shapes: { readonly [T in MapType]?: Partial<MapSpec> } = {
      hash: { valueSize: 24, maxEntries: 100 },
      array: { flags: MAP_FLAGS.mmapable },
      prog_array: {},
      perf_event_array: { maxEntries: possibleCpus() },
      percpu_hash: { valueSize: 8 },
      percpu_array: { valueSize: 8 },
      stack_trace: { valueSize: 80 },
      cgroup_array: {},
      lru_hash: {},
      lru_percpu_hash: {},
      lpm_trie: { keySize: 8, flags: MAP_FLAGS.no_prealloc },
      array_of_maps: {},
      hash_of_maps: {},
      devmap: { valueSize: 8 },
      sockmap: {},
      cpumap: { valueSize: 8, maxEntries: 1 },
      xskmap: {},
      sockhash: {},
      cgroup_storage: { keySize: 16, maxEntries: 0 },
      reuseport_sockarray: { valueSize: 8 },
      percpu_cgroup_storage: { keySize: 16, maxEntries: 0 },
      queue: { keySize: 0 },
      stack: { keySize: 0 },
      sk_storage: typed,
      devmap_hash: { valueSize: 8 },
      ringbuf: { keySize: 0, valueSize: 0, maxEntries: page },
      inode_storage: typed,
      task_storage: typed,
      bloom_filter: { keySize: 0 },
      user_ringbuf: { keySize: 0, valueSize: 0, maxEntries: page },
      cgrp_storage: typed,
      arena: { keySize: 0, valueSize: 0, flags: MAP_FLAGS.mmapable },
    }
    const base = { keySize: 4, valueSize: 4, maxEntries: 4, flags: 0 }
    using inner = createRawMap(sys, { ...base, name: 'inner', type: MAP_TYPES.array })
    for (const [type, shape] of Object.entries(shapes) as [MapType, Partial<MapSpec>][]) {
      const spec = { ...base, name: `t_${type}`.slice(0, 15), type: MAP_TYPES[type], ...shape }
      using map = createRawMap(sys, spec, {
        btfFd: btf.fd,
        innerMapFd: type.endsWith('of_maps') ? inner.fd : undefined,
      })
      const info = mapInfo(sys, map.fd)
      const shown = show('map', info.id)
      // An older tool has no names for newer types.
      expect([type, MAP_TYPES[type]]).toContain(shown['type'])
      expect(shown, type).toMatchObject({
        id: info.id,
        name: info.name,
        flags: info.map_flags,
        bytes_key: info.key_size,
        bytes_value: info.value_size,
        max_entries: info.max_entries,
        bytes_memlock: kernelMemory(map.fd),
      })
      expect([info.name, info.key_size, info.value_size, info.map_flags], type).toEqual([
        spec.name,
        spec.keySize,
        spec.valueSize,
        spec.flags | (type.startsWith('devmap') ? MAP_FLAGS.rdonly_prog : 0),
      ])
    }
  })

  toolTest('of programs', () => {
    const types: readonly ProgramType[] = [
      'xdp',
      'sched_cls',
      'socket_filter',
      'kprobe',
      'raw_tracepoint',
      'cgroup_skb',
    ]
    for (const type of types) {
      using program = counter(type, 1)
      const info = programInfo(realSys(), program.program.fd)
      expect(show('prog', info.id)).toMatchObject({
        id: info.id,
        type,
        name: info.name,
        tag: info.tag,
        gpl_compatible: info.gplCompatible,
        uid: info.createdByUid,
        bytes_xlated: info.xlatedBytes,
        jited: info.jitedBytes > 0,
        bytes_jited: info.jitedBytes,
        bytes_memlock: kernelMemory(program.program.fd),
        map_ids: [mapInfo(realSys(), program.loaded.maps[0].fd).id],
      })
      expect(info.type).toBe(PROGRAM_TYPES[type])
    }
  })

  toolTest('of every kind of link', () => {
    const sys = realSys()
    const cgroup = `${own?.folder}/cgroup2/typebpf-tool-${process.pid}`
    mkdirSync(cgroup)
    const libc = findBinary('libc')
    const lo = interfaceIndex(sys, 'lo')
    const kept: (Counter | RawMap)[] = []
    const keep = <T extends Counter | RawMap>(thing: T): T => {
      kept.push(thing)
      return thing
    }
    const program = (...args: Parameters<typeof counter>): Counter['program'] => keep(counter(...args)).program
    const sockets = (): RawMap =>
      keep(createRawMap(sys, { name: 's', type: MAP_TYPES.sockmap, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0 }))
    const iterated = keep(
      createRawMap(sys, { name: 'h', type: MAP_TYPES.hash, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0 }),
    )
    const tracing = (attach: 'trace_raw_tp' | 'trace_iter', name: string): Counter['program'] =>
      program('tracing', 0, { attach, image: { attachTo: { name } } })
    try {
      const links: readonly [make: () => Link, row: Row][] = [
        [
          () => attachRawTracepoint(program('raw_tracepoint', 0), { name: 'xdp_exception' }),
          { type: 'raw_tracepoint', tp_name: 'xdp_exception' },
        ],
        [() => attachRawTracepoint(tracing('trace_raw_tp', 'xdp_exception')), { type: 'raw_tracepoint' }],
        [
          () => attachCgroup(program('cgroup_skb', 1), { cgroup, type: 'cgroup_inet_ingress' }),
          { type: 'cgroup', attach_type: 'cgroup_inet_ingress' },
        ],
        [
          () => attachIterator(tracing('trace_iter', 'bpf_map_elem'), { map: iterated }),
          { type: 'iter', target_name: 'bpf_map_elem', map_id: mapInfo(sys, iterated.fd).id },
        ],
        [
          () => attachIterator(tracing('trace_iter', 'task'), { tid: process.pid }),
          { type: 'iter', target_name: 'task', tid: process.pid },
        ],
        [
          () => attachNetns(program('sk_lookup', 1, { attach: 'sk_lookup' }), { type: 'sk_lookup' }),
          { type: 'netns', attach_type: 'sk_lookup' },
        ],
        [() => attachXdp(program('xdp', 2), { interface: 'left' }), { type: 'xdp' }],
        [
          () => attachPerfEvent(program('perf_event', 0), { type: 1, config: 0n, frequency: 9n, pid: process.pid }),
          { type: 'perf_event' },
        ],
        [
          () =>
            attachTracepoint(program('tracepoint', 0), {
              category: 'xdp',
              name: 'xdp_exception',
              tracefs: `${own?.folder}/tracefs`,
            }),
          { type: 'perf_event' },
        ],
        [
          () => attachUprobe(program('kprobe', 0), { binary: libc, function: 'getppid', pid: process.pid }),
          { type: 'perf_event' },
        ],
        [
          () =>
            attachNetfilter(program('netfilter', 1, { attach: 'netfilter' }), {
              family: 'ipv4',
              hook: 'input',
              priority: -100,
            }),
          { type: 'netfilter', pf: 2, hook: 1, prio: -100 },
        ],
        [
          () => attachTcx(program('sched_cls', -1), { interface: lo, direction: 'egress' }),
          { type: 'tcx', attach_type: 'tcx_egress' },
        ],
        [
          () =>
            attachUprobeMulti(program('kprobe', 0, { attach: 'trace_uprobe_multi' }), {
              binary: libc,
              functions: 'getppid',
              pid: process.pid,
            }),
          { type: 'uprobe_multi' },
        ],
        [
          () =>
            attachSockmap(program('sk_msg', 1, { attach: 'sk_msg_verdict' }), {
              map: sockets(),
              type: 'sk_msg_verdict',
            }),
          { type: 'sockmap' },
        ],
      ]
      for (const [make, row] of links) {
        using link = make()
        const { id, programId, typeName } = link.info()
        expect(show('link', id)).toMatchObject({ ...older(row), id, prog_id: programId })
        expect(typeName).toBe(row['type'])
      }
    } finally {
      for (const thing of kept) thing[Symbol.dispose]()
      rmdirSync(cgroup)
    }
  })
})

/** Link types that an older bpftool shows as a number, without the fields of their own. */
const NUMBERS: Readonly<Record<string, number>> = { netfilter: 10, tcx: 11, uprobe_multi: 12, netkit: 13, sockmap: 14 }
let names: boolean | undefined

function older(row: Row): Row {
  names ??= !execFileSync('bpftool', ['version'], { encoding: 'utf8' }).includes('v7.1')
  const number = NUMBERS[String(row['type'])]
  return names || number === undefined ? row : { type: number }
}
