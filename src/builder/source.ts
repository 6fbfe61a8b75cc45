import type { SourceLocation } from '../asm/index.ts'

/**
 * Reads the user's source for line information. Injected, because the builder also runs where there are no files; under
 * Node a reader of files and source maps is there by itself ({@link nodeSourceReader}).
 */
export interface SourceReader {
  /** The original place of a place in generated code (source maps); undefined: it is original already. */
  locate(file: string, line: number, column: number): { file: string; line: number; column: number } | undefined
  /** The text of a line (from 1). */
  text(file: string, line: number): string | undefined
  /** The file's name in line information: relative where that makes it the same on every machine. */
  name?(file: string): string
}

interface Site {
  readonly getFileName?: () => string | null | undefined
  readonly getLineNumber?: () => number | null
  readonly getColumnNumber?: () => number | null
}
type StackHost = typeof Error & {
  prepareStackTrace?: ((error: Error, sites: Site[]) => unknown) | undefined
  captureStackTrace?: (target: object, below?: unknown) => void
  stackTraceLimit?: number
}

const FRAME = /\(?((?:file:\/\/|[a-z]+:\/\/|\/|[A-Za-z]:[\\/])[^()]*?):(\d+):(\d+)\)?\s*$/
/** The library itself: src/ or dist/src/. */
const HERE = new URL('..', import.meta.url).href
const HERE_PATH = toPath(HERE)
/** Where the source maps of a compiled library say that it is: beside dist/. */
const MAPPED_PATH = HERE_PATH.replace(/\/dist\/src\/$/, '/src/')
const ownFiles = new Map<string, boolean>()
function isOwn(file: string): boolean {
  let own = ownFiles.get(file)
  if (own === undefined) {
    const path = toPath(file)
    own = file.startsWith(HERE) || path.startsWith(HERE_PATH) || path.startsWith(MAPPED_PATH)
    ownFiles.set(file, own)
  }
  return own
}

/** Places in generated code seen before, by file and then line and column: a memo, nothing depends on its contents. */
const memo = new Map<string, Map<number, SourceLocation | undefined>>()
/** How many frames are looked at: nearly always the first few are enough, and each one costs. */
const DEPTHS = [3, 12, 48] as const

const takeSites = (_error: Error, sites: Site[]): unknown => sites
const isOutside = (site: Site): boolean => {
  const file = site.getFileName?.()
  return typeof file === 'string' && file !== '' && !isOwn(file)
}

/**
 * The innermost place of the stack that is outside the builder, as the runtime reports it (its source maps applied). The stack
 * is looked at from the caller of `below`, a function of the builder that is `frames` calls above this one.
 */
export function captureSite(below: unknown = captureSite, frames = 0): SourceLocation | undefined {
  const host = Error as StackHost
  if (host.captureStackTrace === undefined) return fromText(new Error().stack)
  const { prepareStackTrace, stackTraceLimit } = host
  let found: Site | undefined
  let at = -1
  const holder: { stack?: unknown } = {}
  host.prepareStackTrace = takeSites
  for (const depth of DEPTHS) {
    host.stackTraceLimit = depth
    host.captureStackTrace(holder, below)
    const sites = holder.stack
    if (!Array.isArray(sites)) break
    at = 0
    while (at < sites.length && !isOutside(sites[at])) at++
    found = at < sites.length ? (sites as Site[])[at] : undefined
    if (found !== undefined || sites.length < depth) break
  }
  host.prepareStackTrace = prepareStackTrace
  // no deeper than the place: the runtime looks up every frame in source maps. Two frames are this file's own.
  host.stackTraceLimit = found === undefined ? DEPTHS[2] : at + frames + 3
  const place = found === undefined ? fromText(new Error().stack) : located(found)
  host.stackTraceLimit = stackTraceLimit
  return place
}

