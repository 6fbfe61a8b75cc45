import type { Profile } from '../../uapi/index.ts'
import type { ContextAccess, ContextRegister, TypeFlag } from '../kernel/prototype.ts'

const REGISTERS: Readonly<Record<string, ContextRegister>> = {
  scalar: 'SCALAR_VALUE',
  pkt: 'PTR_TO_PACKET',
  pkt_meta: 'PTR_TO_PACKET_META',
  pkt_end: 'PTR_TO_PACKET_END',
  flow_keys: 'PTR_TO_FLOW_KEYS',
  sock: 'PTR_TO_SOCKET',
  sock_or_null: 'PTR_TO_SOCKET_OR_NULL',
  sock_common: 'PTR_TO_SOCK_COMMON',
  sock_common_or_null: 'PTR_TO_SOCK_COMMON_OR_NULL',
  tcp_sock: 'PTR_TO_TCP_SOCK',
  tcp_sock_or_null: 'PTR_TO_TCP_SOCK_OR_NULL',
  xdp_sock: 'PTR_TO_XDP_SOCK',
  tp_buffer: 'PTR_TO_TP_BUFFER',
}
const PREFIXES: readonly (readonly [string, TypeFlag])[] = [
  ['trusted_', 'PTR_TRUSTED'],
  ['untrusted_', 'PTR_UNTRUSTED'],
  ['rcu_', 'MEM_RCU'],
]

/** What the log calls a register type, as an access: `trusted_ptr_sk_buff` is a trusted PTR_TO_BTF_ID to sk_buff. */
export function accessOf(word: string): ContextAccess | undefined {
  if (word === '-') return undefined
  if (word === 'ok') return { register: 'SCALAR_VALUE' }
  const register = REGISTERS[word]
  if (register !== undefined) return { register }
  const flags: TypeFlag[] = []
  let rest = word
  for (const [prefix, flag] of PREFIXES)
    if (rest.startsWith(prefix)) {
      flags.push(flag)
      rest = rest.slice(prefix.length)
    }
  if (rest.startsWith('ptr_or_null_')) {
    flags.push('PTR_MAYBE_NULL')
    rest = `ptr_${rest.slice('ptr_or_null_'.length)}`
  }
  if (rest.startsWith('ptr_')) return { register: 'PTR_TO_BTF_ID', flags, btfType: rest.slice('ptr_'.length) }
  return { register: 'SCALAR_VALUE', unsupported: `a context load that gives ${word}` }
}

interface Offset {
  /** By log2 of the size. */
  readonly reads: readonly (ContextAccess | undefined)[]
  readonly writes: readonly (ContextAccess | undefined)[]
  readonly signedReads: readonly (ContextAccess | undefined)[]
}

/** The accesses of one context, looked up without allocation. */
export class ContextTable {
  #size: number
  #repeats: boolean
  #offsets: readonly Offset[]
  #negative: readonly Offset[]

  constructor(profile: Profile, name: string) {
    const recorded = profile.contexts[name]
    const kinds = new Map(
      Object.entries(profile.accesses).map(([letter, text]): [string, Offset] => {
        const [reads, writes, signedReads] = text.split(' ').map((group) => group.split(',').map(accessOf))
        return [letter, { reads, writes, signedReads }]
      }),
    )
    this.#size = recorded.size
    this.#repeats = recorded.repeats === true
    const offsets = (rows: readonly string[]): Offset[] =>
      [...rows.join('')].map((letter) => kinds.get(letter) as Offset)
    this.#offsets = offsets(recorded.offsets)
    this.#negative = offsets(recorded.negative ?? [])
  }

  access(offset: number, size: number, write: boolean, signExtending: boolean): ContextAccess | undefined {
    if (offset >= this.#size) return undefined
    const row =
      offset < 0 ? this.#negative[offset & 7] : this.#offsets[this.#repeats && offset >= 16 ? 8 + (offset % 8) : offset]
    if (row === undefined) return undefined
    const index = size === 1 ? 0 : size === 2 ? 1 : size === 4 ? 2 : size === 8 ? 3 : -1
    return (write ? row.writes : signExtending ? row.signedReads : row.reads)[index]
  }
}
