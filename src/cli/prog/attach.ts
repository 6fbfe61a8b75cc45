import { UsageError } from '../../errors/index.ts'
import { bpf, realSys } from '../../syscall/index.ts'
import { ATTACH_TYPES } from '../../uapi/index.ts'
import { fullWord, selectOne } from '../objects/select.ts'

/** The attach types that bpf(2) attaches without a link and this command takes, by its names and the kernel's. */
const TYPES = {
  sk_skb_verdict: ATTACH_TYPES.sk_skb_verdict,
  sk_skb_stream_verdict: ATTACH_TYPES.sk_skb_stream_verdict,
  sk_skb_stream_parser: ATTACH_TYPES.sk_skb_stream_parser,
  sk_msg_verdict: ATTACH_TYPES.sk_msg_verdict,
  flow_dissector: ATTACH_TYPES.flow_dissector,
  // names of bpftool before libbpf had its own
  skb_verdict: ATTACH_TYPES.sk_skb_verdict,
  stream_verdict: ATTACH_TYPES.sk_skb_stream_verdict,
  stream_parser: ATTACH_TYPES.sk_skb_stream_parser,
  msg_verdict: ATTACH_TYPES.sk_msg_verdict,
} as const

function run(command: 'prog_attach' | 'prog_detach', words: readonly string[]): void {
  const sys = realSys()
  const { fd: owned, rest } = selectOne(sys, 'program', words)
  using program = owned
  const name = fullWord(rest[0] ?? '', Object.keys(TYPES)) as keyof typeof TYPES | undefined
  if (name === undefined)
    throw new UsageError(
      'cli.attach-type',
      `expected ${Object.keys(TYPES).slice(0, 5).join(', ')}, got ${JSON.stringify(rest[0] ?? '')}`,
    )
  const type = TYPES[name]
  if (type === ATTACH_TYPES.flow_dissector) {
    if (rest.length > 1) throw new UsageError('cli.words', 'a flow dissector takes no map')
    // the kernel takes the caller's network namespace and wants no fd of it
    bpf(sys, command, { attach_bpf_fd: program.fd, attach_type: type }, name)
    return
  }
  const { fd: target, rest: left } = selectOne(sys, 'map', rest.slice(1))
  using map = target
  if (left.length > 0) throw new UsageError('cli.words', `nothing is expected behind the map: ${left.join(' ')}`)
  bpf(sys, command, { attach_bpf_fd: program.fd, target_fd: map.fd, attach_type: type }, name)
}

/** `prog attach PROG TYPE [MAP]`. */
export const attach = (words: readonly string[]): void => run('prog_attach', words)
/** `prog detach PROG TYPE [MAP]`. */
export const detach = (words: readonly string[]): void => run('prog_detach', words)
