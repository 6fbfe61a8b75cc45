import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodeSourceReader } from 'typebpf'
import { collectObject } from 'typebpf/spec'
import { expect, test } from 'vitest'
import { marked } from './lines/marked.bpf.ts'

const FILE = new URL('./lines/marked.bpf.ts', import.meta.url).pathname
const TEXT = readFileSync(FILE, 'utf8').split('\n')
const lineOf = (mark: string): string => {
  const index = TEXT.findIndex((line) => line.includes(`// line: ${mark}`))
  return `marked.bpf.ts:${index + 1}:${TEXT[index].trim()}`
}
const wanted = [lineOf('cpu'), lineOf('drop'), lineOf('increment')]

test('lines are true under vitest', () => {
  const lines = collectObject({ marked }).programs[0].instructions.map(
    ({ source }) => `${source?.file.replace(/^.*\//, '')}:${source?.line}:${source?.text?.trim()}`,
  )
  for (const line of wanted) expect(lines).toContain(line)
})

test('lines are true under tsx', () => {
  const out = execFileSync(
    process.execPath,
    ['--conditions=typebpf-source', '--import', 'tsx', new URL('./lines/print.ts', import.meta.url).pathname],
    { encoding: 'utf8' },
  )
  const lines = JSON.parse(out) as string[]
  for (const line of wanted) expect(lines).toContain(line)
})

test("lines are true under Node's own type stripping", (context) => {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 22 || (major === 22 && minor < 18)) context.skip(`needs Node 22.18, this is ${process.versions.node}`)
  const out = execFileSync(
    process.execPath,
    ['--conditions=typebpf-source', new URL('./lines/print.ts', import.meta.url).pathname],
    { encoding: 'utf8' },
  )
  for (const line of wanted) expect(JSON.parse(out)).toContain(line)
})

test('lines of compiled output go back through its source map', () => {
  const folder = mkdtempSync(join(tmpdir(), 'typebpf-lines-'))
  try {
    writeFileSync(join(folder, 'plain.ts'), 'interface A {\n  a: string\n}\n\nexport const answer: number =\n  42\n')
    execFileSync(
      process.execPath,
      [
        new URL('../../node_modules/typescript/bin/tsc', import.meta.url).pathname,
        '--sourceMap',
        '--module',
        'nodenext',
        '--target',
        'es2023',
        '--ignoreConfig',
        '--types',
        '',
        join(folder, 'plain.ts'),
      ],
      { stdio: 'pipe', cwd: folder },
    )
    const js = readFileSync(join(folder, 'plain.js'), 'utf8').split('\n')
    const line = js.findIndex((it) => it.includes('42'))
    const reader = nodeSourceReader()
    const found = reader?.locate(join(folder, 'plain.js'), line + 1, js[line].indexOf('42') + 1)
    expect(found?.file).toBe(join(folder, 'plain.ts'))
    expect(reader?.text(found?.file ?? '', found?.line ?? 0)?.trim()).toBe('42')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
