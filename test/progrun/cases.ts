import { assembleText } from '../../src/asm/index.ts'
import {
  eth,
  icmp,
  ipv4,
  ipv6,
  type Layer,
  packet,
  payload,
  type RunOptions,
  tcp,
  udp,
  vlan,
} from '../../src/progrun/index.ts'
import { linkProgram, type MapSpec, type ProgramImage } from '../../src/spec/index.ts'
import { MAP_TYPES, type MapType, PROGRAM_TYPES, type ProgramType } from '../../src/uapi/index.ts'

/** A small program, what it runs on, and what each run returns. */
export interface Case {
  readonly name: string
  readonly type: ProgramType
  readonly text: string
  readonly maps?: readonly MapSpec[]
  readonly flags?: number
  readonly attachType?: number
  readonly runs: readonly { readonly options: RunOptions; readonly returns: number }[]
}

export function imageOf({ name, type, text, maps, flags, attachType }: Case): ProgramImage {
  const { sections } = assembleText(text)
  const object = {
    name: 'case',
    littleEndian: true,
    license: 'GPL',
    programs: [
      {
        name: name.replace(/\W+/g, '_').slice(0, 15),
        instructions: sections[0].instructions,
        linkage: 'global' as const,
        section: type,
        type: PROGRAM_TYPES[type],
        expectedAttachType: attachType ?? (type === 'sk_lookup' ? 36 : type === 'netfilter' ? 45 : 0),
        flags: flags ?? 0,
      },
    ],
    functions: [],
    maps: maps ?? [],
    variables: [],
    externs: [],
  }
  return linkProgram(object, object.programs[0].name)
}

const map = (type: MapType, name: string, keySize: number, valueSize: number, maxEntries = 16, flags = 0): MapSpec => ({
  name,
  type: MAP_TYPES[type],
  keySize,
  valueSize,
  maxEntries,
  flags,
})

const small: Layer[] = [eth(), ipv4(), tcp({ dstPort: 443 })]
const datagram: Layer[] = [eth(), ipv4(), udp({ dstPort: 53 }), payload('query')]
const xdp = (options: Partial<RunOptions<'xdp'>>, returns: number) => ({
  options: { packet: small, ...options } as RunOptions,
  returns,
})
const skb = (options: Partial<RunOptions<'sched_cls'>>, returns: number) => ({
  options: { packet: small, ...options } as RunOptions,
  returns,
})
const lookupIn = (name: string, key = 0): string => `
  *(u32 *)(r10 - 4) = ${key}
  r2 = r10
  r2 += -4
  r1 = map[${name}]
  call bpf_map_lookup_elem
`
const increment = (size: 'u64' | 'u32' = 'u64'): string => `
  if r0 == 0 goto out
  r1 = 1
  lock *(${size} *)(r0 + 0) += r1
out:
  r0 = 2
  exit`
const header = (bytes: number): string => `
  r6 = r1
  r2 = *(u32 *)(r1 + 0)
  r3 = *(u32 *)(r1 + 4)
  r4 = r2
  r4 += ${bytes}
  if r4 > r3 goto short
`
const skHeader = (bytes: number): string => `
  r6 = r1
  r2 = *(u32 *)(r1 + 76)
  r3 = *(u32 *)(r1 + 80)
  r4 = r2
  r4 += ${bytes}
  if r4 > r3 goto short
`

/** A counter map in every type that has one, written by the program. */
const counters: Case[] = (
  [
    ['array', 0],
    ['percpu_array', 0],
    ['hash', 1],
    ['percpu_hash', 1],
    ['lru_hash', 1],
    ['lru_percpu_hash', 1],
  ] as const
).map(
  ([type, make]): Case => ({
    name: `counts in ${type}`,
    type: 'xdp',
    maps: [map(type, 'counts', 4, 8)],
    text: `${
      make === 1
        ? `
  *(u32 *)(r10 - 4) = 0
  *(u64 *)(r10 - 16) = 0
  r1 = map[counts]
  r2 = r10
  r2 += -4
  r3 = r10
  r3 += -16
  r4 = 1
  call bpf_map_update_elem`
        : ''
    }${lookupIn('counts')}${increment()}`,
    runs: [xdp({}, 2), xdp({ repeat: 5 }, 2)],
  }),
)

