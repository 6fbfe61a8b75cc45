import { SystemError } from '../../errors/index.ts'
import type { BpfCommand } from '../../uapi/index.ts'
import { missingPrivileges, neededCapabilities, type Privileges, readPrivileges } from './capabilities.ts'
import { ERRNO, errnoName } from './errno.ts'

/** What an errno of a command usually means, beyond its name. A row without `command` holds for all. */
interface Cause {
  readonly errno: number
  readonly commands?: readonly BpfCommand[]
  readonly text: string
}

const MAP_WRITES: readonly BpfCommand[] = ['map_update_elem', 'map_update_batch']
const BY_ID: readonly BpfCommand[] = ['prog_get_fd_by_id', 'map_get_fd_by_id', 'btf_get_fd_by_id', 'link_get_fd_by_id']

const CAUSES: readonly Cause[] = [
  {
    errno: ERRNO.E2BIG,
    commands: ['prog_load'],
    text: 'no instructions, more than this kernel takes (4096 without CAP_BPF), or an attribute that this kernel does not know',
  },
  {
    errno: ERRNO.E2BIG,
    commands: MAP_WRITES,
    text: 'the map is full (max_entries), or the index of an array is past its end',
  },
  {
    errno: ERRNO.E2BIG,
    commands: ['map_create'],
    text: 'keys, values or entries are larger than this map type allows, or an attribute that this kernel does not know',
  },
  { errno: ERRNO.E2BIG, text: 'an attribute that this kernel does not know is set, or a limit is passed' },
  { errno: ERRNO.ENOSPC, commands: ['prog_load', 'btf_load'], text: 'the log buffer is too small for the whole log' },
  { errno: ERRNO.ENOSPC, commands: ['prog_test_run'], text: 'data_out is smaller than the packet that came out' },
  { errno: ERRNO.ENOSPC, commands: MAP_WRITES, text: 'the map is full' },
  {
    errno: ERRNO.ENOSPC,
    commands: ['map_lookup_batch', 'map_lookup_and_delete_batch'],
    text: 'a hash bucket has more entries than the batch has room for: ask for more at once',
  },
  { errno: ERRNO.EEXIST, commands: MAP_WRITES, text: 'the key is there already and BPF_NOEXIST was asked for' },
  { errno: ERRNO.EEXIST, commands: ['link_create', 'prog_attach'], text: 'something is attached there already' },
  { errno: ERRNO.EEXIST, commands: ['obj_pin'], text: 'a file of that name is there already' },
  { errno: ERRNO.ENOENT, commands: BY_ID, text: 'no object has this id (any more)' },
  { errno: ERRNO.ENOENT, commands: ['raw_tracepoint_open'], text: 'the running kernel has no such tracepoint' },
  { errno: ERRNO.ENOENT, commands: ['obj_get'], text: 'there is no file of that path' },
  { errno: ERRNO.ENOENT, commands: ['task_fd_query'], text: 'there is no such process' },
  { errno: ERRNO.ENOENT, commands: ['link_update', 'link_detach'], text: 'the link is detached already' },
  { errno: ERRNO.ENOLINK, text: 'what the link was attached to is gone, or it is detached already' },
  { errno: ERRNO.ESTALE, text: 'the list of attached programs changed since that revision was read' },
  { errno: ERRNO.ESRCH, text: 'there is no such process' },
  {
    errno: ERRNO.EBADF,
    commands: ['link_create', 'prog_attach', 'prog_query'],
    text: 'a descriptor is closed or of another kind (a cgroup must be a folder of a cgroup2 file system)',
  },
  {
    errno: ERRNO.EBADF,
    commands: MAP_WRITES,
    text: 'the value must be an open descriptor of what this map type holds: a program, map, perf event, cgroup or socket',
  },
  { errno: ERRNO.EBADF, text: 'a descriptor is closed or of another kind' },
  { errno: ERRNO.ENOTSOCK, text: 'the value must be the descriptor of a socket' },
  { errno: ERRNO.ENODEV, text: 'this network namespace has no such interface' },
  { errno: ERRNO.EOVERFLOW, commands: MAP_WRITES, text: 'the queue of a CPU map holds at most 16384 packets' },
  {
    errno: ERRNO.ENOTSUPP,
    commands: ['task_fd_query'],
    text: 'the descriptor is no perf event or raw tracepoint that runs a program',
  },
  { errno: ERRNO.EBUSY, commands: ['map_freeze'], text: 'the map is frozen already, or mapped for writing' },
  { errno: ERRNO.EBUSY, text: 'it is in use: another program, link or map holds it' },
  { errno: ERRNO.EOPNOTSUPP, text: 'this kernel, map type or device does not support it' },
  { errno: ERRNO.ENOTSUPP, commands: ['prog_test_run'], text: 'this program type has no test run in this kernel' },
  { errno: ERRNO.ENOTSUPP, text: 'this map or program type does not have this operation' },
  {
    errno: ERRNO.EINVAL,
    commands: ['map_create'],
    text: 'key size, value size, max entries or flags do not fit the map type, or this kernel lacks the map type or flag',
  },
  {
    errno: ERRNO.EINVAL,
    commands: ['link_create', 'prog_attach'],
    text: 'program type and attach type do not fit the target, the target is not there, or this kernel lacks the attach type',
  },
  {
    errno: ERRNO.EINVAL,
    commands: ['prog_test_run'],
    text: 'a size, the context or a flag does not fit this program type',
  },
  {
    errno: ERRNO.EINVAL,
    commands: ['prog_load'],
    text: 'program type, expected attach type, a flag or the BTF does not fit, or it is newer than this kernel',
  },
  {
    errno: ERRNO.EINVAL,
    commands: ['btf_load'],
    text: 'the BTF is broken, or has a kind that is newer than this kernel',
  },
  {
    errno: ERRNO.EINVAL,
    commands: ['obj_get_info_by_fd', 'prog_bind_map', 'link_update'],
    text: 'the descriptor is of another kind, or this kernel lacks the command',
  },
  { errno: ERRNO.EINVAL, text: 'a value does not fit, or it is newer than this kernel' },
  { errno: ERRNO.ENOMEM, text: 'out of memory: the memory cgroup or (before 5.11) RLIMIT_MEMLOCK is exhausted' },
  { errno: ERRNO.EMFILE, text: 'this process has too many open files (ulimit -n)' },
  { errno: ERRNO.ENOSYS, text: 'this kernel was built without bpf(2), or a filter hides it' },
]

