import { readlinkSync } from 'node:fs'
import { NegativeError, SystemError, UsageError } from '../../errors/index.ts'
import {
  mapInfo,
  type ObjectKind,
  type OwnedFd,
  objectIds,
  openById,
  openPinned,
  programInfo,
  type Sys,
} from '../../syscall/index.ts'

/** The words that name an object: `id 5`, `name counts`, `tag 8a…`, `pinned /sys/fs/bpf/x`, or a bare number. */
export interface Selection {
  readonly fds: readonly OwnedFd[]
  /** The words that are left. */
  readonly rest: readonly string[]
}

const NOUN: Readonly<Record<ObjectKind, string>> = { program: 'program', map: 'map', link: 'link', btf: 'BTF object' }
const WAYS: Readonly<Record<ObjectKind, readonly string[]>> = {
  program: ['id', 'tag', 'name', 'pinned'],
  map: ['id', 'name', 'pinned'],
  link: ['id', 'pinned'],
  btf: ['id'],
}

/** The full word for an unambiguous prefix; words that are exact win. */
export function fullWord(word: string, words: readonly string[]): string | undefined {
  if (words.includes(word)) return word
  return word === '' ? undefined : words.find((candidate) => candidate.startsWith(word))
}

function parseId(text: string, noun: string): number {
  const id = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN
  if (!Number.isInteger(id) || id < 0 || id > 0xffffffff)
    throw new UsageError('cli.id', `${JSON.stringify(text)} is no id of a ${noun}: a number from 1 on`)
  return id
}

/** What the kernel calls a descriptor of each kind in /proc/self/fd. */
const DESCRIPTOR: readonly (readonly [ObjectKind, RegExp])[] = [
  ['program', /bpf-prog/],
  ['map', /bpf-map/],
  ['link', /bpf[-_]link/],
  ['btf', /\[?btf/],
]

/** @throws NegativeError `cli.not-found` when there is nothing; UsageError `cli.kind` for an object of another kind */
function openPath(sys: Sys, kind: ObjectKind, path: string): OwnedFd {
  let fd: OwnedFd
  try {
    fd = openPinned(sys, path)
  } catch (error) {
    if (error instanceof SystemError && error.code === 'sys.enoent')
      throw new NegativeError('cli.not-found', `nothing is pinned at ${path}`)
    throw error
  }
  const name = readlinkSync(`/proc/self/fd/${fd.fd}`)
  const found = DESCRIPTOR.find(([, pattern]) => pattern.test(name))?.[0]
  if (found === kind) return fd
  fd.close()
  throw new UsageError(
    'cli.kind',
    `${path} is no ${NOUN[kind]}: a ${found === undefined ? name : NOUN[found]} is pinned there`,
  )
}

function search(sys: Sys, kind: 'program' | 'map', matches: (fd: number) => boolean): OwnedFd[] {
  const found: OwnedFd[] = []
  for (const id of objectIds(sys, kind)) {
    const fd = openById(sys, kind, id)
    if (fd === undefined) continue
    if (matches(fd.fd)) found.push(fd)
    else fd.close()
  }
  return found
}

/** Opens what the first words name. @throws UsageError for words that name nothing, NegativeError when there is no such object */
export function select(sys: Sys, kind: ObjectKind, words: readonly string[]): Selection {
  const noun = NOUN[kind]
  const ways = WAYS[kind]
  if (words.length === 0) throw new UsageError('cli.object', `which ${noun}? Name it by ${ways.join(', ')}`)
  if (/^\d+$/.test(words[0])) return select(sys, kind, ['id', ...words])
  const way = fullWord(words[0], ways)
  if (way === undefined)
    throw new UsageError(
      'cli.object',
      `expected ${ways.map((one) => `'${one}'`).join(', ')}, got ${JSON.stringify(words[0])}`,
    )
  const value = words[1]
  if (value === undefined) throw new UsageError('cli.object', `'${way}' needs a value`)
  const rest = words.slice(2)
  if (way === 'id') {
    const fd = openById(sys, kind, parseId(value, noun))
    if (fd === undefined) throw new NegativeError('cli.not-found', `there is no ${noun} with id ${value}`)
    return { fds: [fd], rest }
  }
  if (way === 'pinned') return { fds: [openPath(sys, kind, value)], rest }
  if (way === 'tag' && !/^[0-9a-f]{16}$/i.test(value))
    throw new UsageError('cli.tag', `${JSON.stringify(value)} is no tag: 16 hex digits`)
  const fds =
    kind === 'map'
      ? search(sys, 'map', (fd) => mapInfo(sys, fd).name === value.slice(0, 15))
      : search(sys, 'program', (fd) => {
          const info = programInfo(sys, fd)
          return way === 'tag' ? info.tag === value.toLowerCase() : info.name === value.slice(0, 15)
        })
  if (fds.length === 0) throw new NegativeError('cli.not-found', `there is no ${noun} with ${way} ${value}`)
  return { fds, rest }
}

/** As {@link select}, but exactly one. */
export function selectOne(
  sys: Sys,
  kind: ObjectKind,
  words: readonly string[],
): { fd: OwnedFd; rest: readonly string[] } {
  const { fds, rest } = select(sys, kind, words)
  if (fds.length > 1) {
    for (const fd of fds) fd.close()
    throw new UsageError(
      'cli.ambiguous',
      `${fds.length} ${NOUN[kind]}s match ${words.slice(0, 2).join(' ')}: name one by id`,
    )
  }
  return { fd: fds[0], rest }
}
