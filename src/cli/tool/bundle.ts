import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/** A tool as the package's build left it: one file with all that it needs. */
export interface Bundle {
  readonly main: (args: readonly string[], json?: boolean) => Promise<number>
}

/**
 * The bundle of a tool, undefined where there is none. CommonJS is read at once, by this thread: several times faster than
 * an import on a machine that is busy.
 * @param programs where `programs/` is
 */
export function toolBundle(programs: URL, name: string): Bundle | undefined {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) return undefined
  const path = fileURLToPath(new URL(`bundle/${name}.js`, programs))
  return existsSync(path) ? (createRequire(import.meta.url)(path) as Bundle) : undefined
}