const CHARGED: readonly BpfCommand[] = ['map_create', 'prog_load', 'btf_load']

/** What else refuses when every capability is there. */
const OTHER_REFUSALS: { readonly [C in BpfCommand]?: string } = {
  map_update_elem: 'the map is frozen or was opened read-only',
  map_update_batch: 'the map is frozen or was opened read-only',
  map_delete_elem: 'the map is frozen or was opened read-only',
  map_delete_batch: 'the map is frozen or was opened read-only',
  map_lookup_and_delete_elem: 'the map is frozen or was opened read-only',
  map_freeze: 'the map is frozen already, or was opened read-only',
  map_lookup_elem: 'the map was opened write-only',
  map_lookup_batch: 'the map was opened write-only',
  map_get_next_key: 'the map was opened write-only',
  link_update: 'the link runs another program than the one that was expected',
  obj_pin: 'the path is not in a BPF file system (mount -t bpf bpf /sys/fs/bpf), or its last part has a dot',
  obj_get: 'the file is no pinned BPF object, or its permissions do not let this user open it',
}

/** EPERM and EACCES: what is missing, else what else refuses. */
function privilegeLines(command: BpfCommand, privileges: Privileges, type: number | undefined): string[] {
  const { lockedMemory } = privileges
  const memory =
    lockedMemory !== undefined && CHARGED.includes(command)
      ? [
          `this kernel charges maps and programs to RLIMIT_MEMLOCK (${lockedMemory} bytes): ulimit -l unlimited, or a kernel from 5.11 on`,
        ]
      : []
  const missing = missingPrivileges(privileges, neededCapabilities(command, type))
  if (missing.length > 0) return [...missing, ...memory]
  if (memory.length > 0) return memory
  return [
    OTHER_REFUSALS[command] ??
      'the capabilities are there: a policy of this machine (an LSM, seccomp or lockdown) refuses it',
  ]
}

/** What is known of a refused command besides its errno. */
export interface Circumstances {
  /** The number of the program's (prog_load), map's (map_create) or attach type (link_create). */
  readonly type?: number
  /** What the caller knows better than the table. */
  readonly hint?: string
}

/** The cause of an errno, as lines for a person. @param privileges default: those of this process */
export function errnoCauses(
  command: BpfCommand,
  errno: number,
  privileges?: Privileges,
  { type, hint }: Circumstances = {},
): string[] {
  if (hint !== undefined) return [hint]
  if (errno === ERRNO.EPERM || errno === ERRNO.EACCES)
    return privilegeLines(command, privileges ?? readPrivileges(), type)
  const row =
    CAUSES.find((cause) => cause.errno === errno && cause.commands?.includes(command)) ??
    CAUSES.find((cause) => cause.errno === errno && cause.commands === undefined)
  return row === undefined ? [] : [row.text]
}

/** The error for a refused command: its errno explained by cause. */
export function explainErrno(
  command: BpfCommand,
  errno: number,
  what?: string,
  circumstances?: Circumstances,
): SystemError {
  const name = errnoName(errno)
  const subject = what === undefined ? '' : ` of ${what}`
  return new SystemError(`sys.${name.toLowerCase().replace(/\W+/g, '-')}`, `${command}${subject}: ${name}`, {
    errno,
    details: errnoCauses(command, errno, undefined, circumstances),
  })
}

/** The same for a system call other than bpf(2). */
export function callError(call: string, errno: number, more: readonly string[] = []): SystemError {
  const name = errnoName(errno)
  const row = CAUSES.find((cause) => cause.errno === errno && cause.commands === undefined)
  const details = more.length > 0 || row === undefined ? more : [row.text]
  return new SystemError(`sys.${name.toLowerCase().replace(/\W+/g, '-')}`, `${call}: ${name}`, { errno, details })
}
