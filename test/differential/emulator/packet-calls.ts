import type { Writer } from './data-calls.ts'
import type { Kind } from './kinds.ts'

const HELPER = {
  store_bytes: 9,
  l3_csum_replace: 10,
  l4_csum_replace: 11,
  vlan_push: 18,
  vlan_pop: 19,
  load_bytes: 26,
  csum_diff: 28,
  change_proto: 31,
  change_type: 32,
  change_tail: 38,
  pull_data: 39,
  change_head: 43,
  xdp_adjust_head: 44,
  adjust_room: 50,
  xdp_adjust_meta: 54,
  xdp_adjust_tail: 65,
  load_bytes_relative: 68,
  xdp_get_buff_len: 188,
  xdp_load_bytes: 189,
  xdp_store_bytes: 190,
} as const
type Helper = keyof typeof HELPER

const LWT = ['csum_diff', 'load_bytes', 'pull_data'] as const
const LWT_XMIT = [...LWT, 'store_bytes', 'l3_csum_replace', 'l4_csum_replace', 'change_tail', 'change_head'] as const
/** What programs of a kind may call. */
const HELPERS: Readonly<Record<NonNullable<Kind['calls']>, readonly Helper[]>> = {
  xdp: [
    'csum_diff',
    'xdp_adjust_head',
    'xdp_adjust_tail',
    'xdp_adjust_meta',
    'xdp_load_bytes',
    'xdp_store_bytes',
    'xdp_get_buff_len',
  ],
  filter: ['load_bytes', 'load_bytes_relative'],
  cgroup: ['load_bytes', 'load_bytes_relative'],
  lwt: LWT,
  lwt_xmit: LWT_XMIT,
  tc: [...LWT_XMIT, 'load_bytes_relative', 'vlan_push', 'vlan_pop', 'change_proto', 'change_type', 'adjust_room'],
}

const OFFSETS = [0, 1, 12, 14, 16, 20, 24, 26, 30, 34, 40, 50, 60, 70, 100, -1, 0xfffff]
const SIZES = [1, 2, 4, 8, 14, 16, 20, 32]
const CSUM_FLAGS = [0, 2, 4, 2, 4, 0x10, 0x12, 0x14, 0x22, 0x64, 3]

/** Values of r2, r3, … at and beyond their limits; `buffer`: 32 bytes of stack; `any`: edges and random numbers. */
type Argument = readonly number[] | 'buffer' | 'any'
const ARGUMENTS: Readonly<Record<Exclude<Helper, 'csum_diff'>, readonly Argument[]>> = {
  store_bytes: [OFFSETS, 'buffer', SIZES, [0, 1, 2, 3, 4]],
  l3_csum_replace: [OFFSETS, 'any', 'any', CSUM_FLAGS],
  l4_csum_replace: [OFFSETS, 'any', 'any', CSUM_FLAGS],
  vlan_push: [
    [0x0081, 0xa888, 0x1234],
    [0, 5, 0xfff, 0x2005],
  ],
  vlan_pop: [],
  load_bytes: [OFFSETS, 'buffer', SIZES],
  change_proto: [
    [0xdd86, 0x0008, 0x1234],
    [0, 1],
  ],
  change_type: [[0, 1, 2, 3, 4]],
  change_tail: [
    [14, 20, 40, 60, 80, 200, 10],
    [0, 1],
  ],
  pull_data: [[0, 20, 60, 100, 2000]],
  change_head: [
    [0, 4, 14, 8, 20, 50],
    [0, 1],
  ],
  xdp_adjust_head: [[-20, -8, 0, 4, 14, 20, 60, -300]],
  // bpf_skb_adjust_room: also with the flags of every encapsulation
  adjust_room: [
    [20, -20, 4, -4, 8, -8, 40, 100, -100, 2000, 5000],
    [0, 1, 2],
    [0, 1, 0, 1, 0x21, 2, 4, 6, 0x0a, 0x12, 0x14, 0x18, 0x80, 0x100, 0x180],
  ],
  xdp_adjust_meta: [[-16, -4, 0, 4, -3, 8]],
  xdp_adjust_tail: [[-20, -4, 0, 4, 20, 200, -60, 5000]],
  load_bytes_relative: [OFFSETS, 'buffer', SIZES, [0, 0, 1, 1, 2]],
  xdp_get_buff_len: [],
  xdp_load_bytes: [OFFSETS, 'buffer', SIZES],
  xdp_store_bytes: [OFFSETS, 'buffer', SIZES],
}

/** One helper on the packet; r6 is the context, the answer is added to r9. */
export function packetCall(w: Writer, calls: NonNullable<Kind['calls']>): void {
  const r = w.random
  const helper = r.pick(HELPERS[calls])
  const set = (register: number, value: number): void => w.emit([0xb7, register, 0, 0, value])
  const buffer = (register: number, at = -32): void => w.emit([0xbf, register, 10, 0, 0], [0x07, register, 0, 0, at])
  if (helper === 'csum_diff') {
    buffer(1)
    set(2, r.pick([0, 4, 8, 16]))
    buffer(3, r.pick([-32, -28, -24]))
    set(4, r.pick([0, 4, 8, 16]))
    set(5, r.imm())
  } else {
    w.emit([0xbf, 1, 6, 0, 0])
    for (const [i, argument] of ARGUMENTS[helper].entries()) {
      if (argument === 'buffer') buffer(i + 2)
      else set(i + 2, argument === 'any' ? (r.chance(15) ? 0 : r.imm()) : r.pick(argument))
    }
  }
  w.emit([0x85, 0, 0, 0, HELPER[helper]], [0x0f, 9, 0, 0, 0])
}
