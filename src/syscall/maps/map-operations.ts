import { type BpfCommand, MAP_TYPES, type MapType } from '../../uapi/index.ts'
import { ERRNO } from '../sys/errno.ts'

/** Why a map type refuses what most maps do, and what to do instead. */
interface Refusal {
  readonly types: readonly MapType[]
  readonly commands: readonly BpfCommand[]
  /** Only this errno; default any that says "not like this". */
  readonly errno?: number
  readonly text: string
}

const WALKS: readonly BpfCommand[] = ['map_get_next_key']
const READS: readonly BpfCommand[] = ['map_lookup_elem', 'map_lookup_and_delete_elem']
const WRITES: readonly BpfCommand[] = ['map_update_elem']
const TAKES: readonly BpfCommand[] = ['map_delete_elem', 'map_lookup_and_delete_elem']
const ALL: readonly BpfCommand[] = [...WALKS, ...READS, ...WRITES, ...TAKES]

const REFUSALS: readonly Refusal[] = [
  {
    types: ['queue', 'stack'],
    commands: [...WALKS, 'map_delete_elem'],
    text: 'queues and stacks have no keys: push, pop and peek',
  },
  {
    types: ['bloom_filter'],
    commands: [...WALKS, ...TAKES],
    text: 'what is in a bloom filter cannot be listed or taken out: push and mayContain',
  },
  { types: ['ringbuf'], commands: ALL, text: 'a ring buffer has no keys: RingBuffer reads it' },
  { types: ['user_ringbuf'], commands: ALL, text: 'a user ring buffer has no keys: UserRingBuffer writes it' },
  { types: ['arena'], commands: ALL, text: 'an arena has no keys: ArenaMap maps its memory' },
  {
    types: ['array', 'percpu_array'],
    commands: TAKES,
    text: 'the elements of an array are always there: write zeros instead',
  },
  {
    types: ['hash', 'percpu_hash', 'lru_hash', 'lru_percpu_hash'],
    commands: ['map_lookup_and_delete_elem'],
    text: 'hash maps give and delete in one step from Linux 5.14',
  },
  {
    types: ['perf_event_array', 'cgroup_array', 'xskmap'],
    commands: READS,
    text: 'only programs see what stands in it',
  },
  {
    types: ['sockmap', 'sockhash'],
    commands: READS,
    errno: ERRNO.ENOSPC,
    text: 'it can be read only when its values have 8 bytes: the cookies of its sockets',
  },
  { types: ['stack_trace'], commands: WRITES, text: 'programs fill it, with bpf_get_stackid' },
  {
    types: ['prog_array'],
    commands: WRITES,
    errno: ERRNO.EINVAL,
    text: 'the program differs in type, attach type or compilation from those that use this array',
  },
  {
    types: ['array_of_maps', 'hash_of_maps'],
    commands: WRITES,
    errno: ERRNO.EINVAL,
    text: "the map differs from the template of this map's inner maps (type, key size, value size, flags, entries)",
  },
  {
    types: ['devmap', 'devmap_hash'],
    commands: WRITES,
    errno: ERRNO.EINVAL,
    text: 'this network namespace has no interface of that index, or the program was not loaded for device maps',
  },
  {
    types: ['cpumap'],
    commands: WRITES,
    errno: ERRNO.EINVAL,
    text: 'the queue size is 0, or the program was not loaded for CPU maps',
  },
  {
    types: ['sockmap', 'sockhash', 'reuseport_sockarray'],
    commands: WRITES,
    errno: ERRNO.EINVAL,
    text: 'the value must be the descriptor of a socket of a kind and state that this map takes',
  },
]

const UNFIT: readonly number[] = [ERRNO.EINVAL, ERRNO.ENOTSUPP, ERRNO.EOPNOTSUPP]

/** Why a map of a type refuses a command; undefined when nothing more is known than its errno. */
export function mapRefusal(type: number, command: BpfCommand, errno: number): string | undefined {
  return REFUSALS.find(
    (row) =>
      row.commands.includes(command) &&
      (row.errno === undefined ? UNFIT.includes(errno) : row.errno === errno) &&
      row.types.some((name) => MAP_TYPES[name] === type),
  )?.text
}
