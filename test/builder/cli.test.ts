import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readObject } from 'typebpf/elf'
import { afterAll, describe, expect, test } from 'vitest'

const ROOT = new URL('../..', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'typebpf-cli-'))
afterAll(() => rmSync(folder, { recursive: true }))
const cli = (...args: string[]) =>
  spawnSync(
    process.execPath,
    ['--conditions=typebpf-source', '--import', 'tsx', join(ROOT, 'src/cli/bin.ts'), ...args],
    {
      encoding: 'utf8',
      cwd: ROOT,
    },
  )
const MODULE = 'programs/xdp-count/xdp-count.bpf.ts'

describe('typebpf build', () => {
  test('writes an object that reads back', () => {
    const out = join(folder, 'x.o')
    expect(cli('build', MODULE, '-o', out).status).toBe(0)
    const object = readObject(readFileSync(out), { what: 'x.o', name: 'x' })
    expect(object.programs.map(({ name }) => name)).toEqual(['xdp_count'])
  })
  test('shows TypeScript lines above instructions', () => {
    const { stdout } = cli('build', MODULE, '--show')
    expect(stdout).toMatch(
      /; const length = b\.packet\.length\(\) @ programs\/xdp-count\/xdp-count\.bpf\.ts:\d+\n0: \(61\)/,
    )
  })
  test('--json on either side', () => {
    for (const args of [
      ['build', MODULE, '--json'],
      ['--json', 'build', MODULE],
    ]) {
      const answer = JSON.parse(cli(...args).stdout)
      expect(answer.programs[0]).toMatchObject({ name: 'xdp_count', section: 'xdp', type: 'xdp' })
      expect(answer.maps.length).toBeGreaterThanOrEqual(2)
    }
  })
  test('a module without programs and a missing file: exit 2, one line', () => {
    for (const file of ['src/uapi/flags.ts', 'nothing.ts']) {
      const { status, stderr } = cli('build', file)
      expect(status).toBe(2)
      expect(stderr.split('\n')[0]).toMatch(/^typebpf: /)
      expect(stderr).not.toMatch(/at .*node:internal/)
    }
  })
})

describe('typebpf init', () => {
  test('makes a project that type-checks and whose test passes', () => {
    const project = join(folder, 'my-filter')
    expect(cli('init', project).status).toBe(0)
    mkdirSync(join(project, 'node_modules'))
    symlinkSync(ROOT, join(project, 'node_modules/typebpf'))
    for (const name of ['vitest', 'typescript', '@types'])
      symlinkSync(join(ROOT, 'node_modules', name), join(project, 'node_modules', name))
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
    const check = spawnSync(process.execPath, [tsc, '--customConditions', 'typebpf-source', '-p', project], {
      encoding: 'utf8',
      cwd: project,
    })
    // faults of the project's own files (the library's sources are checked elsewhere)
    expect(check.stdout.split('\n').filter((line) => /^(src|test)\//.test(line))).toEqual([])
    const vitest = spawnSync(
      process.execPath,
      [
        join(ROOT, 'node_modules/vitest/vitest.mjs'),
        'run',
        '--root',
        project,
        '--config',
        join(ROOT, 'vitest.config.ts'),
        '--reporter',
        'dot',
      ],
      { encoding: 'utf8', cwd: project, env: { ...process.env, TYPEBPF_BACKEND: 'emulator', VITEST: '' } },
    )
    expect(vitest.stdout + vitest.stderr).toMatch(/1 passed/)
    expect(cli('build', join(project, 'src/my-filter.bpf.ts')).stdout).toMatch(/^filter \(xdp\): \d+ instructions/)
    expect(cli('init', project).status).toBe(2)
  })
})
