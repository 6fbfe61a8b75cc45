import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readObject } from '../../src/elf/index.ts'
import { MAP_TYPES, PROGRAM_TYPES } from '../../src/uapi/index.ts'
import { corporaFolder, testWith } from '../requirements.ts'

const root = new URL('../..', import.meta.url).pathname
let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'typebpf-asm-cli-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function typebpf(args: readonly string[], input = '') {
  return spawnSync(
    process.execPath,
    ['--conditions=typebpf-source', '--import', 'tsx', join(root, 'src/cli/bin.ts'), ...args],
    { cwd: root, encoding: 'utf8', input, maxBuffer: 1 << 28 },
  )
}

describe('typebpf disasm', () => {
  const hex = 'hex:b700000000000000 8500000001000000 9500000000000000'
  test('shows hex bytes in each dialect', () => {
    expect(typebpf(['disasm', hex]).stdout).toBe(
      '0000000000000000 <.text>:\n' +
        '       0:\tb7 00 00 00 00 00 00 00\tr0 = 0x0\n' +
        '       1:\t85 00 00 00 01 00 00 00\tcall 0x1\n' +
        '       2:\t95 00 00 00 00 00 00 00\texit\n',
    )
    const kernel = '0: (b7) r0 = 0\n1: (85) call bpf_map_lookup_elem#1\n2: (95) exit\n'
    expect(typebpf(['disasm', hex, '--dialect', 'kernel']).stdout).toBe(kernel)
    const xlated = kernel.replace(/^/gm, '   ').trimEnd()
    expect(typebpf(['disasm', hex, '--dialect', 'xlated']).stdout.trimEnd()).toBe(xlated)
  })

  test('prints JSON', () => {
    const rows = JSON.parse(typebpf(['--json', 'disasm', hex]).stdout) as { insns: { slot: number; text: string }[] }[]
    expect(rows[0].insns[1]).toEqual({ slot: 1, bytes: '8500000001000000', text: 'call 0x1' })
  })

  test('bad input is one line and exit code 2; an unknown program 1', () => {
    const bad = typebpf(['disasm', 'hex:b7'])
    expect([bad.status, bad.stderr]).toEqual([
      2,
      'typebpf: 1 bytes of instructions: an instruction takes 8, 1 are left over\n',
    ])
    const file = join(folder, 'no.o')
    writeFileSync(file, 'not an object')
    const notElf = typebpf(['disasm', file])
    expect(notElf.status).toBe(2)
    expect(notElf.stderr.trim().split('\n')).toHaveLength(1)
    expect(typebpf(['disasm', hex, '--program', 'x']).status).toBe(1)
  })

  testWith('corpora', 'program:llvm-objdump-19')(
    'shows a function of an object with its relocations as llvm-objdump does',
    () => {
      const object = join(corporaFolder, 'objects/cilium-ebpf/examples/xdp/bpf_bpfel.o')
      expect(typebpf(['disasm', '-r', object]).stdout).toBe(
        execFileSync('llvm-objdump-19', ['-dr', object], { encoding: 'utf8' }),
      )
      const part = typebpf(['disasm', object, '--program', 'xdp_prog_func', '-S']).stdout
      expect(part).toContain('; return XDP_PASS; [file:./xdp.c line_num:69 line_col:2]\n      31:\t')
    },
  )
})

describe('typebpf asm', () => {
  test('prints hex; disasm takes it back', () => {
    const { stdout, status } = typebpf(['asm', '-'], 'r0 = 0\nif r1 == 5 goto L\nL: exit\n')
    expect([status, stdout]).toEqual([0, 'b70000000000000015010000050000009500000000000000\n'])
    const again = typebpf(['disasm', 'hex:-', '--dialect', 'kernel'], stdout).stdout
    expect(again).toBe('0: (b7) r0 = 0\n1: (15) if r1 == 0x5 goto pc+0\n2: (95) exit\n')
  })

  test('a syntax error shows the line and a caret', () => {
    const { stderr, status } = typebpf(['asm', '-'], 'r0 = 0\nr1 += w2\n')
    expect([status, stderr]).toEqual([
      2,
      'typebpf: <stdin>:2:7: expected a r register, found "w2"\n  r1 += w2\n        ^\n',
    ])
  })

  test('a listing of several sections gives the bytes of each', () => {
    const listing =
      'Disassembly of section .text:\n\n0000000000000000 <f>:\n       0:\t95 00 00 00 00 00 00 00\texit\n\nDisassembly of section xdp:\n\n0000000000000000 <g>:\n       0:\tgoto +0x0 <LBB0_1>\n\n0000000000000008 <LBB0_1>:\n       1:\texit\n'
    expect(typebpf(['asm', '-'], listing).stdout).toBe(
      '.text: 9500000000000000\nxdp: 05000000000000009500000000000000\n',
    )
  })

  test('functions of other sections are linked behind the program', () => {
    const text = 'r1 = 1\ncall f\nexit\n.text\nf: r0 = r1\nexit\n'
    const { stdout } = typebpf(['asm', '-'], `.section xdp\n${text}`)
    expect(stdout).toBe(
      `${['b701000001000000', '8510000001000000', '9500000000000000', 'bf10000000000000', '9500000000000000'].join('')}\n`,
    )
  })
})

