/**
 * A register's state as 24 words of an Int32Array: what it holds, its fixed offset, the known bits of the variable part
 * (a tnum: value and mask) and four pairs of bounds. A {@link Bank} is a row of registers; words 4 to 15 are 64-bit values
 * of which the low word comes first, so that the same memory can be read as BigInts (index base / 2).
 */

/** Words a register takes. */
export const WORDS = 24

export const TYPE = 0
/** Fixed offset of a pointer; of a scalar linked with `+ constant` the constant. */
export const OFF = 1
/** By type: map index + 1, packet range, memory size, BTF type id, subprogram, dynptr or iterator data. */
export const AUX = 2
/** By type: map uid, BTF object, iterator depth. */
export const AUX2 = 3
export const VALUE_LOW = 4
export const VALUE_HIGH = 5
export const MASK_LOW = 6
export const MASK_HIGH = 7
export const SMIN_LOW = 8
export const SMIN_HIGH = 9
export const SMAX_LOW = 10
export const SMAX_HIGH = 11
export const UMIN_LOW = 12
export const UMIN_HIGH = 13
export const UMAX_LOW = 14
export const UMAX_HIGH = 15
export const S32_MIN = 16
export const S32_MAX = 17
/** Unsigned 32-bit bounds, kept as signed words. */
export const U32_MIN = 18
export const U32_MAX = 19
/** Identity shared by equal scalars, by copies of a maybe-null pointer, by packet pointers of one base. */
export const ID = 20
/** Identity of the acquired reference. */
export const REF = 21
/** Frame that a stack pointer points into. */
export const FRAME = 22
export const PRECISE = 23

/** Words that `regs_exact` compares before the ids. */
export const EXACT_WORDS = 20

/** Indices of 64-bit fields in the BigInt views, relative to base / 2. */
export const VALUE = 2
export const MASK = 3
export const SMIN = 4
export const SMAX = 5
export const UMIN = 6
export const UMAX = 7

/** Marks an id of a scalar that is another scalar plus a constant (OFF), added in 64 or in 32 bits. */
export const ADD_CONST64 = 0x80000000 | 0
export const ADD_CONST32 = 0x40000000
export const ADD_CONST = ADD_CONST64 | ADD_CONST32
export const ID_MASK = 0x3fffffff

/** enum bpf_reg_type: the low byte of TYPE. */
export const NOT_INIT = 0
export const SCALAR = 1
export const CTX = 2
export const MAP_PTR = 3
export const MAP_VALUE = 4
export const MAP_KEY = 5
export const STACK = 6
export const PACKET_META = 7
export const PACKET = 8
export const PACKET_END = 9
export const FLOW_KEYS = 10
export const SOCKET = 11
export const SOCK_COMMON = 12
export const TCP_SOCK = 13
export const TP_BUFFER = 14
export const XDP_SOCK = 15
export const BTF_ID = 16
export const MEM = 17
export const ARENA = 18
export const BUF = 19
export const FUNC = 20
export const DYNPTR = 21

export const BASE_MASK = 0xff
/** enum bpf_type_flag, from bit 8. */
export const MAYBE_NULL = 1 << 8
export const RDONLY = 1 << 9
export const RINGBUF = 1 << 10
export const USER = 1 << 11
export const PERCPU = 1 << 12
export const RELEASE = 1 << 13
export const UNTRUSTED = 1 << 14
export const UNINIT = 1 << 15
export const FIXED_SIZE = 1 << 16
export const ALLOC = 1 << 17
export const TRUSTED = 1 << 18
export const RCU = 1 << 19
export const NON_OWN = 1 << 20
export const WRITE = 1 << 21
export const ALIGNED = 1 << 22
/** Kinds of dynptrs; of memory, the kind that it is a slice of. */
export const DYNPTR_LOCAL = 1 << 23
export const DYNPTR_RINGBUF = 1 << 24
export const DYNPTR_SKB = 1 << 25
export const DYNPTR_XDP = 1 << 26
export const DYNPTR_SKB_META = 1 << 27
export const DYNPTR_ANY = DYNPTR_LOCAL | DYNPTR_RINGBUF | DYNPTR_SKB | DYNPTR_XDP | DYNPTR_SKB_META

/** Packet ranges below zero (enum pkt range markers of the kernel). */
export const AT_PKT_END = -1
export const BEYOND_PKT_END = -2

/** Types of a stack byte. */
export const INVALID = 0
export const SPILL = 1
export const MISC = 2
export const ZERO = 3
export const DYNPTR_SLOT = 4
export const ITER_SLOT = 5
export const IRQ_SLOT = 6

export interface Bank {
  readonly m: Int32Array
  readonly s: BigInt64Array
  readonly u: BigUint64Array
}

export function createBank(registers: number): Bank {
  const buffer = new ArrayBuffer(registers * WORDS * 4)
  return { m: new Int32Array(buffer), s: new BigInt64Array(buffer), u: new BigUint64Array(buffer) }
}

const BASE_NAMES = [
  '?',
  'scalar',
  'ctx',
  'map_ptr',
  'map_value',
  'map_key',
  'fp',
  'pkt_meta',
  'pkt',
  'pkt_end',
  'flow_keys',
  'sock',
  'sock_common',
  'tcp_sock',
  'tp_buffer',
  'xdp_sock',
  'ptr_',
  'mem',
  'arena',
  'buf',
  'func',
  'dynptr_ptr',
]

const PREFIXES: readonly (readonly [flag: number, text: string])[] = [
  [RDONLY, 'rdonly_'],
  [RINGBUF, 'ringbuf_'],
  [USER, 'user_'],
  [PERCPU, 'percpu_'],
  [RCU, 'rcu_'],
  [UNTRUSTED, 'untrusted_'],
  [TRUSTED, 'trusted_'],
]

/** The name that logs use: `map_value_or_null`, `trusted_ptr_`. */
export function typeName(type: number): string {
  let prefix = ''
  for (const [flag, text] of PREFIXES) if ((type & flag) !== 0) prefix += text
  const base = type & BASE_MASK
  const postfix = (type & MAYBE_NULL) === 0 ? '' : base === BTF_ID ? 'or_null_' : '_or_null'
  return prefix + BASE_NAMES[base] + postfix
}

export function isPacket(type: number): boolean {
  return type === PACKET || type === PACKET_META
}

export function isPacketOrEnd(type: number): boolean {
  return type === PACKET || type === PACKET_META || type === PACKET_END
}

export function isSocket(type: number): boolean {
  return type === SOCKET || type === SOCK_COMMON || type === TCP_SOCK || type === XDP_SOCK
}

export function isMapPointer(type: number): boolean {
  const base = type & BASE_MASK
  return base === MAP_PTR || base === MAP_VALUE || base === MAP_KEY
}

/** Types that may be spilled whole (is_spillable_regtype). */
export function isSpillable(type: number): boolean {
  const base = type & BASE_MASK
  return base >= CTX && base !== TP_BUFFER && base !== DYNPTR
}
