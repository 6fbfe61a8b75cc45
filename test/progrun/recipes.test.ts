import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { testWith } from '../requirements.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const guide = readFileSync(join(root, 'docs/testing.md'), 'utf8')
const folder = mkdtempSync(join(root, 'test/progrun/.tmp-recipes-'))
afterAll(() => rmSync(folder, { recursive: true }))

type Yaml = string | number | readonly Yaml[] | { readonly [key: string]: Yaml }

/** The YAML of the recipes: block maps and lists by indentation, flow maps and lists of scalars on one line. */
function parseYaml(text: string): Yaml {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.trim().startsWith('#'))
  let at = 0
  const indentOf = (line: string): number => line.length - line.trimStart().length
  const scalar = (raw: string): Yaml => {
    const value = raw.trim()
    if (value.startsWith('{') && value.endsWith('}')) {
      const inside = value.slice(1, -1).trim()
      const parts = inside.includes('{') ? [inside] : inside.split(',')
      return Object.fromEntries(parts.map((part) => pair(part)))
    }
    if (value.startsWith('[') && value.endsWith(']')) return value.slice(1, -1).split(',').map(scalar)
    return /^\d+$/.test(value) ? Number(value) : value
  }
  const pair = (line: string): readonly [string, Yaml] => {
    const match = /^([\w-]+):\s+(.+)$/.exec(line.trim())
    if (match === null) throw new Error(`no YAML here: ${line}`)
    return [match[1], scalar(match[2])]
  }
  const block = (indent: number): Yaml => {
    const list: Yaml[] = []
    const map: Record<string, Yaml> = {}
    while (at < lines.length && indentOf(lines[at]) === indent) {
      const line = lines[at].trim()
      if (line.startsWith('- ')) {
        if (/^- [\w-]+: /.test(line)) {
          // a map whose first key stands behind the dash
          lines[at] = `${' '.repeat(indent + 2)}${line.slice(2)}`
          list.push(block(indent + 2))
        } else {
          at++
          list.push(scalar(line.slice(2)))
        }
        continue
      }
      at++
      if (line.endsWith(':')) {
        if (at >= lines.length || indentOf(lines[at]) <= indent) throw new Error(`nothing under ${line}`)
        map[line.slice(0, -1)] = block(indentOf(lines[at]))
      } else {
        const [key, value] = pair(line)
        if (Object.hasOwn(map, key)) throw new Error(`${key} stands twice`)
        map[key] = value
      }
    }
    if (list.length > 0 && Object.keys(map).length > 0) throw new Error('a list and a map in one block')
    return list.length > 0 ? list : map
  }
  const whole = block(0)
  if (at < lines.length) throw new Error(`the indentation of line ${lines[at]} fits nothing`)
  return whole
}

interface GithubWorkflow {
  readonly on: readonly string[]
  readonly jobs: Record<string, { readonly 'runs-on': string; readonly steps: readonly Record<string, Yaml>[] }>
}
type GitlabPipeline = Record<
  string,
  { readonly image: string; readonly script: readonly string[]; readonly tags?: Yaml }
>

const [github, gitlab] = [...guide.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) =>
  parseYaml(text),
) as unknown as [GithubWorkflow, GitlabPipeline]
/** Commands of the CI recipes, as they stand in the guide. */
const all = [
  ...Object.values(github.jobs).flatMap(({ steps }) =>
    steps.flatMap(({ run }) => (run === undefined ? [] : [String(run)])),
  ),
  ...Object.values(gitlab).flatMap(({ script }) => script),
]
const commands = [...new Set(all.filter((line) => line.includes('typebpf')))]

/** The guide's first program, next to xdp-count. */
const [, example] = /```ts\n([\s\S]*?)```/.exec(guide) ?? []
writeFileSync(
  join(folder, 'guide.test.ts'),
  (example ?? '').replace("'./xdp-count.bpf.ts'", "'../../../programs/xdp-count/xdp-count.bpf.ts'"),
)
writeFileSync(
  join(folder, 'vitest.config.ts'),
  "export default { resolve: { conditions: ['typebpf-source', 'node'] }, ssr: { resolve: { conditions: ['typebpf-source', 'node'] } }, test: { include: ['**/*.test.ts'] } }\n",
)

function run(command: string): { code: number | null; text: string } {
  const tool = [
    process.execPath,
    '--conditions=typebpf-source',
    '--import',
    import.meta.resolve('tsx'),
    join(root, 'src/cli/bin.ts'),
  ]
  const script = command.replace(/^sudo env "PATH=\$PATH" /, '').replace('npx typebpf', tool.join(' '))
  const env = { ...process.env, VITEST: undefined, NO_COLOR: '1', FORCE_COLOR: undefined }
  const { status, stdout, stderr } = spawnSync('sh', ['-c', script], { cwd: folder, encoding: 'utf8', env })
  return { code: status, text: stdout + stderr }
}

describe('the guide', () => {
  test('its recipes are whole workflows: triggers, runners, steps that use or run something', () => {
    expect(github.on.length).toBeGreaterThan(0)
    for (const job of Object.values(github.jobs)) {
      expect(job['runs-on']).toMatch(/^ubuntu/)
      for (const step of job.steps)
        expect(Object.keys(step)).toEqual(expect.arrayContaining([step['uses'] ? 'uses' : 'run']))
    }
    for (const job of Object.values(gitlab)) expect([job.image, Array.isArray(job.script)]).toEqual(['node:20', true])
    // what is no command of ours is the install, which needs a registry and is not run here
    expect([...new Set(all.filter((line) => !line.includes('typebpf')))]).toEqual(['npm ci'])
    expect(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node).toMatch(/^>=20/)
  })

  test('has an unprivileged and a privileged recipe for both services', () => {
    expect(commands).toHaveLength(4)
    expect(commands.filter((line) => line.includes('--backend emulator'))).toHaveLength(2)
    expect(commands.filter((line) => line.includes('--backend both'))).toHaveLength(2)
  })

  for (const command of commands.filter((line) => line.includes('emulator')))
    test(`${command}: passes on the guide's first example`, () => {
      const { code, text } = run(command)
      expect(code, text).toBe(0)
      expect(text).toMatch(/1 passed/)
      if (command.includes('--junit')) expect(existsSync(join(folder, 'junit.xml'))).toBe(true)
    }, 180_000)

  // without sudo both services' commands are the same
  for (const command of commands.filter((line) => line.startsWith('npx') && line.includes('both')))
    testWith('bpf')(
      `${command}: passes on the guide's first example`,
      () => {
        const { code, text } = run(command)
        expect(code, text).toBe(0)
        expect(text).toMatch(/1 passed/)
      },
      60_000,
    )
})
