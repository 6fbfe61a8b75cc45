import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { Btf } from '../../src/btf/index.ts'
import { main } from '../../src/cli/main.ts'
import { readObject } from '../../src/elf/index.ts'
import { testWith } from '../requirements.ts'

const object = (name: string): string => new URL(`../fixtures/objects/${name}.o`, import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'typebpf-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function typebpf(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const streams = { out: '', err: '' }
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      streams.out += typeof text === 'string' ? text : new TextDecoder().decode(text)
      return true
    }),
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      streams.err += String(text)
      return true
    }),
  ]
  try {
    return { code: await main(args), ...streams }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

describe('typebpf inspect', () => {
  test('lists programs, maps, globals, externs and types', async () => {
    const { code, out } = await typebpf('inspect', object('externs.el'))
    expect(code).toBe(0)
    expect(out).toMatch(/externs\s+tp_btf\/task_newtask\s+tracing\s+\d+/)
    expect(out).toMatch(/bpf_no_such_kfunc\s+kfunc\s+weak/)
    expect(out).toMatch(/CONFIG_HZ\s+kconfig\s+weak/)
    expect(out).toMatch(/out\s+\.bss\s+0\s+64\s+global/)
  })

  test('gives the same as JSON', async () => {
    const { code, out } = await typebpf('inspect', object('counter.el'), '--json')
    const report = JSON.parse(out) as {
      programs: { name: string; instructions: number; coreRelocations: number }[]
      maps: { name: string }[]
    }
    expect(code).toBe(0)
    expect(report.programs.map(({ name, instructions }) => [name, instructions])).toEqual([
      ['tail', 19],
      ['count', 78],
      ['optional', 9],
    ])
    expect(report.maps.map(({ name }) => name)).toContain('.rodata')
  })

  test('bad input: exit 2 and one line', async () => {
    const { code, err, out } = await typebpf('inspect', join(folder, 'absent.o'))
    expect([code, out]).toEqual([2, ''])
    expect(err.trim().split('\n')).toHaveLength(1)
    const json = await typebpf('inspect', join(folder, 'absent.o'), '--json')
    expect(JSON.parse(json.out)).toMatchObject({ error: { code: 'input.missing' } })
  })
})

describe('typebpf btf dump', () => {
  test('a root and what it needs, as C and as TypeScript', async () => {
    const c = await typebpf('btf', 'dump', 'file', object('counter.el'), 'format', 'c', 'root', 'event')
    expect(c.out).toContain('struct event {\n\t__u64 at;\n\t__u32 pid;\n\tchar comm[16];\n')
    expect(c.out).not.toContain('struct inner')
    const ts = await typebpf('btf', 'dump', 'file', object('counter.el'), 'format', 'ts', 'root', 'event')
    expect(ts.out).toContain('export const event = struct("event", {\n  at: u64,\n  pid: u32,\n  comm: chars(16),\n')
  })

  test('an unknown root is not found (1), a wrong word is usage (2)', async () => {
    expect((await typebpf('btf', 'dump', 'file', object('counter.el'), 'root', 'nothing')).code).toBe(1)
    expect((await typebpf('btf', 'dump', 'file', object('counter.el'), 'format', 'xml')).code).toBe(2)
    expect((await typebpf('btf', 'dump', 'file', join(folder, 'absent'))).code).toBe(2)
    expect((await typebpf('btf', 'dump', 'file', process.execPath)).code).toBe(2)
  })
})

describe('typebpf gen', () => {
  test('object links, in either byte order', async () => {
    const out = join(folder, 'linked.o')
    expect((await typebpf('gen', 'object', out, object('part-a.el'), object('part-b.el'))).code).toBe(0)
    expect(readObject(readFileSync(out)).programs.map(({ name }) => name)).toEqual(['first', 'second'])
    expect((await typebpf('gen', 'object', out, object('counter.el'), '--big-endian')).code).toBe(0)
    expect(readObject(readFileSync(out)).littleEndian).toBe(false)
    expect((await typebpf('gen', 'object', out, object('part-a.el'), object('part-b.eb'))).code).toBe(2)
  })

  testWith('linux')('min_core_btf writes BTF that has what the object asks for', async () => {
    const out = join(folder, 'minimal.btf')
    expect((await typebpf('gen', 'min_core_btf', '/sys/kernel/btf/vmlinux', out, object('core.el'))).code).toBe(0)
    const btf = new Btf(readFileSync(out))
    expect(btf.find('task_struct', 'struct')?.members.map(({ name }) => name)).toContain('real_parent')
    expect(btf.typeCount).toBeLessThan(40)
  })
})
