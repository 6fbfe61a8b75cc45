import { ATTACH_TYPES } from '../../uapi/index.ts'
import { choice } from '../sys/choice.ts'
import { bpf, tryBpf } from '../sys/command.ts'
import { ERRNO } from '../sys/errno.ts'
import { explainErrno } from '../sys/explain.ts'
import { undoAtExit } from '../sys/undo.ts'
import { Link, type ProgramHandle } from './link.ts'
import { LinklessAttachment } from './linkless.ts'

export interface SockmapOptions {
  /** The sockmap or sockhash. */
  readonly map: { readonly fd: number }
  readonly type: 'sk_msg_verdict' | 'sk_skb_stream_parser' | 'sk_skb_stream_verdict' | 'sk_skb_verdict'
}

/**
 * Runs a program for the sockets of a sockmap or sockhash. A link from Linux 6.10; before, BPF_PROG_ATTACH (4.14), which the
 * kernel keeps as long as the map: undone when this is closed or the process ends.
 */
export function attachSockmap(program: ProgramHandle, options: SockmapOptions): Link {
  const { sys } = program
  const { map } = options
  const attach_type = choice(ATTACH_TYPES, options.type, 'sockmap attach type')
  const what = `${options.type} on a sockmap`
  const fd = tryBpf(sys, 'link_create', { prog_fd: program.fd, target_fd: map.fd, attach_type })
  if (fd >= 0) return new Link(sys, fd, what)
  if (fd !== -ERRNO.EINVAL) throw explainErrno('link_create', -fd, `${what} (Linux 6.10)`, { type: attach_type })
  bpf(sys, 'prog_attach', { target_fd: map.fd, attach_bpf_fd: program.fd, attach_type }, what)
  const undo = undoAtExit(() => {
    tryBpf(sys, 'prog_detach', { target_fd: map.fd, attach_bpf_fd: program.fd, attach_type })
  })
  return new LinklessAttachment(sys, what, undo)
}
