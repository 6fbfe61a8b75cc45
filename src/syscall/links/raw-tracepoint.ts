import { tryBpf } from '../sys/command.ts'
import { explainErrno } from '../sys/explain.ts'
import { Link, type ProgramHandle } from './link.ts'

export interface RawTracepointOptions {
  /** The tracepoint's name without its category. Absent: the program is tp_btf, fentry … and knows its target. */
  readonly name?: string
  /** Given to the program by bpf_get_attach_cookie. Linux 6.10. */
  readonly cookie?: bigint
}

/**
 * Attaches a raw tracepoint program by name (Linux 4.17), or a BTF tracing program (tp_btf, fentry, fexit, fmod_ret, lsm;
 * Linux 5.5) to the target that it was loaded for.
 */
export function attachRawTracepoint(program: ProgramHandle, options: RawTracepointOptions = {}): Link {
  const { sys } = program
  const text = new TextEncoder().encode(`${options.name ?? ''}\0`)
  using block = sys.alloc(text.length)
  block.bytes.set(text)
  const what = options.name === undefined ? 'tracing program' : `raw tracepoint ${options.name}`
  const fd = tryBpf(sys, 'raw_tracepoint_open', {
    name: options.name === undefined ? 0 : block.address,
    prog_fd: program.fd,
    cookie: options.cookie ?? 0n,
  })
  if (fd < 0) throw explainErrno('raw_tracepoint_open', -fd, what)
  return new Link(sys, fd, what)
}
