import { ATTACH_TYPES } from '../../uapi/index.ts'
import { createLink, type Link, type ProgramHandle } from './link.ts'

export interface SockmapOptions {
  /** The sockmap or sockhash. */
  readonly map: { readonly fd: number }
  readonly type: 'sk_msg_verdict' | 'sk_skb_stream_parser' | 'sk_skb_stream_verdict' | 'sk_skb_verdict'
}

/** Runs a program for the sockets of a sockmap or sockhash. Linux 6.10. */
export function attachSockmap(program: ProgramHandle, options: SockmapOptions): Link {
  return createLink(program, `${options.type} on a sockmap`, '6.10', {
    target_fd: options.map.fd,
    attach_type: ATTACH_TYPES[options.type],
  })
}
