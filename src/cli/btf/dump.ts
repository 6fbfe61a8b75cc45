import { writeFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { type Btf, dumpCBytes, dumpJson, dumpKernelTypes, dumpRaw, dumpTypeScript } from '../../btf/index.ts'
import { NegativeError, UsageError } from '../../errors/index.ts'
import { mapInfo, programInfo, realSys } from '../../syscall/index.ts'
import { KERNEL_BTF, loadBtf } from '../btf-input.ts'
import { prettyJson } from '../objects/json.ts'
import { liveBtf } from '../objects/live-btf.ts'
import { fullWord, selectOne } from '../objects/select.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'

const FORMATS = ['raw', 'c', 'ts', 'ts-kernel'] as const
type Format = (typeof FORMATS)[number]

/**
 * What helps V8 in a process that lives a tenth of a second. C makes no objects, but runs through much code once: inlining
 * costs more time than it gains (measured: a sixth of all CPU time). The others keep types alive to the end: room for young
 * objects that grows at once saves copying them again and again.
 */
const ENGINE_FLAGS: Readonly<Record<Format, string>> = {
  c: '--max-inlined-bytecode-size-cumulative=150',
  raw: '--semi-space-growth-factor=16',
  ts: '--semi-space-growth-factor=16',
  'ts-kernel': '--semi-space-growth-factor=16',
}

/** The types to print and those to begin with. */
interface Source {
  readonly btf: Btf
  /** None: all. Type 0 is a map's key or value that has none. */
  readonly roots: readonly number[]
  readonly rest: readonly string[]
}

function kernelObject(id: number, what: string, base: Btf | undefined): Btf {
  if (id === 0) throw new NegativeError('btf.none', `${what} has no BTF`)
  const btf = liveBtf(realSys(), id, base)
  if (btf === undefined) throw new NegativeError('btf.not-found', `there is no BTF object with id ${id}`)
  return btf
}

const PARTS = ['key', 'value', 'all', 'kv'] as const

function mapTypes(words: readonly string[], base: Btf | undefined): Source {
  const sys = realSys()
  const { fd: owned, rest } = selectOne(sys, 'map', words)
  using fd = owned
  const info = mapInfo(sys, fd.fd)
  const { btf_key_type_id: key, btf_value_type_id: value } = info
  const part = rest.length === 0 ? undefined : fullWord(rest[0], PARTS)
  const roots = part === 'all' ? [] : part === 'key' ? [key] : part === 'value' ? [value] : [key, value]
  return {
    btf: kernelObject(info.btf_id, `map ${info.id}`, base),
    roots,
    rest: part === undefined ? rest : rest.slice(1),
  }
}

function programTypes(words: readonly string[], base: Btf | undefined): Source {
  const sys = realSys()
  const { fd: owned, rest } = selectOne(sys, 'program', words)
  using fd = owned
  const info = programInfo(sys, fd.fd)
  return { btf: kernelObject(info.btfId, `program ${info.id}`, base), roots: [], rest }
}

function source(words: readonly string[], basePath: string | undefined): Source {
  const what = fullWord(words[0] ?? '', ['map', 'prog', 'id', 'file', 'kernel'])
  const base = (): Btf | undefined => (basePath === undefined ? undefined : loadBtf(basePath))
  const value = (): string => {
    if (words[1] === undefined) throw new UsageError('cli.words', `btf dump: '${what}' needs a value`)
    return words[1]
  }
  switch (what) {
    case 'map':
      return mapTypes(words.slice(1), base())
    case 'prog':
      return programTypes(words.slice(1), base())
    case 'id': {
      if (!/^(0x[0-9a-f]+|\d+)$/i.test(value()))
        throw new UsageError('cli.id', `${JSON.stringify(value())} is no id of a BTF object`)
      return { btf: kernelObject(Number(value()), '', base()), roots: [], rest: words.slice(2) }
    }
    case 'file':
      return { btf: loadBtf(value(), basePath), roots: [], rest: words.slice(2) }
    case 'kernel':
      return { btf: loadBtf(KERNEL_BTF), roots: [], rest: words.slice(1) }
    default:
      throw new UsageError(
        'cli.words',
        `btf dump: expected id, prog, map, file or kernel, got ${JSON.stringify(words[0] ?? '')}`,
      )
  }
}

/** A type by its id or name, `struct NAME` to say which kind. */
function rootIds(btf: Btf, root: string): number[] {
  if (/^\d+$/.test(root)) {
    if (!btf.has(Number(root))) throw new NegativeError('btf.not-found', `${btf.what}: there is no type [${root}]`)
    return [Number(root)]
  }
  const match = /^(?:(struct|union|enum|typedef|func|var)\s+)?(\S+)$/.exec(root)
  const [kind, name] = [match?.[1], match?.[2] ?? root]
  const ids = btf.idsByName(name).filter((id) => kind === undefined || btf.kind(id).startsWith(kind))
  if (ids.length === 0) throw new NegativeError('btf.not-found', `${btf.what}: no type is called ${root}`)
  return [...ids]
}

/** Definitions of kernel structs are for those that are asked for. */
function namedRoots(ids: readonly number[] | undefined): readonly number[] {
  if (ids === undefined) throw new UsageError('cli.words', 'btf dump: format ts-kernel wants the structs: root NAME')
  return ids
}

/** `btf dump SOURCE [format raw|c|ts|ts-kernel] [root_id ID] [root NAME] [-o FILE]`. */
export function dump(words: readonly string[], context: Context): void {
  const { btf, roots, rest } = source(words, context.baseBtf)
  let format: Format = 'raw'
  const ids = [...roots]
  for (let i = 0; i < rest.length; i++) {
    const word = fullWord(rest[i], ['format', 'root', 'root_id', 'unsorted'])
    // types come out in the order in which they need each other; bpftool can sort them by name
    if (word === 'unsorted') continue
    const value = rest[++i]
    if (word === undefined)
      throw new UsageError(
        'cli.words',
        `btf dump: expected format, root_id or root, got ${JSON.stringify(rest[i - 1])}`,
      )
    if (value === undefined) throw new UsageError('cli.words', `btf dump: '${word}' needs a value`)
    if (word === 'format') {
      const known = FORMATS.find((name) => name === value)
      if (known === undefined)
        throw new UsageError(
          'cli.words',
          `btf dump: the format is raw, c, ts or ts-kernel, not ${JSON.stringify(value)}`,
        )
      format = known
    } else ids.push(...rootIds(btf, value))
  }
  if (format !== 'raw' && context.json === true)
    throw new UsageError('cli.words', `btf dump: format ${format} is text, not JSON`)
  const chosen = ids.length === 0 ? undefined : ids
  setFlagsFromString(ENGINE_FLAGS[format])
  const text =
    format === 'c'
      ? dumpCBytes(btf, chosen)
      : format === 'ts'
        ? dumpTypeScript(btf, chosen)
        : format === 'ts-kernel'
          ? dumpKernelTypes(btf, namedRoots(chosen))
          : context.json === true
            ? `${context.pretty === true ? prettyJson(dumpJson(btf, chosen)) : dumpJson(btf, chosen)}\n`
            : dumpRaw(btf, chosen)
  if (context.output === undefined) print(text)
  else writeFileSync(context.output, text)
}