/** The place of a call as the runtime's own stack text says it: that is where source maps are applied. */
function located(site: Site): SourceLocation | undefined {
  const file = site.getFileName?.() ?? ''
  const key = (site.getLineNumber?.() ?? 0) * 65_536 + (site.getColumnNumber?.() ?? 0)
  let places = memo.get(file)
  if (places === undefined) {
    places = new Map()
    memo.set(file, places)
  }
  let place = places.get(key)
  if (place === undefined && !places.has(key)) {
    place = fromText(new Error().stack)
    places.set(key, place)
  }
  return place
}

function fromText(stack: string | undefined): SourceLocation | undefined {
  if (stack === undefined) return undefined
  for (const line of stack.split('\n')) {
    const match = FRAME.exec(line)
    if (match === null || isOwn(match[1])) continue
    return { file: toPath(match[1]), line: Number(match[2]), column: Number(match[3]) }
  }
  return undefined
}

/** The innermost place of an error's stack that is outside the builder. */
export function siteOfError(error: Error): SourceLocation | undefined {
  return fromText(error.stack)
}
/** Whether an error was thrown by the library's own code. */
export function isOwnError(error: Error): boolean {
  const first = error.stack?.split('\n').find((line) => /^\s+at /.test(line))
  const match = first === undefined ? null : FRAME.exec(first)
  return match !== null && isOwn(match[1])
}

function toPath(url: string): string {
  const bare = url.replace(/[?#].*$/, '')
  return bare.startsWith('file://') ? decodeURIComponent(new URL(bare).pathname) : bare
}

interface NodeProcess {
  getBuiltinModule?: (name: string) => unknown
  cwd?: () => string
}
interface NodeFs {
  readFileSync(path: string, encoding: 'utf8'): string
  existsSync(path: string): boolean
}
interface NodeModule {
  SourceMap: new (
    payload: unknown,
  ) => {
    findEntry(line: number, column: number): { originalSource?: string; originalLine?: number; originalColumn?: number }
  }
}

/** Files and `.map` files beside them, through Node; undefined where there is no Node. */
export function nodeSourceReader(): SourceReader | undefined {
  const node = (globalThis as { process?: NodeProcess }).process
  const fs = node?.getBuiltinModule?.('node:fs') as NodeFs | undefined
  const modules = node?.getBuiltinModule?.('node:module') as NodeModule | undefined
  if (fs === undefined || modules === undefined) return undefined
  const lines = new Map<string, string[] | undefined>()
  const maps = new Map<string, InstanceType<NodeModule['SourceMap']> | undefined>()
  const linesOf = (file: string): string[] | undefined => {
    if (!lines.has(file)) {
      let found: string[] | undefined
      try {
        found = fs.readFileSync(file, 'utf8').split(/\r?\n/)
      } catch {
        found = undefined
      }
      lines.set(file, found)
    }
    return lines.get(file)
  }
  const root = `${node?.cwd?.() ?? ''}/`
  return {
    text: (file, line) => linesOf(file)?.[line - 1]?.trimEnd(),
    name: (file) => (root.length > 1 && file.startsWith(root) ? file.slice(root.length) : file),
    locate(file, line, column) {
      if (!/\.[cm]?js$/.test(file)) return undefined
      if (!maps.has(file)) {
        let map: InstanceType<NodeModule['SourceMap']> | undefined
        try {
          if (fs.existsSync(`${file}.map`))
            map = new modules.SourceMap(JSON.parse(fs.readFileSync(`${file}.map`, 'utf8')))
        } catch {
          map = undefined
        }
        maps.set(file, map)
      }
      const entry = maps.get(file)?.findEntry(line - 1, column - 1)
      if (entry?.originalSource === undefined || entry.originalLine === undefined) return undefined
      const base = `file://${file}`
      const original = toPath(new URL(entry.originalSource, base).href)
      return { file: original, line: entry.originalLine + 1, column: (entry.originalColumn ?? 0) + 1 }
    },
  }
}
