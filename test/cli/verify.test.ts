import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { assembleBytes } from '../../src/asm/index.ts'
import { testWith } from '../requirements.ts'

const root = new URL('../../', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'typebpf-verify-'))
afterAll(() => rmSync(folder, { recursive: true }))

const BIN = ['--conditions=typebpf-source', '--import', 'tsx', 'src/cli/bin.ts']

function typebpf(args: readonly string[], input?: string): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...BIN, ...args], {
    cwd: root,
    encoding: 'utf8',
    input,
  })
  return { status, stdout, stderr }
}

function hex(text: string): string {
  return Buffer.from(assembleBytes(text)).toString('hex')
}

describe('verify --batch', () => {
  test('answers one line a request, in order, bad lines too', () => {
    const lines = [
      JSON.stringify({ id: 'good', type: 'xdp', insns: hex('r0 = 2\nexit') }),
      '{not json',
      JSON.stringify({ id: 'bad', type: 'xdp', insns: hex('r0 = *(u64 *)(r1 + 24)\nexit'), logLevel: 1 }),
      JSON.stringify({ id: 'type', type: 'no_such_type', insns: '' }),
      JSON.stringify({ id: 'attach', type: 'cgroup_skb', attachType: 9, insns: hex('r0 = 1\nexit') }),
    ]
    const { status, stdout } = typebpf(['verify', '--batch'], `${lines.join('\n')}\n`)
    expect(status).toBe(0)
    const [good, notJson, bad, type, attach, ...rest] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(rest).toEqual([])
    expect(good).toMatchObject({ id: 'good', verdict: 'accept', processed: 2 })
    expect(notJson).toMatchObject({ id: null, error: { code: 'batch.json' } })
    expect(bad).toMatchObject({
      id: 'bad',
      verdict: 'reject',
      code: 'context-access',
      insn: 0,
      message: 'invalid bpf_context access off=24 size=8',
    })
    expect(String(bad['log'])).toContain('0: (79) r0 = *(u64 *)(r1 +24)')
    expect(type).toMatchObject({ id: 'type', error: { code: 'batch.request' } })
    expect(attach).toMatchObject({ id: 'attach', verdict: 'invalid' })
  })
})

describe('verify of files', () => {
  const source = join(folder, 'two.s')
  const object = join(folder, 'two.o')
  writeFileSync(
    source,
    '.section xdp\npasses:\n r0 = 2\n exit\n.section tracepoint/a/b\nfails:\n r0 = *(u64 *)(r10 - 520)\n exit\n',
  )
  const built = spawnSync(process.execPath, [...BIN, 'asm', source, '-o', object], { cwd: root, encoding: 'utf8' })

  test('has an object to look at', () => {
    expect(built.stderr).toBe('')
    expect(built.status).toBe(0)
  })

  test('explains a rejection and exits 1', () => {
    const { status, stdout } = typebpf(['verify', object])
    expect(status).toBe(1)
    expect(stdout).toContain('passes (xdp): accepted, 2 instructions processed')
    expect(stdout).toContain('invalid read from stack R10 off=-520 size=8')
    expect(stdout).toContain('what to do:')
  })

  test('prints rows as JSON, before or after the subcommand', () => {
    const one = typebpf(['verify', object, '--program', 'passes', '--json'])
    expect(one.status).toBe(0)
    const rows = JSON.parse(one.stdout) as Record<string, unknown>[]
    expect(rows).toHaveLength(1)
    expect(rows[0]).toMatchObject({
      object,
      program: 'passes',
      type: 'xdp',
      verdict: 'accept',
      processed: 2,
      kernel: '6.18',
    })
    expect(JSON.parse(typebpf(['--json', 'verify', object, '--program', 'passes']).stdout)).toHaveLength(1)
  })

  test('compares with an earlier answer and keeps budgets', () => {
    const base = join(folder, 'base.json')
    const { stdout } = typebpf(['verify', object, '--json'])
    const rows = JSON.parse(stdout) as { program: string; processed: number; verdict: string }[]
    writeFileSync(base, JSON.stringify(rows.map((row) => ({ ...row, processed: 1 }))))
    const same = typebpf(['verify', object, '--compare', base, '--markdown'])
    expect(same.status).toBe(0)
    expect(same.stdout).toContain('| passes | 6.18 | accept | 1 | 2 | +1 (+100.00%) |')
    writeFileSync(base, JSON.stringify(rows.map((row) => ({ ...row, verdict: 'accept' }))))
    expect(typebpf(['verify', object, '--compare', base]).status).toBe(1)
    const budget = typebpf(['verify', object, '--program', 'passes', '--max-insns', '1'])
    expect(budget.status).toBe(1)
    expect(budget.stderr).toContain('2 instructions processed, the budget is 1')
  })

  test('says what is wrong with its arguments and exits 2', () => {
    expect(typebpf(['verify']).status).toBe(2)
    expect(typebpf(['verify', join(folder, 'none.o')]).status).toBe(2)
    expect(typebpf(['verify', object, '--kernel', '2.6']).stderr).toContain('there is no profile for kernel "2.6"')
    expect(typebpf(['verify', object, '--program', 'nobody']).stderr).toContain('passes, fails')
  })
})

describe('verify --target', () => {
  const compile = (name: string, code: string): string => {
    const path = join(folder, `${name}.o`)
    const text = `struct xdp_md { int data; };\n#define SEC(x) __attribute__((section(x), used))\n${code}
char _license[] SEC("license") = "GPL";\n`
    const { status, stderr } = spawnSync('clang-19', ['-target', 'bpf', '-O2', '-g', '-xc', '-c', '-', '-o', path], {
      encoding: 'utf8',
      input: text,
    })
    if (status !== 0) throw new Error(stderr)
    return path
  }

  testWith('program:clang-19')('judges an extension by the program that it extends', () => {
    const target = compile(
      'target',
      `__attribute__((noinline)) int inner(struct xdp_md *ctx) { volatile int r = 2; return r; }
SEC("xdp") int entry(struct xdp_md *ctx) { return inner(ctx); }`,
    )
    const fits = compile('fits', 'SEC("freplace/inner") int instead(struct xdp_md *ctx) { return 1; }')
    const differs = compile('differs', 'SEC("freplace/inner") int instead(struct xdp_md *ctx, int x) { return 1; }')
    expect(typebpf(['verify', fits, '--target', target])).toMatchObject({ status: 0, stderr: '' })
    const refused = typebpf(['verify', differs, '--target', `${target}:entry`])
    expect(refused.status).toBe(1)
    expect(refused.stdout).toContain('instead() has 2 args while inner() has 1 args')
    expect(refused.stdout).toContain('extension-mismatch')
    const alone = typebpf(['verify', fits])
    expect(alone.status).toBe(1)
    expect(alone.stdout).toContain('unsupported: an extension without the program it extends')
  })
})
