/** Which maps a program may use, and which helpers take which maps (check_map_func_compatibility). */

import { MAP_TYPES, PROGRAM_TYPES } from '../../uapi/index.ts'
import type { ProgramMap } from '../program/program.ts'
import { isTracing } from '../program/program-rules.ts'
import * as H from './helper-ids.ts'
import type { FieldKind } from './object-fields.ts'
import type { ProgramFacts } from './prototype.ts'

const SLEEPABLE_MAPS: ReadonlySet<number> = new Set([1, 9, 2, 5, 6, 10, 12, 13, 27, 31, 28, 24, 29, 32, 22, 23, 33, 34])
const STRUCT_OPS = MAP_TYPES.struct_ops
const SOCKET_FILTER = PROGRAM_TYPES.socket_filter

/** Why a program must not name a map at all (check_map_prog_compatibility). */
export function mapUseRefusal(map: ProgramMap, program: ProgramFacts): string | undefined {
  const has = (...kinds: FieldKind[]) => map.fields.some(({ kind }) => kinds.includes(kind))
  if (isTracing(program.type) && has('bpf_list_head', 'bpf_rb_root'))
    return 'tracing progs cannot use bpf_{list_head,rb_root} yet'
  if (map.locks) {
    if (program.type === SOCKET_FILTER) return 'socket filter progs cannot use bpf_spin_lock yet'
    if (isTracing(program.type)) return 'tracing progs cannot use bpf_spin_lock yet'
  }
  if (isTracing(program.type) && has('bpf_timer')) return 'tracing progs cannot use bpf_timer yet'
  if (isTracing(program.type) && has('bpf_wq')) return 'tracing progs cannot use bpf_wq yet'
  if (map.type === STRUCT_OPS) return 'bpf_struct_ops map cannot be used in prog'
  if (program.sleepable && !SLEEPABLE_MAPS.has(map.type))
    return 'Sleepable programs can only use array, hash, ringbuf and local storage maps'
  return undefined
}

/** Helpers that take a map of a type; a type without a row takes what {@link MAPS_OF_HELPER} does not forbid. */
const HELPERS_OF_MAP: ReadonlyMap<number, readonly number[]> = new Map([
  [3, [H.TAIL_CALL]],
  [4, [H.PERF_EVENT_READ, H.PERF_EVENT_OUTPUT, H.SKB_OUTPUT, H.PERF_EVENT_READ_VALUE, H.XDP_OUTPUT]],
  [
    27,
    [
      H.RINGBUF_OUTPUT,
      H.RINGBUF_RESERVE,
      H.RINGBUF_QUERY,
      H.RINGBUF_RESERVE_DYNPTR,
      H.RINGBUF_SUBMIT_DYNPTR,
      H.RINGBUF_DISCARD_DYNPTR,
    ],
  ],
  [31, [H.USER_RINGBUF_DRAIN]],
  [7, [H.GET_STACKID]],
  [8, [H.SKB_UNDER_CGROUP, H.CURRENT_TASK_UNDER_CGROUP]],
  [19, [H.GET_LOCAL_STORAGE]],
  [21, [H.GET_LOCAL_STORAGE]],
  [14, [H.REDIRECT_MAP, H.MAP_LOOKUP_ELEM]],
  [25, [H.REDIRECT_MAP, H.MAP_LOOKUP_ELEM]],
  [16, [H.REDIRECT_MAP]],
  [17, [H.REDIRECT_MAP, H.MAP_LOOKUP_ELEM]],
  [12, [H.MAP_LOOKUP_ELEM]],
  [13, [H.MAP_LOOKUP_ELEM]],
  [15, [H.SK_REDIRECT_MAP, H.SOCK_MAP_UPDATE, H.MSG_REDIRECT_MAP, H.SK_SELECT_REUSEPORT, H.MAP_LOOKUP_ELEM]],
  [18, [H.SK_REDIRECT_HASH, H.SOCK_HASH_UPDATE, H.MSG_REDIRECT_HASH, H.SK_SELECT_REUSEPORT, H.MAP_LOOKUP_ELEM]],
  [20, [H.SK_SELECT_REUSEPORT]],
  [22, [H.MAP_PEEK_ELEM, H.MAP_POP_ELEM, H.MAP_PUSH_ELEM]],
  [23, [H.MAP_PEEK_ELEM, H.MAP_POP_ELEM, H.MAP_PUSH_ELEM]],
  [24, [H.SK_STORAGE_GET, H.SK_STORAGE_DELETE, H.KPTR_XCHG]],
  [28, [H.INODE_STORAGE_GET, H.INODE_STORAGE_DELETE, H.KPTR_XCHG]],
  [29, [H.TASK_STORAGE_GET, H.TASK_STORAGE_DELETE, H.KPTR_XCHG]],
  [32, [H.CGRP_STORAGE_GET, H.CGRP_STORAGE_DELETE, H.KPTR_XCHG]],
  [30, [H.MAP_PEEK_ELEM, H.MAP_PUSH_ELEM]],
])

