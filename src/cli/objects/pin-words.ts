import { UsageError } from '../../errors/index.ts'
import { realSys } from '../../syscall/index.ts'
import type { Action } from '../words/noun.ts'
import { pinAt } from './bpffs.ts'
import { selectOne } from './select.ts'

/** `OBJECT PATH`: pins one program, map or link. */
export function pinWords(kind: 'program' | 'map' | 'link'): Action {
  return (words, { nomount }) => {
    const sys = realSys()
    const { fd: owned, rest } = selectOne(sys, kind, words)
    using fd = owned
    if (rest.length !== 1) throw new UsageError('cli.words', `one path is needed behind the ${kind}`)
    pinAt(sys, fd, rest[0], { nomount })
  }
}
