import { UsageError } from '../../errors/index.ts'
import { bpf, realSys } from '../../syscall/index.ts'
import { selectOne } from '../objects/select.ts'

/** `link detach LINK`. */
export function detach(words: readonly string[]): void {
  const sys = realSys()
  const { fd: owned, rest } = selectOne(sys, 'link', words)
  using fd = owned
  if (rest.length > 0) throw new UsageError('cli.words', `nothing is expected behind the link: ${rest.join(' ')}`)
  bpf(sys, 'link_detach', { link_fd: fd.fd }, fd.what)
}