const RING = [27] as const
const PERF = [4] as const
const MAPS_OF_HELPER: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>([
  [H.TAIL_CALL, [3]],
  [H.PERF_EVENT_READ, PERF],
  [H.PERF_EVENT_OUTPUT, PERF],
  [H.PERF_EVENT_READ_VALUE, PERF],
  [H.SKB_OUTPUT, PERF],
  [H.XDP_OUTPUT, PERF],
  [H.RINGBUF_OUTPUT, RING],
  [H.RINGBUF_RESERVE, RING],
  [H.RINGBUF_QUERY, RING],
  [H.RINGBUF_RESERVE_DYNPTR, RING],
  [H.RINGBUF_SUBMIT_DYNPTR, RING],
  [H.RINGBUF_DISCARD_DYNPTR, RING],
  [H.USER_RINGBUF_DRAIN, [31]],
  [H.GET_STACKID, [7]],
  [H.CURRENT_TASK_UNDER_CGROUP, [8]],
  [H.SKB_UNDER_CGROUP, [8]],
  [H.REDIRECT_MAP, [14, 25, 16, 17]],
  [H.SK_REDIRECT_MAP, [15]],
  [H.MSG_REDIRECT_MAP, [15]],
  [H.SOCK_MAP_UPDATE, [15]],
  [H.SK_REDIRECT_HASH, [18]],
  [H.MSG_REDIRECT_HASH, [18]],
  [H.SOCK_HASH_UPDATE, [18]],
  [H.GET_LOCAL_STORAGE, [19, 21]],
  [H.SK_SELECT_REUSEPORT, [20, 15, 18]],
  [H.MAP_POP_ELEM, [22, 23]],
  [H.MAP_PEEK_ELEM, [22, 23, 30]],
  [H.MAP_PUSH_ELEM, [22, 23, 30]],
  [H.MAP_LOOKUP_PERCPU_ELEM, [6, 5, 10]],
  [H.SK_STORAGE_GET, [24]],
  [H.SK_STORAGE_DELETE, [24]],
  [H.INODE_STORAGE_GET, [28]],
  [H.INODE_STORAGE_DELETE, [28]],
  [H.TASK_STORAGE_GET, [29]],
  [H.TASK_STORAGE_DELETE, [29]],
  [H.CGRP_STORAGE_GET, [32]],
  [H.CGRP_STORAGE_DELETE, [32]],
])

/** may_update_sockmap(). */
function mayUpdateSockmap(helper: number, program: ProgramFacts): boolean {
  if (helper !== H.MAP_UPDATE_ELEM && helper !== H.MAP_DELETE_ELEM) return false
  switch (program.type) {
    case 26: // tracing, an iterator
      return program.expectedAttachType === 28
    case 13: // sock_ops
      return helper === H.MAP_DELETE_ELEM
    case 1:
    case 3:
    case 4:
    case 6:
    case 21:
    case 22:
    case 30:
      return true
    default:
      return false
  }
}

/** A helper takes this map in this program. */
export function mapFitsHelper(map: ProgramMap, helper: number, program: ProgramFacts): boolean {
  const helpers = HELPERS_OF_MAP.get(map.type)
  if (helpers !== undefined && !helpers.includes(helper)) {
    const sockmap = map.type === 15 || map.type === 18
    if (!sockmap || !mayUpdateSockmap(helper, program)) return false
  }
  const maps = MAPS_OF_HELPER.get(helper)
  return maps === undefined || maps.includes(map.type)
}
