/** Helpers that the engine must know by number, because the kernel's verifier does (include/uapi/linux/bpf.h). */
export const MAP_LOOKUP_ELEM = 1
export const MAP_UPDATE_ELEM = 2
export const MAP_DELETE_ELEM = 3
export const GET_SMP_PROCESSOR_ID = 8
export const TAIL_CALL = 12
export const PERF_EVENT_READ = 22
export const PERF_EVENT_OUTPUT = 25
export const GET_STACKID = 27
export const SKB_UNDER_CGROUP = 33
export const CURRENT_TASK_UNDER_CGROUP = 37
export const PROBE_READ_STR = 45
export const REDIRECT_MAP = 51
export const SK_REDIRECT_MAP = 52
export const SOCK_MAP_UPDATE = 53
export const PERF_EVENT_READ_VALUE = 55
export const MSG_REDIRECT_MAP = 60
export const GET_STACK = 67
export const SOCK_HASH_UPDATE = 70
export const MSG_REDIRECT_HASH = 71
export const SK_REDIRECT_HASH = 72
export const GET_LOCAL_STORAGE = 81
export const SK_SELECT_REUSEPORT = 82
export const SK_RELEASE = 86
export const MAP_PUSH_ELEM = 87
export const MAP_POP_ELEM = 88
export const MAP_PEEK_ELEM = 89
export const SPIN_LOCK = 93
export const SPIN_UNLOCK = 94
export const SK_FULLSOCK = 95
export const TCP_SOCK_HELPER = 96
export const SK_STORAGE_GET = 107
export const SK_STORAGE_DELETE = 108
export const SKB_OUTPUT = 111
export const PROBE_READ_USER_STR = 114
export const PROBE_READ_KERNEL_STR = 115
export const XDP_OUTPUT = 121
export const RINGBUF_OUTPUT = 130
export const RINGBUF_RESERVE = 131
export const RINGBUF_QUERY = 134
export const GET_TASK_STACK = 141
export const INODE_STORAGE_GET = 145
export const INODE_STORAGE_DELETE = 146
export const TASK_STORAGE_GET = 156
export const TASK_STORAGE_DELETE = 157
export const FOR_EACH_MAP_ELEM = 164
export const SNPRINTF = 165
export const SET_RETVAL = 187
export const TIMER_SET_CALLBACK = 170
export const GET_FUNC_IP = 173
export const SKC_TO_UNIX_SOCK = 178
export const FIND_VMA = 180
export const LOOP = 181
export const KPTR_XCHG = 194
export const MAP_LOOKUP_PERCPU_ELEM = 195
export const SKC_TO_MPTCP_SOCK = 196
export const RINGBUF_RESERVE_DYNPTR = 198
export const RINGBUF_SUBMIT_DYNPTR = 199
export const RINGBUF_DISCARD_DYNPTR = 200
export const DYNPTR_FROM_MEM = 197
export const DYNPTR_WRITE = 202
export const DYNPTR_DATA = 203
export const USER_RINGBUF_DRAIN = 209
export const CGRP_STORAGE_GET = 210
export const CGRP_STORAGE_DELETE = 211

/** Helpers that call a function of the program before they return. */
export const SYNC_CALLBACK_HELPERS: ReadonlySet<number> = new Set([
  FOR_EACH_MAP_ELEM,
  FIND_VMA,
  LOOP,
  USER_RINGBUF_DRAIN,
])

/** Helpers whose result is their argument in another type: the reference goes with it. */
export const CAST_HELPERS: ReadonlySet<number> = new Set([
  SK_FULLSOCK,
  TCP_SOCK_HELPER,
  136,
  137,
  138,
  139,
  140,
  SKC_TO_UNIX_SOCK,
  SKC_TO_MPTCP_SOCK,
])
