import type { MapSpec } from '../../../src/spec/index.ts'
import { MAP_FLAGS, MAP_TYPES } from '../../../src/uapi/index.ts'

function spec(
  name: string,
  type: keyof typeof MAP_TYPES,
  keySize: number,
  valueSize: number,
  maxEntries: number,
  more: Partial<MapSpec> = {},
): MapSpec {
  return { name, type: MAP_TYPES[type], keySize, valueSize, maxEntries, flags: 0, ...more }
}

/** Pages of each arena. */
export const ARENA_PAGES = 16
/** Where an arena is in the user's memory, which nobody maps here: the verifier only asks that there is an address. */
function arena(name: string, mapExtra: bigint): MapSpec {
  return spec(name, 'arena', 0, 0, ARENA_PAGES, { flags: MAP_FLAGS.mmapable, mapExtra })
}

const inner = spec('inner', 'array', 4, 40, 2)

/** The maps that every generated program may refer to, by index; they are created once for a whole campaign. */
export const CAMPAIGN_MAPS: readonly MapSpec[] = [
  spec('array', 'array', 4, 64, 4),
  spec('hash', 'hash', 8, 48, 16),
  spec('large', 'array', 4, 1320, 1),
  spec('percpu', 'percpu_array', 4, 16, 1),
  spec('ring', 'ringbuf', 0, 0, 4096),
  spec('lru', 'lru_hash', 4, 24, 8),
  spec('progs', 'prog_array', 4, 4, 4),
  spec('rodata', 'array', 4, 32, 1, {
    flags: MAP_FLAGS.rdonly_prog,
    frozen: true,
    contents: [
      [
        new Uint8Array(4),
        Uint8Array.from({ length: 32 }, (_, i) => (i < 16 ? i * 7 + 1 : i === 31 ? 0 : 0x25 + (i % 3))),
      ],
    ],
  }),
  spec('outer', 'array_of_maps', 4, 4, 2, { inner }),
  spec('stacks', 'stack_trace', 4, 80, 8),
  spec('events', 'perf_event_array', 4, 4, 2),
  spec('queue', 'queue', 0, 8, 4),
  spec('devs', 'devmap', 4, 4, 4),
  spec('socks', 'sockmap', 4, 4, 4),
  spec('bloom', 'bloom_filter', 0, 8, 16),
  spec('lpm', 'lpm_trie', 8, 16, 4, { flags: MAP_FLAGS.no_prealloc }),
  spec('cpus', 'cpumap', 4, 4, 2),
  spec('xsks', 'xskmap', 4, 4, 2),
  spec('sockhash', 'sockhash', 8, 8, 4),
  spec('write', 'array', 4, 32, 1, { flags: MAP_FLAGS.wronly_prog }),
  spec('byte', 'array', 4, 1, 1),
  spec('ended', 'array', 4, 16, 1, {
    flags: MAP_FLAGS.rdonly_prog,
    frozen: true,
    contents: [[new Uint8Array(4), new Uint8Array(16).fill(0x41)]],
  }),
  spec('storage', 'cgroup_storage', 16, 8, 0),
  spec('storage2', 'cgroup_storage', 16, 8, 0),
  arena('arena', 1n << 44n),
  arena('other_arena', 1n << 45n),
]

export const MAP = {
  array: 0,
  hash: 1,
  large: 2,
  percpu: 3,
  ring: 4,
  lru: 5,
  progs: 6,
  rodata: 7,
  outer: 8,
  stacks: 9,
  events: 10,
  queue: 11,
  devs: 12,
  socks: 13,
  bloom: 14,
  lpm: 15,
  cpus: 16,
  xsks: 17,
  sockhash: 18,
  write: 19,
  byte: 20,
  /** A string that does not end. */
  ended: 21,
  cgroupStorage: 22,
  cgroupStorage2: 23,
  arena: 24,
  otherArena: 25,
} as const