const alu: Case[] = (
  [
    ['addition wraps', 'r0 = 0xffffffff ll\n r0 += 3', 2],
    ['32-bit subtraction', 'w0 = 1\n w0 -= 3', -2],
    ['unsigned division', 'r0 = -8\n r1 = 3\n w0 /= w1', 0x55555552],
    ['division by zero', 'r0 = 7\n r1 = 0\n r0 /= r1', 0],
    ['modulo by zero', 'r0 = 7\n r1 = 0\n r0 %= r1', 7],
    ['arithmetic shift', 'r0 = -16\n r0 s>>= 2', -4],
    ['logic', 'r0 = 0xf0\n r0 |= 0x0f\n r0 ^= 0x3c\n r0 &= 0xff', 0xc3],
    ['byte swap', 'r0 = 0x1234\n r0 = be16 r0', 0x3412],
    ['sign extension', 'r1 = 0x80\n r0 = (s8)r1', -128],
    ['signed division', 'r0 = -7\n r1 = 2\n r0 s/= r1', -3],
    ['multiplication', 'r0 = 123456\n r0 *= 1000', 123456000],
    ['negation', 'r0 = 5\n r0 = -r0', -5],
  ] as const
).map(
  ([name, text, returns]): Case => ({
    name,
    type: 'sched_cls',
    text: `${text}\n exit`,
    runs: [skb({}, returns)],
  }),
)

