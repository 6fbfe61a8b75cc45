import { choice } from '../sys/choice.ts'
import { bpf } from '../sys/command.ts'
import type { Sys } from '../sys/sys.ts'

/** Streams of a program: what it prints with bpf_stream_vprintk, and what the kernel says of its faults. */
const STREAMS = { stdout: 1, stderr: 2 } as const
const CHUNK = 64 * 1024

/**
 * BPF_PROG_STREAM_READ_BY_FD: takes what stands in a program's own stream, without waiting. On `stderr` the kernel reports
 * loops that were ended (may_goto), arena faults and locks that were not got. Linux 6.17.
 * @throws SystemError `sys.einval` before
 */
export function readProgramStream(
  program: { readonly sys: Sys; readonly fd: number },
  stream: keyof typeof STREAMS,
): string {
  const { sys, fd } = program
  using block = sys.alloc(CHUNK)
  const decoder = new TextDecoder()
  let text = ''
  for (;;) {
    const length = bpf(sys, 'prog_stream_read_by_fd', {
      stream_buf: block.address,
      stream_buf_len: block.size,
      stream_id: choice(STREAMS, stream, 'program stream'),
      prog_fd: fd,
    })
    text += decoder.decode(block.bytes.subarray(0, length), { stream: true })
    if (length < block.size) return text + decoder.decode()
  }
}
