import { programFunctionId } from '../prog/attach-target.ts'
import { createLink, type Link, type ProgramHandle } from './link.ts'
import { attachRawTracepoint } from './raw-tracepoint.ts'

export interface FreplaceOptions {
  /** Another program than the one that this program was loaded for. Linux 5.10. */
  readonly target?: { readonly fd: number }
  /** The function in it; needed with `target`. */
  readonly function?: string
}

/**
 * Puts an ext program in the place of a global function of another program, as long as the link lives. Linux 5.6.
 * The program is loaded with `attachTo: { name, programFd }`.
 */
export function attachFreplace(program: ProgramHandle, options: FreplaceOptions = {}): Link {
  const { target, function: name } = options
  if (target === undefined || name === undefined) return attachRawTracepoint(program)
  return createLink(program, `freplace ${name}`, '5.10', {
    target_fd: target.fd,
    'tracing.target_btf_id': programFunctionId(program.sys, target.fd, name),
  })
}
