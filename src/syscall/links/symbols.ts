import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { type ElfFile, fileOffsetOf, readElf, readSymbols } from '../../elf/container/index.ts'
import { BpfError, UsageError } from '../../errors/index.ts'

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

interface Opened {
  readonly file: ElfFile
  /** Of another file under the same path it differs. */
  readonly version: string
}
const KEPT_FILES = 4
const opened = new Map<string, Opened>()

/** A binary's headers and sections. @throws UsageError `link.binary`; InputError `elf.*` */
export function openBinary(path: string): ElfFile {
  let version: string
  try {
    const { dev, ino, size, mtimeMs } = statSync(path)
    version = `${dev}/${ino}/${size}/${mtimeMs}`
    const known = opened.get(path)
    if (known?.version === version) return known.file
    const file = readElf(readFileSync(path), path)
    if (opened.size >= KEPT_FILES) opened.clear()
    opened.set(path, { file, version })
    return file
  } catch (cause) {
    if (cause instanceof BpfError) throw cause
    throw new UsageError('link.binary', `${path} cannot be read`, { cause })
  }
}

/** Folders of the dynamic linker, its configuration included. */
function libraryFolders(): string[] {
  const configured: string[] = []
  try {
    for (const name of readdirSync('/etc/ld.so.conf.d'))
      for (const line of readFileSync(`/etc/ld.so.conf.d/${name}`, 'utf8').split('\n'))
        if (line.startsWith('/')) configured.push(line.trim())
  } catch {
    // not a glibc system, or no configuration
  }
  const standard = ['/lib64', '/usr/lib64', '/lib', '/usr/lib', '/usr/local/lib']
  return [...(process.env['LD_LIBRARY_PATH'] ?? '').split(':'), ...configured, ...standard].filter(
    (folder) => folder !== '',
  )
}

/** Files that a process has mapped: its libraries are those that it really uses. */
function mappedFiles(pid: number | 'self'): string[] {
  try {
    const maps = readFileSync(`/proc/${pid}/maps`, 'utf8')
    return [...new Set([...maps.matchAll(/ (\/\S+)$/gm)].map(([, path]) => path))]
  } catch {
    return []
  }
}

/**
 * The path of a binary or library that may be given by its name: `bash` is searched in PATH, `libc.so.6` and `libc` among
 * the libraries of the process, then in the dynamic linker's folders.
 * @throws UsageError `link.binary` when there is none
 */
export function findBinary(name: string, pid?: number): string {
  if (pid !== undefined && !existsSync(`/proc/${pid}`))
    throw new UsageError('link.process', `there is no process ${pid}`)
  if (name.includes('/')) return name
  const isLibrary = /^lib|\.so(\.|$)/.test(name)
  const stem = `${name.replace(/\.so.*$/, '')}.so`
  const fits = (file: string): boolean =>
    file === name || (!name.includes('.so') && (file === stem || file.startsWith(`${stem}.`)))
  if (isLibrary) {
    for (const path of mappedFiles(pid ?? 'self')) if (fits(path.slice(path.lastIndexOf('/') + 1))) return path
    for (const folder of libraryFolders()) {
      if (existsSync(`${folder}/${name}`)) return `${folder}/${name}`
      const found = existsSync(folder) ? readdirSync(folder).find(fits) : undefined
      if (found !== undefined) return `${folder}/${found}`
    }
  }
  for (const folder of `${process.env['PATH'] ?? ''}:/usr/bin:/usr/sbin:/bin:/sbin`.split(':'))
    if (folder !== '' && existsSync(`${folder}/${name}`)) return `${folder}/${name}`
  throw new UsageError('link.binary', `there is no ${isLibrary ? 'library' : 'program'} ${name}`)
}

/** Functions of a binary whose name the test takes, once each. Both symbol tables are looked at. */
export function findFunctions(path: string, test: (name: string) => boolean): FunctionPlace[] {
  const file = openBinary(path)
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
