import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

/** Imports that stay at run time: `import type` and `export type` vanish. */
const IMPORT =
  /^(?:import|export)\s(?!type\s)[^'"]*?from\s+['"]([^'"]+)['"]|^import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm

test('the emulator runs in a browser: what it imports is its own, no Node built-in, no package', () => {
  const seen = new Set<string>()
  const foreign: string[] = []
  const visit = (url: URL): void => {
    if (seen.has(url.href)) return
    seen.add(url.href)
    const text = readFileSync(url, 'utf8')
    for (const [, first, second, third] of text.matchAll(IMPORT)) {
      const name = first ?? second ?? third
      if (name.startsWith('.')) visit(new URL(name, url))
      else foreign.push(`${url.pathname}: ${name}`)
    }
    for (const [word] of text.matchAll(/(?<![#.])\b(?:process\.|Buffer\.|require\()/g))
      foreign.push(`${url.pathname}: ${word}`)
  }
  visit(new URL('../../src/emulator/index.ts', import.meta.url))
  expect(foreign).toEqual([])
  expect(seen.size).toBeGreaterThan(50)
})
