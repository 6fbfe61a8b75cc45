import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { decodeInstructions } from '../../src/asm/index.ts'
import { Btf, POISON_CALL } from '../../src/btf/index.ts'
import { readObject, writeObject } from '../../src/elf/index.ts'
import { linkProgram, minimumKernel } from '../../src/spec/index.ts'
import { testWith } from '../requirements.ts'

const fixture = (name: string) =>
  readObject(readFileSync(new URL(`../fixtures/objects/${name}.o`, import.meta.url)), { what: name })
const kernel = () => new Btf(readFileSync('/sys/kernel/btf/vmlinux'))
const words = (bytes: Uint8Array) => new Uint32Array(bytes.slice().buffer)

describe('a program linked into an image', () => {
  test('a program that jumps by a table is refused, the others of its object are not', () => {
    const object = fixture('jumps.el')
    expect(() => linkProgram(object, 'by_table')).toThrow(/by_table jumps by a table .* -fno-jump-tables/)
    expect(linkProgram(object, 'plain').insns.length / 8).toBe(2)
    expect(minimumKernel(object, object.programs[0]).because).toEqual(['jump tables'])
    expect(() => writeObject(object)).toThrow(/by_table jumps by a table/)
  })

  test('functions follow in the order of their first call, maps are numbered in order of use', () => {
    const image = linkProgram(fixture('counter.el'), 'count')
    expect(image.insns.length / 8).toBe(78)
    expect(image.maps.map(({ name }) => name)).toEqual(['events', '.data', 'jumps', '.rodata', '.bss'])
    const functions = words(image.funcInfo as Uint8Array)
    expect(functions.length / 2).toBe(4)
    expect(functions[0]).toBe(0)
    const btf = new Btf(image.btf as Uint8Array)
    expect([1, 3, 5, 7].map((i) => btf.name(functions[i]))).toEqual(['count', 'visit', 'add_total', 'twice'])
    const decoded = decodeInstructions(image.insns)
    expect(decoded.filter(({ opcode, src }) => opcode === 0x18 && src === 4)).toHaveLength(1)
    for (const { insn, map, kind, offset } of image.relocations) {
      expect(image.insns[insn * 8]).toBe(0x18)
      expect(image.insns[insn * 8 + 1] >> 4).toBe(kind === 'fd' ? 1 : 2)
      expect(map).toBeLessThan(image.maps.length)
      if (kind === 'value') expect(words(image.insns)[insn * 2 + 3]).toBe(offset)
    }
  })

  test('lines are sorted and every function starts with one', () => {
    const image = linkProgram(fixture('counter.el'), 'count')
    const lines = words(image.lineInfo as Uint8Array)
    const slots = Array.from({ length: lines.length / 4 }, (_, i) => lines[4 * i])
    expect(slots).toEqual([...slots].sort((a, b) => a - b))
    const functions = words(image.funcInfo as Uint8Array)
    for (let i = 0; i < functions.length; i += 2) expect(slots).toContain(functions[i])
    const btf = new Btf(image.btf as Uint8Array)
    expect(btf.string(lines[1])).toMatch(/counter\.bpf\.c$/)
    expect(image.sources?.get(slots[1])?.line).toBe(lines[7] >>> 10)
  })

  test('lines of sources that the BTF does not have yet are added to its strings', () => {
    const object = fixture('counter.el')
    const [tail] = object.programs
    const source = { file: 'program.ts', line: 12, column: 3, text: 'return b.DROP' }
    const changed = { ...tail, instructions: tail.instructions.map((instruction) => ({ ...instruction, source })) }
    const image = linkProgram({ ...object, programs: [changed] }, 'tail')
    const lines = words(image.lineInfo as Uint8Array)
    expect(lines.length).toBe(4)
    const btf = new Btf(image.btf as Uint8Array)
    expect([btf.string(lines[1]), btf.string(lines[2]), lines[3] >>> 10, lines[3] & 1023]).toEqual([
      'program.ts',
      'return b.DROP',
      12,
      3,
    ])
  })

  testWith('linux')('externs: kernel functions by id, weak ones that are missing refused where reached', () => {
    const btf = kernel()
    const image = linkProgram(fixture('externs.el'), 'externs', {
      kernelBtf: btf,
      kernelSymbol: (name) => (name === 'bpf_prog_put' ? 0xffffffff81000000n : undefined),
      kernelConfig: (name) =>
        ({ CONFIG_HZ: '250', CONFIG_BPF_SYSCALL: 'y', CONFIG_DEFAULT_HOSTNAME: '"(none)"' })[name],
      kernelVersion: 0x06122c,
    })
    const decoded = decodeInstructions(image.insns, { accept: 'any' })
    const kfuncs = decoded.filter(({ opcode, src }) => opcode === 0x85 && src === 2).map(({ imm }) => btf.name(imm))
    expect(kfuncs).toEqual(['bpf_task_from_pid', 'bpf_task_release'])
    expect(decoded.some(({ opcode, src, imm }) => opcode === 0x85 && src === 0 && imm >= 2002000000)).toBe(true)
    expect(decoded.some(({ imm64 }) => imm64 === 0xffffffff81000000n)).toBe(true)
    const [, bytes] = image.maps.find(({ section }) => section === '.kconfig')?.contents?.[0] ?? []
    expect(bytes).toBeDefined()
    const externs = new Map(fixture('externs.el').externs.map((extern) => [extern.name, extern]))
    const view = new DataView((bytes as Uint8Array).buffer, (bytes as Uint8Array).byteOffset)
    expect(view.getBigUint64(externs.get('CONFIG_HZ')?.offset ?? 0, true)).toBe(250n)
    expect(view.getUint8(externs.get('CONFIG_BPF_SYSCALL')?.offset ?? 0)).toBe(1)
    expect(view.getUint32(externs.get('LINUX_KERNEL_VERSION')?.offset ?? 0, true)).toBe(0x06122c)
    const host = externs.get('CONFIG_DEFAULT_HOSTNAME')?.offset ?? 0
    expect(new TextDecoder().decode((bytes as Uint8Array).subarray(host, host + 6))).toBe('(none)')
  })

  testWith('linux')('a configuration value that does not fit its type is refused', () => {
    const link = (value: string) => () =>
      linkProgram(fixture('externs.el'), 'externs', {
        kernelConfig: (name) => (name === 'CONFIG_BPF_SYSCALL' ? value : undefined),
      })
    expect(link('"text"')).toThrow(/CONFIG_BPF_SYSCALL="text" does not fit/)
    expect(link('m')).toThrow(/does not fit/)
    expect(link('y')).not.toThrow()
  })

  testWith('linux')('a failed CO-RE relocation is a call that nobody has, with its reason', () => {
    const image = linkProgram(fixture('core.el'), 'relocations', { kernelBtf: kernel() })
    const [slot, reason] = [...(image.unresolved ?? [])][0]
    expect(reason).toBe('task_struct has no field never_was of a matching type on this kernel')
    expect(new DataView(image.insns.slice().buffer).getInt32(slot * 8 + 4, true)).toBe(POISON_CALL)
  })

  test('the least kernel names what asks for it', () => {
    const object = fixture('counter.el')
    expect(minimumKernel(object, object.programs[0])).toEqual({ version: '4.12', because: ['map type array_of_maps'] })
  })

  testWith('linux')('a kernel function with another prototype is refused, a weak one counts as missing', () => {
    const object = fixture('externs.el')
    const declared = (weak: boolean) => ({
      ...object,
      programs: object.programs.map((program) => ({
        ...program,
        instructions: program.instructions.map((instruction) =>
          instruction.reference?.kind === 'kfunc' && instruction.reference.name === 'bpf_task_release'
            ? { ...instruction, reference: { ...instruction.reference, weak } }
            : instruction,
        ),
      })),
      // the prototype of another one: it gives a pointer
      externs: object.externs.map((extern) =>
        extern.name === 'bpf_task_release'
          ? { ...extern, typeId: object.externs.find(({ name }) => name === 'bpf_task_from_pid')?.typeId }
          : extern,
      ),
    })
    expect(() => linkProgram(declared(false), 'externs', { kernelBtf: kernel() })).toThrow(
      /bpf_task_release, which has another prototype on this kernel/,
    )
    const calls = (insns: Uint8Array): number[] => {
      const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength)
      return Array.from({ length: insns.length / 8 }, (_, slot) => slot)
        .filter((slot) => insns[slot * 8] === 0x85)
        .map((slot) => view.getInt32(slot * 8 + 4, true))
    }
    const missing = (weak: boolean): number =>
      calls(linkProgram(weak ? declared(true) : object, 'externs', { kernelBtf: kernel() }).insns).filter(
        (id) => id >= 2002000000 && id < 2002000100,
      ).length
    expect(missing(true)).toBe(missing(false) + 1)
  })
})
