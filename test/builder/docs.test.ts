import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import * as typebpf from 'typebpf'
import { describe, expect } from 'vitest'
import { testWith } from '../requirements.ts'

const root = resolve(import.meta.dirname, '../..')

/** The blocks of the page that make programs, as modules: what they use of the package is imported for them. */
function modules(): string[] {
  const page = readFileSync(join(root, 'docs/builder.md'), 'utf8')
  return [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => {
    if (/^import /m.test(code)) return code
    const used = Object.keys(typebpf).filter((name) => new RegExp(`(?<![.\\w'])${name}(?![\\w':])`).test(code))
    return `import { ${used.join(', ')} } from 'typebpf'\n${code}`
  })
}
const RUNNER = `
import { createJudge, kernelBtf } from 'typebpf/kernel'
import { collectObject, linkProgram } from 'typebpf/spec'
const answers = []
for (const file of process.argv.slice(2)) {
  const object = collectObject(await import(file))
  for (const { name } of object.programs) {
    const image = linkProgram(object, name, { kernelBtf: kernelBtf() })
    const { verdict, message } = await createJudge().judge(image, { logLevel: 1 })
    answers.push({ name, verdict, message })
  }
}
console.log(JSON.stringify(answers))
process.exit(0)
`

describe('docs/builder.md', () => {
  testWith('bpf')(
    'every program of the page is built and taken by the running kernel',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'typebpf-docs-'))
      try {
        mkdirSync(join(folder, 'node_modules'))
        symlinkSync(root, join(folder, 'node_modules/typebpf'))
        writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
        writeFileSync(join(folder, 'run.ts'), RUNNER)
        const files = modules().map((code, i) => {
          const file = join(folder, `block-${i}.ts`)
          writeFileSync(file, code)
          return file
        })
        expect(files).toHaveLength(8)
        const loader = join(root, 'node_modules/tsx/dist/esm/index.mjs')
        const out = execFileSync(
          process.execPath,
          ['--conditions=typebpf-source', '--import', loader, join(folder, 'run.ts'), ...files],
          { encoding: 'utf8' },
        )
        const answers = JSON.parse(out) as { name: string; verdict: string; message?: string }[]
        expect(answers.filter(({ verdict }) => verdict !== 'accept')).toEqual([])
        expect(answers).toHaveLength(8)
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
    60_000,
  )
})
