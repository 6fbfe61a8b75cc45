import { readFileSync } from 'node:fs'
import { type ElfFile, fileOffsetOf, readElf, readSymbols } from '../../elf/container/index.ts'
import { UsageError } from '../../errors/index.ts'

const SHT_SYMTAB = 2
const SHT_DYNSYM = 11
const STT_FUNC = 2
const STT_GNU_IFUNC = 10

export interface FunctionPlace {
  readonly name: string
  /** Bytes from the file's start: what uprobes take. */
  readonly offset: number
  readonly size: number
}

const opened = new Map<string, ElfFile>()

function open(path: string): ElfFile {
  let file = opened.get(path)
  if (file === undefined) {
    let bytes: Uint8Array
    try {
      bytes = readFileSync(path)
    } catch (cause) {
      throw new UsageError('link.binary', `${path} cannot be read`, { cause })
    }
    file = readElf(bytes, path)
    if (opened.size > 8) opened.clear()
    opened.set(path, file)
  }
  return file
}

/** Functions of a binary whose name the test takes, once each. Both symbol tables are looked at. */
export function findFunctions(path: string, test: (name: string) => boolean): FunctionPlace[] {
  const file = open(path)
  const places = new Map<string, FunctionPlace>()
  for (const section of file.sections) {
    if (section.type !== SHT_SYMTAB && section.type !== SHT_DYNSYM) continue
    for (const symbol of readSymbols(file, section)) {
      if ((symbol.type !== STT_FUNC && symbol.type !== STT_GNU_IFUNC) || symbol.section === 0) continue
      // A dynamic symbol may carry its version: name@@VERSION.
      const name = symbol.name.split('@')[0]
      if (places.has(name) || !test(name)) continue
      const offset = fileOffsetOf(file, symbol.value)
      if (offset !== undefined) places.set(name, { name, offset, size: symbol.size })
    }
  }
  return [...places.values()]
}

/** @throws UsageError `link.function` when the binary has no such function */
export function functionOffset(path: string, name: string): number {
  const [place] = findFunctions(path, (candidate) => candidate === name)
  if (place === undefined) throw new UsageError('link.function', `${path} has no function ${name} (is it stripped?)`)
  return place.offset
}

/** A test for names with `*` and `?`. */
export function wildcard(pattern: string): (name: string) => boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  const expression = new RegExp(`^${source}$`)
  return (name) => expression.test(name)
}
