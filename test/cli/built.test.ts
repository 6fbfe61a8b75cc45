// The command line as users get it: bundled. What only a bundle can get wrong is tested here.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { testWith } from '../requirements.ts'

const root = new URL('../../', import.meta.url).pathname
const BIN = `${root}dist/src/cli/bin.js`
const BUNDLES = `${root}dist/src/cli/bundle/`
const VMLINUX = '/sys/kernel/btf/vmlinux'

/** Through a shell's pipe: `spawnSync` alone reads from a socket, which takes more at once. */
const piped = (...args: string[]) =>
  spawnSync('sh', ['-c', `'${process.execPath}' '${BIN}' ${args.join(' ')} | cat`], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })

describe('the built command line', () => {
  beforeAll(() => {
    // npm test has built it; a run of this file alone may come after changes
    const { status, stderr } = spawnSync(process.execPath, [`${root}scripts/ensure-built.mjs`], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`the build fails: ${stderr}`)
  }, 300_000)

  test('every bundle loads', () => {
    const names = readdirSync(BUNDLES).filter((name) => name.endsWith('.js'))
    expect(names.length).toBeGreaterThan(20)
    const script = `for (const name of ${JSON.stringify(names)}) await import(${JSON.stringify(BUNDLES)} + name)`
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    expect([status, stderr]).toEqual([0, ''])
  })

  testWith('bpf')('writes all of a long output to a pipe', () => {
    const { stdout } = piped('-j', 'btf', 'dump', 'file', VMLINUX)
    expect(stdout.length).toBeGreaterThan(1 << 20)
    expect((JSON.parse(stdout) as { types: unknown[] }).types.length).toBeGreaterThan(10_000)
    const closed = spawnSync('sh', ['-c', `'${process.execPath}' '${BIN}' btf dump file ${VMLINUX} | head -1`], {
      encoding: 'utf8',
    })
    expect([closed.stdout.split('\n').length, closed.stderr]).toEqual([2, ''])
  })

  testWith('bpf')('a batch runs commands of other bundles', () => {
    const { stdout, stderr } = spawnSync(process.execPath, [BIN, '-j', 'batch', 'file', '-'], {
      input: 'version\nprog show\nmap show\nlink show\nbtf show\nfeature list_builtins map_types\n',
      encoding: 'utf8',
    })
    expect(stderr).toBe('')
    const rows = JSON.parse(stdout) as { command: string[]; output: unknown }[]
    expect(rows.map(({ output }) => Array.isArray(output))).toEqual([false, true, true, true, true, true])
  })
})
