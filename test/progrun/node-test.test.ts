import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
// inside the project, so that "typebpf" resolves to it as a package does to itself
const folder = mkdtempSync(join(root, 'test/progrun/.tmp-'))
afterAll(() => rmSync(folder, { recursive: true }))

function node(
  args: readonly string[],
  env: Record<string, string> = {},
): { code: number | null; out: string; err: string } {
  const all = ['--conditions=typebpf-source', '--import', 'tsx', ...args]
  const inherited = { ...process.env, VITEST: undefined, NODE_OPTIONS: '', NODE_TEST_CONTEXT: undefined, ...env }
  const { status, stdout, stderr } = spawnSync(process.execPath, all, { cwd: root, encoding: 'utf8', env: inherited })
  return { code: status, out: stdout, err: stderr }
}

const PROGRAM = "import { xdpCount, counts } from '../../../programs/xdp-count/xdp-count.bpf.ts'"

test('the same API under node:test, with plain functions', () => {
  const file = join(folder, 'plain.test.mts')
  writeFileSync(
    file,
    `import { test } from 'node:test'
import { assertCheck, checkReturn, checkMapState, eth, harness, ipv4, tcp } from 'typebpf/progrun'
${PROGRAM}
test('passes', async () => {
  using t = await harness(xdpCount, { backend: 'emulator' })
  assertCheck(checkReturn(t.run(xdpCount, { packet: [eth(), ipv4(), tcp()] }), 'XDP_PASS'))
  assertCheck(checkMapState(t.map(counts), [[6, { packets: 1n }]]))
})
test('fails', async () => {
  using t = await harness(xdpCount, { backend: 'emulator' })
  assertCheck(checkReturn(t.run(xdpCount, { packet: [eth(), ipv4(), tcp()] }), 'XDP_DROP'))
})
`,
  )
  const { code, out } = node(['--test', file])
  expect(out).toMatch(/pass 1$/m)
  expect(out).toMatch(/fail 1$/m)
  expect(out).toContain('xdp_count returned XDP_PASS on emulator, expected XDP_DROP')
  expect(code).toBe(1)
}, 180_000)

describe('typebpf test', () => {
  const file = join(folder, 'user.test.ts')
  writeFileSync(
    file,
    `import { eth, ipv4, packet, tcp } from 'typebpf/progrun'
import { expect, test } from 'typebpf/vitest'
${PROGRAM}
test('passes', async ({ bpf }) => {
  const t = await bpf(xdpCount)
  expect(t.run(xdpCount, { packet: packet(eth(), ipv4(), tcp()) })).toReturn('XDP_PASS')
})
test('fails', async ({ bpf }) => {
  const t = await bpf(xdpCount)
  t.run(xdpCount, { packet: packet(eth(), ipv4(), tcp()) })
  expect(1).toBe(2)
})
`,
  )
  const cli = join(root, 'src/cli/bin.ts')
  // vitest's include of this project does not know the folder's files: a configuration of its own
  writeFileSync(
    join(folder, 'vitest.config.ts'),
    "export default { resolve: { conditions: ['typebpf-source', 'node'] }, ssr: { resolve: { conditions: ['typebpf-source', 'node'] } }, test: { include: ['**/*.test.ts'] } }\n",
  )
  let github = false
  const run = (...args: readonly string[]): { code: number | null; out: string; err: string } => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--conditions=typebpf-source', '--import', import.meta.resolve('tsx'), cli, 'test', ...args],
      {
        cwd: folder,
        encoding: 'utf8',
        env: {
          ...process.env,
          VITEST: undefined,
          NO_COLOR: '1',
          FORCE_COLOR: undefined,
          GITHUB_ACTIONS: github ? 'true' : undefined,
        },
      },
    )
    return { code: status, out: stdout, err: stderr }
  }

  test('runs what is asked for, writes coverage of BPF code', () => {
    const { code, out, err } = run(
      'user',
      '-t',
      'passes',
      '--backend',
      'emulator',
      '--coverage',
      '--coverage-folder',
      'cov',
    )
    expect(code, out + err).toBe(0)
    expect(out).toMatch(/BPF coverage: \d+ of \d+ lines, \d+ of \d+ branches.* → cov\/index\.html/)
    expect(readFileSync(join(folder, 'cov/lcov.info'), 'utf8')).toMatch(/SF:.*xdp-count\.bpf\.ts/)
    expect(existsSync(join(folder, 'cov/coverage-final.json'))).toBe(true)
  }, 180_000)

  test('a failure names backend and kernel, also in JUnit and in GitHub annotations; exit 1', () => {
    github = true
    const { code, out, err } = run('user', '--backend', 'emulator', '--junit', 'junit.xml')
    github = false
    expect(code).toBe(1)
    // one annotation: the test, its file and line, the backend in the message
    const annotations = (out + err).split('\n').filter((line) => line.startsWith('::error '))
    expect(annotations).toHaveLength(1)
    expect(annotations[0]).toMatch(/^::error file=.*user\.test\.ts,title=.*fails.*,line=\d+,column=\d+::/)
    expect(annotations[0]).toMatch(/\[emulator; .*kernel \d+\.\d+/)
    expect(out + err).toMatch(/\[emulator; .*kernel \d+\.\d+/)
    expect(readFileSync(join(folder, 'junit.xml'), 'utf8')).toMatch(
      /failure message="[^"]*\[emulator; .*kernel \d+\.\d+/,
    )
  }, 180_000)

  test('JSON is all that it prints when asked for it: every test with its backend and its errors', () => {
    const { code, out } = run('user', '--backend', 'emulator', '--json')
    expect(code).toBe(1)
    const { passed, backend, tests } = JSON.parse(out) as {
      passed: boolean
      backend: string
      tests: Record<string, unknown>[]
    }
    expect({ passed, backend }).toEqual({ passed: false, backend: 'emulator' })
    expect(tests).toMatchObject([
      { file: 'user.test.ts', name: 'passes', state: 'passed', backend: 'emulator' },
      { file: 'user.test.ts', name: 'fails', state: 'failed', backend: 'emulator' },
    ])
    expect(tests[1]['errors']).toEqual([expect.stringMatching(/^expected 1 to be 2.*\n\[emulator; .*kernel \d+/)])
  }, 180_000)

  test('bad usage: exit 2', () => {
    expect(run('--backend', 'moon')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/auto, emulator, kernel, both/),
    })
    expect(run('--kernel', '6.1')).toMatchObject({ code: 2 })
  }, 180_000)
})