describe('kfuncs by name', () => {
  testWith('bpf')('asm takes their ids from the kernel, disasm their names', () => {
    const btf = ['--btf', '/sys/kernel/btf/vmlinux']
    const { stdout } = typebpf(['asm', '-', ...btf], 'call bpf_rcu_read_lock\nexit\n')
    expect(stdout).toMatch(/^8520[0-9a-f]{12}9500000000000000\n$/)
    expect(stdout.slice(8, 16)).not.toBe('00000000')
    const listing = typebpf(['disasm', `hex:${stdout}`, '--dialect', 'kernel', ...btf]).stdout
    expect(listing).toMatch(/^0: \(85\) call bpf_rcu_read_lock#\d+\n1: \(95\) exit\n$/)
  })
})

describe('typebpf asm -o', () => {
  const text = `
    .license "Dual MIT/GPL"
    .map counts type=hash key=4 value=8 entries=16
    .section xdp,"ax",@progbits
    .globl count
  count:
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = r0
    call add
  out:
    r0 = 2
    exit
  add:
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
    r0 = 0
    exit
  `
  test('writes an object that this project reads as it was written', () => {
    const [source, object] = [join(folder, 'count.s'), join(folder, 'count.o')]
    writeFileSync(source, text)
    expect(typebpf(['asm', source, '-o', object])).toMatchObject({ status: 0, stderr: '', stdout: '' })
    const spec = readObject(readFileSync(object))
    expect(spec.license).toBe('Dual MIT/GPL')
    expect(spec.programs.map(({ name, section, type }) => [name, section, type])).toEqual([
      ['count', 'xdp', PROGRAM_TYPES.xdp],
    ])
    expect(spec.functions.map(({ name }) => name)).toEqual(['add'])
    expect(spec.maps).toMatchObject([
      { name: 'counts', type: MAP_TYPES.hash, keySize: 4, valueSize: 8, maxEntries: 16 },
    ])
    const listing = typebpf(['disasm', object, '--dialect', 'xlated', '-S', '--program', 'count']).stdout
    expect(listing).toContain(`; r1 = counts ll [file:${source} line_num:10 line_col:5]\n   3: (18) r1 = map[counts]\n`)
  })

  testWith('bpf', 'program:bpftool')('bpftool loads it', () => {
    const [source, object] = [join(folder, 'load.s'), join(folder, 'load.o')]
    writeFileSync(source, text)
    typebpf(['asm', source, '-o', object])
    const script = `mount -t bpf bpf /sys/fs/bpf && bpftool prog load ${object} /sys/fs/bpf/x && bpftool prog dump xlated pinned /sys/fs/bpf/x`
    const { stdout, stderr, status } = spawnSync('unshare', ['-m', 'sh', '-c', script], { encoding: 'utf8' })
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toContain('count(')
    expect(stdout).toContain('lock *(u64 *)(r1 +0) += r2')
  })

  test('a wrong directive is an error with a caret', () => {
    const { stderr, status } = typebpf(['asm', '-', '-o', join(folder, 'no.o')], '.map counts type=hsh\nexit\n')
    expect([status, stderr]).toEqual([
      2,
      'typebpf: <stdin>:1:13: hsh is no map type\n  .map counts type=hsh\n              ^\n',
    ])
  })
})

describe('typebpf cfg', () => {
  const program = 'hex:b700000000000000 1501010005000000 b700000001000000 9500000000000000'
  test('lists blocks, draws DOT, SVG', () => {
    expect(typebpf(['cfg', program]).stdout).toBe(
      '.text main: slots 0-3, 3 blocks, 3 edges, 0 loops\n' +
        '  block 0: slots 0-1 → next 1, taken 2\n' +
        '  block 1: slots 2-2, dominated by 0 → next 2\n' +
        '  block 2: slots 3-3, dominated by 0\n',
    )
    expect(typebpf(['cfg', program, '--dot']).stdout).toContain('b0_0 -> b0_1')
    const svg = typebpf(['cfg', program, '--svg']).stdout
    expect(svg.match(/class="node"/g)).toHaveLength(3)
    expect(svg.match(/class="edge"/g)).toHaveLength(3)
    expect(svg).toContain('if r1 == 0x5 goto pc+1')
    const json = JSON.parse(typebpf(['cfg', program, '--json']).stdout) as { blocks: unknown[] }[]
    expect(json[0].blocks).toHaveLength(3)
  })

  test('draws PNG, or says that a font is missing', () => {
    const file = join(folder, 'a.png')
    const { status, stderr } = typebpf(['cfg', program, '--png', '-o', file])
    if (status === 0) expect([...readFileSync(file).subarray(0, 4)]).toEqual([0x89, 0x50, 0x4e, 0x47])
    else expect([status, stderr]).toEqual([3, expect.stringContaining('no TrueType font')])
  })
})
