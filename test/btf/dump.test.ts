import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { Btf, BtfBuilder, dumpC, dumpJson, dumpRaw, dumpTypeScript } from '../../src/btf/index.ts'
import { loadBtf } from '../../src/cli/btf-input.ts'
import type { Layout } from '../../src/layout/index.ts'
import { corporaFolder, testWith } from '../requirements.ts'

const KERNEL = '/sys/kernel/btf/vmlinux'
const folder = mkdtempSync(join(tmpdir(), 'typebpf-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function bpftool(...args: readonly string[]): string | undefined {
  try {
    return execFileSync('bpftool', args, {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
    })
  } catch {
    return undefined
  }
}

const files = (path: string): string[] =>
  statSync(path).isDirectory() ? readdirSync(path).flatMap((name) => files(join(path, name))) : [path]

/** Compares without vitest's slow difference of megabytes of text. */
function expectSame(ours: string, theirs: string, what: string): void {
  if (ours === theirs) return
  const [a, b] = [ours.split('\n'), theirs.split('\n')]
  const line = a.findIndex((text, i) => text !== b[i])
  expect(`${what}, line ${line + 1}: ${a[line]}`).toBe(`${what}, line ${line + 1}: ${b[line]}`)
}

/**
 * bpftool 7.1 writes the values of unsigned enums above 2^31 as if they were negative 64-bit numbers
 * (18446744073441116159 for 4026531839) in JSON, not in text: the one difference.
 */
function withBpftoolEnums(json: string): string {
  return json
    .split('{"id":')
    .map((type) =>
      type.includes('"kind":"ENUM"')
        ? type.replaceAll(/"val":(\d{10})\b/g, (all, digits: string) =>
            BigInt(digits) > 0x7fffffffn ? `"val":${BigInt(digits) + 0xffffffff00000000n}` : all,
          )
        : type,
    )
    .join('{"id":')
}

describe('dumps equal bpftool', () => {
  testWith('linux', 'program:bpftool')("of the running kernel's BTF", () => {
    expect(existsSync(KERNEL)).toBe(true)
    const btf = loadBtf(KERNEL)
    expectSame(dumpC(btf), bpftool('btf', 'dump', 'file', KERNEL, 'format', 'c') ?? '', 'C')
    expectSame(dumpRaw(btf), bpftool('btf', 'dump', 'file', KERNEL, 'format', 'raw') ?? '', 'raw')
    const json = (bpftool('-j', 'btf', 'dump', 'file', KERNEL) ?? '').trimEnd()
    expect(withBpftoolEnums(dumpJson(btf)) === json).toBe(true)
  })

  testWith('corpora', 'program:bpftool')("of every object's BTF", () => {
    let compared = 0
    for (const path of files(`${corporaFolder}/objects`)) {
      const c = bpftool('btf', 'dump', 'file', path, 'format', 'c')
      if (c === undefined || !c.endsWith('#endif /* __VMLINUX_H__ */\n')) continue
      const btf = loadBtf(path)
      // libbpf 1.1 does not read the other byte order's enum64 and tags differently: text is compared in the machine's order
      expectSame(dumpC(btf), c, path)
      expectSame(dumpRaw(btf), bpftool('btf', 'dump', 'file', path, 'format', 'raw') ?? '', path)
      compared++
    }
    expect(compared).toBeGreaterThan(50)
  })
})

describe('TypeScript definitions', () => {
  testWith('linux')('place every member of kernel structs where the kernel has it', async () => {
    const btf = loadBtf(KERNEL)
    const names = ['task_struct', 'sk_buff', 'sock', 'bpf_map', 'file', 'mm_struct']
    const ids = names.flatMap((name) => btf.idByName(name, 'struct') ?? [])
    const file = join(folder, 'kernel.ts')
    const layout = pathToFileURL(join(import.meta.dirname, '../../src/layout/index.ts')).href
    writeFileSync(file, dumpTypeScript(btf, ids).replace('typebpf/layout', layout))
    const module = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as Record<string, Layout>
    for (const name of names) {
      const struct = btf.find(name, 'struct')
      const made = module[name]
      expect(made.size, name).toBe(struct?.size)
      const places = new Map((made.fields ?? []).map((field) => [field.name, field.bitOffset ?? field.offset * 8]))
      for (const member of struct?.members ?? [])
        if (member.name !== '') expect(places.get(member.name), `${name}.${member.name}`).toBe(member.bitOffset)
    }
  })
})

test('a declaration and the definition that a module adds share their name', () => {
  const builder = new BtfBuilder()
  const member = (name: string, type: number) => ({ name, type, bitOffset: 0, bitSize: 0 })
  const pointer = builder.pointer(builder.add({ kind: 'fwd', name: 'later', union: false }))
  builder.add({ kind: 'struct', name: 'holder', size: 8, members: [member('to', pointer)] })
  const base = new Btf(builder.toBytes())
  const module = new BtfBuilder(base)
  const struct = { kind: 'struct', name: 'later', size: 8, members: [member('own', pointer)] } as const
  module.add(struct)
  const text = dumpC(new Btf(module.toBytes(), { base }))
  expect(text).toContain('struct later;')
  expect(text).toContain('struct later {')
  // two definitions are told apart
  module.add({ ...struct, size: 16 })
  expect(dumpC(new Btf(module.toBytes(), { base }))).toContain('struct later___2 {')
})

test('a type that contains itself is an error, not a hang', () => {
  const builder = new BtfBuilder()
  const id = builder.declare()
  builder.define(id, {
    kind: 'struct',
    name: 's',
    size: 8,
    members: [{ name: 'x', type: id, bitOffset: 0, bitSize: 0 }],
  })
  const btf = new Btf(builder.toBytes())
  expect(() => dumpC(btf)).toThrow(/contains itself/)
  expect(() => dumpTypeScript(btf)).toThrow(/contains itself|nested/)
})
