import { existsSync, readFileSync, statSync } from 'node:fs'
import { register as registerHooks } from 'node:module'
import { basename, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isElf } from '../elf/container/index.ts'
import { readObject } from '../elf/index.ts'
import { BpfError, InputError, UsageError } from '../errors/index.ts'
import { collectObject, type ObjectSpec } from '../spec/index.ts'

/** Files that are imported as modules; everything else must be an object file. */
const MODULE = /\.(ts|mts|cts|js|mjs|cjs)$/

/**
 * The object in a file: a BPF object (.o) or a TypeScript or JavaScript module that exports programs.
 * @throws UsageError `input.missing`, `module.no-program`; InputError `input.kind`, `module.failed`, `elf.*`, `btf.*`
 */
export async function loadInput(path: string): Promise<ObjectSpec> {
  if (!existsSync(path)) throw new UsageError('input.missing', `${path}: there is no such file`)
  if (!statSync(path).isFile()) throw new UsageError('input.missing', `${path}: it is no file`)
  if (MODULE.test(path)) return collectObject(await importModule(path), { name: stem(path) })
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (cause) {
    throw new UsageError('input.missing', `${path}: it cannot be read: ${(cause as Error).message}`, { cause })
  }
  if (!isElf(bytes))
    throw new InputError('input.kind', `${path}: neither an ELF object nor a module (.ts, .js, .mts, .mjs, .cts, .cjs)`)
  return readObject(bytes, { what: path, name: stem(path) })
}

function stem(path: string): string {
  return basename(path).replace(/(\.bpf)?\.[a-z]+$/, '') || 'object'
}

/**
 * A `.ts` file in a folder whose package.json does not say `"type": "module"` (or has none) is a module all the same: as
 * CommonJS it could not import this package, which is ESM only.
 */
const FORMAT_HOOK = `export async function resolve(specifier, context, next) {
  const found = await next(specifier, context)
  const own = found.format === 'commonjs' && /\\.ts(\\?|$)/.test(found.url) && !found.url.includes('/node_modules/')
  return own ? { ...found, format: 'module' } : found
}`

let registered = false

/** Imports a user's module; TypeScript goes through tsx and keeps its line numbers. */
export async function importModule(path: string): Promise<object> {
  if (!registered) {
    registered = true
    process.setSourceMapsEnabled(true)
    const { register } = await import('tsx/esm/api')
    register()
    // registered last, asked first
    registerHooks(`data:text/javascript,${encodeURIComponent(FORMAT_HOOK)}`)
  }
  try {
    return (await import(pathToFileURL(resolve(path)).href)) as object
  } catch (cause) {
    if (cause instanceof BpfError) throw cause
    const { name, message } = cause instanceof Error ? cause : { name: 'Error', message: String(cause) }
    const first = message.split('\n')[0]
    throw new InputError('module.failed', `${path}: the module does not load: ${name}: ${first}`, { cause })
  }
}
