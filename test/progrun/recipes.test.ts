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

/** Commands of the CI recipes that run the tool, as they stand in the guide. */
const commands = [
  ...new Set(
    [...guide.matchAll(/^\s*- (?:run: )?((?:sudo env "PATH=\$PATH" )?npx typebpf test .*)$/gm)].map(([, line]) => line),
  ),
]

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
