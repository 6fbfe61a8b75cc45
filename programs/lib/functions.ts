import { readlinkSync } from 'node:fs'
import { UsageError } from 'typebpf'
import { findBinary, findFunctions } from 'typebpf/kernel'

/** The path of a binary or library by its name; of a process the one that it really runs. */
export function binaryPath(name: string, pid?: number): string {
  if (name === '' && pid !== undefined) return readlinkSync(`/proc/${pid}/exe`)
  if (name.includes('/')) return name
  // "c" is libc, as bcc has it; libc.so itself is a text for the linker. Other names are programs first.
  const names = /^(lib)?c$/.test(name) ? ['libc.so.6', 'libc'] : name.startsWith('lib') ? [name] : [name, `lib${name}`]
  for (const candidate of names) {
    try {
      return findBinary(candidate, pid)
    } catch (error) {
      if (!(error instanceof UsageError)) throw error
    }
  }
  throw new UsageError('tool.binary', `there is no program or library ${JSON.stringify(name)}`, {
    details: ['name it by its path, or a library as ld.so knows it: c, ssl, libpthread.so.0'],
  })
}

/** Every probe costs: beyond this a pattern is a mistake. */
const MOST = 500

/** A test for names: `*` stands for any characters; a regular expression on request. */
function nameTest(pattern: string, regular: boolean): (name: string) => boolean {
  if (!regular && !pattern.includes('*')) return (name) => name === pattern
  const source = regular ? pattern : `^${pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`
  let expression: RegExp
  try {
    expression = new RegExp(source)
  } catch (cause) {
    throw new UsageError('usage.pattern', `${JSON.stringify(pattern)} is no regular expression`, { cause })
  }
  return (name) => expression.test(name)
}

/**
 * Functions of a binary by name or pattern, several names of one place once.
 * @throws UsageError `tool.function` when there is none, with names that are alike
 */
export function requireFunctions(path: string, pattern: string, regular = false): { name: string; offset: number }[] {
  const all = findFunctions(path, () => true)
  const test = nameTest(pattern, regular)
  const places = new Map<number, { name: string; offset: number }>()
  for (const { name, offset } of all) if (test(name) && !places.has(offset)) places.set(offset, { name, offset })
  if (places.size > MOST)
    throw new UsageError('tool.function', `${JSON.stringify(pattern)} names ${places.size} functions of ${path}`, {
      details: [`at most ${MOST} at once: say it more exactly`],
    })
  if (places.size > 0) return [...places.values()]
  const alike = all.map(({ name }) => name).filter((name) => name.includes(pattern.replaceAll('*', '')))
  throw new UsageError('tool.function', `${path} has no function ${JSON.stringify(pattern)}`, {
    details: [
      all.length === 0
        ? 'it has no symbols at all: it is stripped'
        : alike.length > 0
          ? `alike are: ${alike.slice(0, 8).join(', ')}`
          : `see its ${all.length} functions: nm -D ${path}; nm ${path}`,
    ],
  })
}
