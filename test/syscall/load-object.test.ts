import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { layoutOf, map, u32, u64, type XdpBody, xdp } from 'typebpf'
import { collectObject, findProgram } from 'typebpf/spec'
import { describe, expect } from 'vitest'
import { readObject } from '../../src/elf/index.ts'
import {
  attachAll,
  GlobalVariables,
  loadObject,
  RingBuffer,
  rawBytes,
  realSys,
  runProgram,
} from '../../src/syscall/index.ts'
import { corporaFolder, testWith } from '../requirements.ts'

const node = ['--conditions=typebpf-source', '--import', 'tsx']
const cli = new URL('../../src/cli/bin.ts', import.meta.url).pathname
const typebpf = (args: string[], input?: string) =>
  spawnSync(process.execPath, [...node, cli, ...args], { encoding: 'utf8', input })
const object = `${corporaFolder}/objects/cilium-ebpf/examples/xdp/bpf_bpfel.o`

describe('loading objects', () => {
  testWith('bpf', 'corpora')('programs attach by their section name; what the name leaves open must be said', () => {
    const open = (name: string) =>
      readObject(readFileSync(`${corporaFolder}/objects/cilium-ebpf/${name}`), { what: name })
    using raw = loadObject(realSys(), open('testdata/raw_tracepoint-el.elf'), { logLevel: 1 })
    const links = attachAll(raw)
    expect(links.map((link) => link.info().typeName)).toEqual(['raw_tracepoint'])
    for (const link of links) link.close()
    using xdp = loadObject(realSys(), open('examples/xdp/bpf_bpfel.o'), { logLevel: 1 })
    expect(() => attachAll(xdp)).toThrow(/the interface must be said/)
    expect(() => attachAll(xdp, { interface: 'no-such-one' })).toThrow(/no network interface/)
  })

  testWith('bpf')('programs and maps by name: typed, or an error that says why', () => {
    const counts = map.hash('counts', { key: u32, value: u64, maxEntries: 4 })
    const body = (b: XdpBody) => {
      counts.increment(1)
      return b.PASS
    }
    const built = collectObject({ good: xdp('good', body), bad: xdp('bad', body) }, { name: 'named' })
    const [good, bad] = ['good', 'bad'].map((name) => findProgram(built, name))
    // Without its last instruction it falls off its end.
    const broken = { ...bad, instructions: bad.instructions.slice(0, -1) }
    const object = { ...built, programs: [good, broken] }
    using loaded = loadObject(realSys(), object)
    expect(runProgram(loaded.program('good'), 'xdp', { data: new Uint8Array(64) }).retval).toBe(2)
    expect(() => loaded.program('bad')).toThrow(
      expect.objectContaining({
        code: 'load.refused',
        message: expect.stringMatching(/^bad: reject: last insn is not/),
        details: [expect.stringMatching(/last insn is not/)],
      }),
    )
    expect(() => loaded.program('none')).toThrow(expect.objectContaining({ code: 'program.unknown' }))
    const live = loaded.map('counts')
    expect([...live]).toEqual([[1, 1n]])
    live.set(7, 8n)
    const typed = loaded.map('counts', { key: rawBytes(4), value: layoutOf(u64) })
    expect(typed.get(new Uint8Array([7, 0, 0, 0]))).toBe(8n)
    expect(() => loaded.map('none')).toThrow(/no loaded program uses a map none/)
    expect(() => new RingBuffer(live)).toThrow(/no ring buffer/)
  })

  testWith('bpf', 'corpora')('global variables are live, constants are not written', () => {
    // a .data variable of some object whose program loads
    const path = `${corporaFolder}/objects/cilium-ebpf/testdata/variables-el.elf`
    const object = readObject(readFileSync(path), { what: path })
    using loaded = loadObject(realSys(), object, { logLevel: 1 })
    expect(loaded.programs.map(({ result }) => result.message)).toEqual(loaded.programs.map(() => undefined))
    using variables = new GlobalVariables(loaded)
    const bss = object.variables.find(({ section, size }) => section === '.bss' && size <= 8)
    const constant = object.variables.find(({ section }) => section === '.rodata')
    if (bss === undefined || constant === undefined) throw new Error(JSON.stringify(object.variables))
    const value = typeof variables.get(bss.name) === 'bigint' ? 5n : 5
    variables.set(bss.name, value)
    expect(variables.get(bss.name)).toBe(value)
    const map = loaded.maps.get(object.maps.find(({ section }) => section === '.bss')?.name ?? '')
    expect(map?.lookup(new Uint8Array(4))?.[bss.offset]).toBe(5)
    expect(() => variables.set(constant.name, 1)).toThrow(/constant/)
    expect(() => variables.get('nope')).toThrow(/no global variable/)
  })

  testWith('bpf', 'corpora')(
    'the corpora load as the recorded kernel said',
    () => {
      const script = new URL('./corpora-report.ts', import.meta.url).pathname
      const output = execFileSync(process.execPath, [...node, script, '--small'], { encoding: 'utf8' })
      const counts = JSON.parse(output) as Record<string, number>
      const other = Object.keys(counts).filter((what) => !/^same: |not compared|left out/.test(what))
      expect(other).toEqual([])
      expect(counts['same: accepted']).toBeGreaterThanOrEqual(200)
      expect(counts['same: rejected for the same reason']).toBeGreaterThanOrEqual(10)
    },
    60_000,
  )

  testWith('bpf', 'corpora')(
    'load prints a row per program and ends with 0, 1 or 2',
    () => {
      const good = typebpf(['load', object, '--program', 'xdp_prog_func', '--json'])
      expect([good.status, good.stderr]).toEqual([0, ''])
      expect(JSON.parse(good.stdout)).toMatchObject([{ program: 'xdp_prog_func', type: 'xdp', verdict: 'accept' }])
      const unknown = typebpf(['load', object, '--program', 'nope'])
      expect(unknown.status).toBe(2)
      expect(unknown.stderr).toMatch(/no program "nope"/)
      expect(typebpf(['load']).status).toBe(2)
    },
    20_000,
  )

  testWith('bpf')(
    'load --batch answers in order, also bad lines, and ends with 0',
    () => {
      const lines = [
        { id: 'a', type: 'xdp', insns: 'b7000000020000009500000000000000' },
        'no json',
        { id: 'c', type: 'nonsense', insns: '' },
        { id: 'd', type: 'xdp', insns: '9500000000000000' },
      ]
      const input = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n')
      const { status, stdout } = typebpf(['load', '--batch'], input)
      const answers = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown)
      expect(answers).toMatchObject([
        { id: 'a', verdict: 'accept', processed: 2 },
        { id: null, error: { code: 'batch.json' } },
        { id: 'c', error: { code: 'batch.request' } },
        { id: 'd', verdict: 'reject', message: 'R0 !read_ok' },
      ])
      expect(status).toBe(0)
    },
    20_000,
  )

  testWith(
    'bpf',
    'corpora',
    'program:unshare',
    'program:bpftool',
  )(
    'pinned programs stay, also for bpftool',
    () => {
      const folder = mkdtempSync(`${tmpdir()}/typebpf-pin-`)
      try {
        const script = `mount -t bpf none ${folder} && ${process.execPath} ${node.join(' ')} ${cli} load ${object} --program xdp_prog_func --pin ${folder}/own >/dev/null && PATH=$PATH:/usr/sbin bpftool -j prog show pinned ${folder}/own/xdp_prog_func && ls ${folder}/own/maps`
        const output = execFileSync('unshare', ['-m', 'sh', '-c', script], { encoding: 'utf8' })
        const [first] = output.split('\n')
        expect(JSON.parse(first)).toMatchObject({ type: 'xdp', name: 'xdp_prog_func' })
        expect(readdirSync(folder)).toEqual([])
      } finally {
        if (existsSync(folder)) rmSync(folder, { recursive: true })
      }
    },
    20_000,
  )
})