export const CASES: readonly Case[] = [
  ...counters,
  ...alu,
  ...[0, 1, 2, 3, 4].map(
    (code): Case => ({ name: `xdp code ${code}`, type: 'xdp', text: `r0 = ${code}\n exit`, runs: [xdp({}, code)] }),
  ),
  {
    name: 'reads the ethertype',
    type: 'xdp',
    text: `${header(14)} r0 = *(u16 *)(r2 + 12)\n r0 = be16 r0\n exit\nshort:\n r0 = 0\n exit`,
    runs: [
      xdp({}, 0x0800),
      xdp({ packet: [eth(), ipv6(), udp()] }, 0x86dd),
      xdp({ packet: [eth(), vlan(), ipv4()] }, 0x8100),
    ],
  },
  {
    name: 'rewrites the TTL',
    type: 'xdp',
    text: `${header(34)} *(u8 *)(r2 + 22) = 9\n r0 = 3\n exit\nshort:\n r0 = 1\n exit`,
    runs: [xdp({}, 3), xdp({ packet: packet(...small).subarray(0, 30) }, 1)],
  },
  {
    name: 'pushes a header',
    type: 'xdp',
    text: 'r2 = -4\n call bpf_xdp_adjust_head\n r0 += 2\n exit',
    runs: [xdp({}, 2)],
  },
  {
    name: 'cuts the tail',
    type: 'xdp',
    text: 'r2 = -10\n call bpf_xdp_adjust_tail\n r0 += 2\n exit',
    runs: [xdp({}, 2), xdp({ packet: datagram }, 2)],
  },
  {
    name: 'reads its metadata',
    type: 'xdp',
    text: `
  r2 = *(u32 *)(r1 + 8)
  r3 = *(u32 *)(r1 + 0)
  r4 = r2
  r4 += 4
  if r4 > r3 goto short
  r0 = *(u32 *)(r2 + 0)
  exit
short:
  r0 = 0
  exit`,
    runs: [xdp({ metadata: Uint8Array.of(42, 0, 0, 0) }, 42), xdp({}, 0)],
  },
  {
    name: 'sends a ring record',
    type: 'xdp',
    maps: [map('ringbuf', 'events', 0, 0, 4096)],
    text: `
  r1 = map[events]
  r2 = 8
  r3 = 0
  call bpf_ringbuf_reserve
  if r0 == 0 goto out
  *(u64 *)(r0 + 0) = 7
  r1 = r0
  r2 = 0
  call bpf_ringbuf_submit
out:
  r0 = 2
  exit`,
    runs: [xdp({}, 2), xdp({}, 2)],
  },
  {
    name: 'outputs a ring record',
    type: 'xdp',
    maps: [map('ringbuf', 'events', 0, 0, 4096)],
    text: `
  *(u32 *)(r10 - 4) = 99
  r1 = map[events]
  r2 = r10
  r2 += -4
  r3 = 4
  r4 = 0
  call bpf_ringbuf_output
  r0 += 1
  exit`,
    runs: [xdp({}, 1)],
  },
  {
    name: 'deletes an entry',
    type: 'xdp',
    maps: [{ ...map('hash', 'state', 4, 8), contents: [[Uint8Array.of(5, 0, 0, 0), new Uint8Array(8)]] }],
    text: `
  *(u32 *)(r10 - 4) = 5
  r1 = map[state]
  r2 = r10
  r2 += -4
  call bpf_map_delete_elem
  exit`,
    runs: [xdp({}, 0), xdp({}, -2)],
  },
  {
    name: 'longest prefix match',
    type: 'xdp',
    maps: [
      {
        ...map('lpm_trie', 'routes', 8, 4, 16, 1),
        contents: [
          [Uint8Array.of(8, 0, 0, 0, 10, 0, 0, 0), Uint8Array.of(1, 0, 0, 0)],
          [Uint8Array.of(24, 0, 0, 0, 10, 0, 0, 0), Uint8Array.of(2, 0, 0, 0)],
        ],
      },
    ],
    text: `${header(34)}
  r7 = *(u32 *)(r2 + 26)
  *(u32 *)(r10 - 8) = 32
  *(u32 *)(r10 - 4) = r7
  r1 = map[routes]
  r2 = r10
  r2 += -8
  call bpf_map_lookup_elem
  if r0 == 0 goto short
  r0 = *(u32 *)(r0 + 0)
  exit
short:
  r0 = 0
  exit`,
    runs: [
      xdp({}, 2),
      xdp({ packet: [eth(), ipv4({ src: '10.9.0.1' }), tcp()] }, 1),
      xdp({ packet: [eth(), ipv4({ src: '192.0.2.1' }), tcp()] }, 0),
    ],
  },
  {
    name: 'queue push and pop',
    type: 'xdp',
    maps: [map('queue', 'waiting', 0, 4)],
    text: `
  *(u32 *)(r10 - 4) = 77
  r1 = map[waiting]
  r2 = r10
  r2 += -4
  r3 = 0
  call bpf_map_push_elem
  r1 = map[waiting]
  r2 = r10
  r2 += -8
  *(u32 *)(r10 - 8) = 0
  call bpf_map_pop_elem
  r0 = *(u32 *)(r10 - 8)
  exit`,
    runs: [xdp({}, 77)],
  },
  {
    name: 'a bounded loop',
    type: 'sched_cls',
    text: 'r0 = 0\n r1 = 10\nagain:\n r0 += r1\n r1 += -1\n if r1 != 0 goto again\n exit',
    runs: [skb({}, 55)],
  },
  {
    name: 'a subprogram',
    type: 'sched_cls',
    text: `
  r1 = 20
  call double
  exit
double:
  r0 = r1
  r0 += r1
  exit`,
    runs: [skb({}, 40)],
  },
  {
    name: 'checksum difference',
    type: 'sched_cls',
    text: `
  *(u64 *)(r10 - 8) = 0x1234
  r1 = 0
  r2 = 0
  r3 = r10
  r3 += -8
  r4 = 8
  r5 = 0
  call bpf_csum_diff
  exit`,
    runs: [skb({}, 0x1234)],
  },
  {
    name: 'skb mark and priority',
    type: 'sched_cls',
    text: 'r2 = *(u32 *)(r1 + 8)\n r2 += 1\n *(u32 *)(r1 + 8) = r2\n *(u32 *)(r1 + 32) = r2\n r0 = r2\n exit',
    runs: [skb({ ctx: { mark: 41 } }, 42), skb({}, 1)],
  },
  {
    name: 'skb control block',
    type: 'sched_cls',
    text: 'r0 = *(u32 *)(r1 + 48)\n *(u32 *)(r1 + 64) = 5\n r2 = *(u32 *)(r1 + 52)\n r0 += r2\n exit',
    runs: [skb({ ctx: { cb: [3, 4, 0, 0, 0] } }, 7)],
  },
  {
    name: 'skb length and protocol',
    type: 'sched_cls',
    text: 'r0 = *(u32 *)(r1 + 0)\n r2 = *(u32 *)(r1 + 16)\n r0 += r2\n exit',
    runs: [skb({}, 54 + 8), skb({ packet: datagram }, 47 + 8)],
  },
  {
    name: 'reads the port by load_bytes',
    type: 'sched_cls',
    text: `
  *(u64 *)(r10 - 8) = 0
  r2 = 36
  r3 = r10
  r3 += -8
  r4 = 2
  call bpf_skb_load_bytes
  r0 = *(u16 *)(r10 - 8)
  r0 = be16 r0
  exit`,
    runs: [skb({}, 443), skb({ packet: datagram }, 53)],
  },
  {
    name: 'stores bytes',
    type: 'sched_cls',
    text: `
  *(u64 *)(r10 - 8) = 0x5555
  r2 = 36
  r3 = r10
  r3 += -8
  r4 = 2
  r5 = 0
  call bpf_skb_store_bytes
  exit`,
    runs: [skb({}, 0), skb({ packet: datagram }, 0)],
  },
  {
    name: 'direct packet write',
    type: 'sched_cls',
    text: `${skHeader(14)} *(u8 *)(r2 + 0) = 0xaa\n r0 = 0\n exit\nshort:\n r0 = 2\n exit`,
    runs: [skb({}, 0)],
  },
  {
    name: 'socket filter lets 20 bytes through',
    type: 'socket_filter',
    text: 'r0 = 20\n exit',
    runs: [skb({}, 20)],
  },
  {
    name: 'socket filter length',
    type: 'socket_filter',
    text: 'r0 = *(u32 *)(r1 + 0)\n exit',
    runs: [skb({}, 40)],
  },
  {
    name: 'cgroup_skb allows',
    type: 'cgroup_skb',
    text: 'r0 = 1\n exit',
    runs: [skb({}, 1)],
  },
  {
    name: 'lwt_in drops',
    type: 'lwt_in',
    text: 'r0 = 2\n exit',
    runs: [skb({}, 2)],
  },
  {
    name: 'sched_act shot',
    type: 'sched_act',
    text: 'r0 = 2\n exit',
    runs: [skb({ packet: [eth(), ipv4(), icmp()] }, 2)],
  },
  {
    name: 'raw tracepoint arguments',
    type: 'raw_tracepoint',
    text: 'r2 = *(u64 *)(r1 + 0)\n r0 = *(u64 *)(r1 + 8)\n r0 += r2\n exit',
    runs: [{ options: { args: [40n, 2n] }, returns: 42 }],
  },
  {
    name: 'raw tracepoint counts',
    type: 'raw_tracepoint',
    maps: [map('array', 'counts', 4, 8)],
    text: `${lookupIn('counts', 3)}${increment()}`,
    runs: [
      { options: { args: [1n] }, returns: 2 },
      { options: { args: [1n] }, returns: 2 },
    ],
  },
  {
    name: 'sk_lookup by port',
    type: 'sk_lookup',
    text: 'r2 = *(u32 *)(r1 + 60)\n r0 = 1\n if r2 != 8080 goto out\n r0 = 0\nout:\n exit',
    runs: [8080, 80].map((localPort) => ({
      options: {
        ctx: { family: 'ipv4', remoteAddress: '10.0.0.1', remotePort: 4000, localAddress: '10.0.0.2', localPort },
      },
      returns: localPort === 8080 ? 0 : 1,
    })),
  },
  {
    name: 'syscall program',
    type: 'syscall',
    flags: 16,
    text: 'r0 = 7\n exit',
    runs: [{ options: {}, returns: 7 }],
  },
  {
    name: 'netfilter accepts',
    type: 'netfilter',
    text: 'r0 = 1\n exit',
    runs: [{ options: { packet: datagram }, returns: 1 }],
  },
]
