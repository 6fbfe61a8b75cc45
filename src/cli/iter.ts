import { NegativeError, UsageError } from '../errors/index.ts'
import { attachIterator, loadObject, type OwnedFd, realSys } from '../syscall/index.ts'
import { loadInput } from './load-input.ts'
import { pinAt } from './objects/bpffs.ts'
import { fullWord, selectOne } from './objects/select.ts'
import type { Context } from './words/noun.ts'

/** `iter pin OBJ PATH [map MAP]`: the object's first program becomes a file that runs it when it is read. */
export async function pinIterator(words: readonly string[], { nomount }: Context): Promise<void> {
  const [file, path, ...rest] = words
  if (file === undefined || path === undefined)
    throw new UsageError('cli.words', 'an object and a path are needed: OBJ PATH')
  const sys = realSys()
  let map: OwnedFd | undefined
  if (rest.length > 0) {
    if (fullWord(rest[0], ['map']) === undefined)
      throw new UsageError('cli.words', `expected map MAP, got ${JSON.stringify(rest.join(' '))}`)
    const { fd, rest: left } = selectOne(sys, 'map', rest.slice(1))
    map = fd
    if (left.length > 0) {
      fd.close()
      throw new UsageError('cli.words', `nothing is expected behind the map: ${left.join(' ')}`)
    }
  }
  try {
    const object = await loadInput(file)
    using loaded = loadObject(sys, object)
    const [first] = loaded.programs
    const { program } = first.result
    if (program === undefined)
      throw (
        first.error ??
        new NegativeError(
          'load.rejected',
          `program ${first.spec.name}: ${first.result.message ?? first.result.verdict}`,
        )
      )
    using link = attachIterator(program, map === undefined ? {} : { map })
    pinAt(sys, link, path, { nomount })
  } finally {
    map?.close()
  }
}
