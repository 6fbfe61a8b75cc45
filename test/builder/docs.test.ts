import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import * as typebpf from 'typebpf'
import { describe, expect } from 'vitest'
import { testWith } from '../requirements.ts'

const root = resolve(import.meta.dirname, '../..')

/** The blocks of a page that make programs, as modules: what they use of the package is imported for them. */
function modules(file: string): string[] {
  const page = readFileSync(join(root, file), 'utf8')
  return [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => {
    if (/^import /m.test(code)) return code
    const used = Object.keys(typebpf).filter((name) => new RegExp(`(?<![.\\w'])${name}(?![\\w':])`).test(code))
    return `import { ${used.join(', ')} } from 'typebpf'\n${code}`
  })
}
const RUNNER = `
import { createJudge, kernelBtf } from 'typebpf/kernel'
import { collectObject, linkProgram } from 'typebpf/spec'
import { verify } from 'typebpf/verifier'
const answers = []
for (const file of process.argv.slice(2)) {
  const object = collectObject(await import(file))
  for (const { name } of object.programs) {
    const image = linkProgram(object, name, { kernelBtf: kernelBtf() })
    const { verdict, message } = await createJudge().judge(image, { logLevel: 1 })
    const model = verify(image, { kernelBtf: kernelBtf() })
    answers.push({ file, name, verdict, message, model: model.verdict, reason: model.message })
  }
}
console.log(JSON.stringify(answers))
process.exit(0)
`

interface Answer {
  readonly file: string
  readonly name: string
  readonly verdict: string
  readonly message?: string
  readonly model: string
  readonly reason?: string
}
/** What the running kernel and the model say to every program of modules. */
function judge(files: readonly string[], folder: string): Answer[] {
  const runner = join(folder, 'run.ts')
  writeFileSync(runner, RUNNER)
  const loader = join(root, 'node_modules/tsx/dist/esm/index.mjs')
  const out = execFileSync(process.execPath, ['--conditions=typebpf-source', '--import', loader, runner, ...files], {
    encoding: 'utf8',
  })
  return JSON.parse(out) as Answer[]
}
/** Kernel objects that the model does not know say so: these programs, and no others. */
const BEYOND_THE_MODEL: Readonly<Record<string, RegExp>> = { watch: /kernel function|kptr|timer/i }

describe('examples', () => {
  testWith('bpf')(
    'every program of the pages, of programs/ and of the comparison is taken by the running kernel and the model',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'typebpf-docs-'))
      try {
        mkdirSync(join(folder, 'node_modules'))
        symlinkSync(root, join(folder, 'node_modules/typebpf'))
        writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
        const pages = [...modules('docs/builder.md'), ...modules('README.md')].map((code, i) => {
          const file = join(folder, `block-${i}.ts`)
          writeFileSync(file, code)
          return file
        })
        expect(pages.length).toBeGreaterThanOrEqual(9)
        const found = ['programs', 'test/builder/programs'].flatMap((below) =>
          readdirSync(join(root, below), { recursive: true, encoding: 'utf8' })
            .filter((file) => file.endsWith('.bpf.ts'))
            .map((file) => join(root, below, file)),
        )
        const answers = judge([...pages, ...found], folder)
        expect(answers.filter(({ verdict }) => verdict !== 'accept')).toEqual([])
        const others = answers.filter(
          ({ name, model, reason }) => model !== 'accept' && !BEYOND_THE_MODEL[name]?.test(reason ?? ''),
        )
        expect(others).toEqual([])
        expect(answers.length).toBeGreaterThanOrEqual(75)
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
    120_000,
  )
})
