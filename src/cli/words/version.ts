import { readFileSync } from 'node:fs'
import { toJson } from '../objects/json.ts'
import type { Context } from './noun.ts'
import { print } from './output.ts'

/** The package's own version. */
export function packageVersion(): string {
  let folder = import.meta.url
  for (let depth = 0; depth < 5; depth++) {
    folder = new URL(depth === 0 ? '.' : '..', folder).href
    try {
      const { name, version } = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8')) as {
        name?: string
        version: string
      }
      if (name === 'typebpf') return version
    } catch {
      // one folder up
    }
  }
  return 'unknown'
}

/** bpftool's features: what this build can do that another one may not. No libbpf is in it. */
const FEATURES = { libbfd: false, llvm: false, crypto: false, libbpf_strict: true, skeletons: true, bootstrap: false }

/** `typebpf version`. */
export function showVersion(_words: readonly string[], { json, pretty }: Context): void {
  const version = packageVersion()
  if (json === true)
    print(`${toJson({ version, libbpf_version: null, features: FEATURES, node: process.versions.node }, pretty)}\n`)
  else
    print(
      `typebpf v${version}\nfeatures: ${Object.entries(FEATURES)
        .flatMap(([name, on]) => (on ? [name] : []))
        .join(', ')}\n`,
    )
}
