import { execFileSync } from 'node:child_process'
import { describe, expect } from 'vitest'
import { kernelText } from '../../src/asm/index.ts'
import { xlatedText } from '../../src/cli/objects/dump-xlated.ts'
import { kernelSymbols } from '../../src/cli/objects/kallsyms.ts'
import { loadImage, realSys } from '../../src/syscall/index.ts'
import { testWith } from '../requirements.ts'
import { acceptedPrograms, detailsOf, imageOf } from './loaded-programs.ts'

/** Every so many programs; 1 looks at all (TYPEBPF_XLATED_EVERY). */
const EVERY = Number(process.env['TYPEBPF_XLATED_EVERY'] ?? 16)

describe('translated programs', () => {
  testWith(
    'bpf',
    'corpora',
    'program:bpftool',
  )('print as bpftool prog dump xlated: plain, with opcodes, with line numbers', () => {
    const sys = realSys()
    const differences: string[] = []
    let dumps = 0
    let lines = 0
    let percpu = 0
    for (const program of acceptedPrograms().filter((_, index) => index % EVERY === 0)) {
      const image = imageOf(program)
      if (image === undefined) continue
      using loaded = loadImage(sys, image)
      if (loaded.program === undefined) continue
      const { details, btf } = detailsOf(sys, loaded.program.fd)
      // read now: the program's own functions are among them
      const symbols = kernelSymbols()
      for (const mode of ['plain', 'opcodes', 'linum'] as const) {
        const args = ['prog', 'dump', 'xlated', 'id', String(details.id), ...(mode === 'plain' ? [] : [mode])]
        const expected = execFileSync('bpftool', args, { encoding: 'utf8', maxBuffer: 1 << 28 }).split('\n')
        const form = { opcodes: mode === 'opcodes', linum: mode === 'linum' }
        const got = xlatedText(details, btf, symbols, form).split('\n')
        expect(got).toHaveLength(expected.length)
        for (const [at, line] of expected.entries()) {
          // bpftool 7.1 shows a per-CPU address as a plain move
          if (got[at].includes('__percpu') && line.includes('(bf)')) percpu++
          else if (got[at] !== line) differences.push(`${program.program} ${mode}: ${got[at]} for ${line}`)
        }
        dumps++
        lines += expected.length
      }
    }
    expect(differences).toEqual([])
    expect(dumps).toBeGreaterThan(9)
    expect(lines).toBeGreaterThan(500)
    expect(percpu).toBeLessThan(lines / 100)
  })

  testWith('bpf', 'corpora')("the verifier's log shows each instruction as the kernel dialect writes it", () => {
    const sys = realSys()
    const differences: string[] = []
    let compared = 0
    for (const program of acceptedPrograms().filter((_, index) => index % EVERY === 0)) {
      const image = imageOf(program)
      if (image === undefined) continue
      using loaded = loadImage(sys, image, { logLevel: 2 })
      const view = new DataView(image.insns.buffer, image.insns.byteOffset, image.insns.byteLength)
      for (const [, slot, text] of loaded.log.matchAll(/^ *(\d+): (?:[.\d]{11} )?(\([0-9a-f]{2}\) .*?)(?: +;.*)?$/gm)) {
        const at = Number(slot) * 8
        const [opcode, registers] = [view.getUint8(at), view.getUint8(at + 1)]
        const [offset, imm] = [view.getInt16(at + 2, true), view.getInt32(at + 4, true)]
        const src = registers >> 4
        // addresses and kfunc names come from the kernel
        if ((opcode === 0x18 && src !== 0) || image.relocations.some(({ insn }) => insn === Number(slot))) continue
        const names = { call: () => (src === 2 ? /call (\S+)#/.exec(text)?.[1] : undefined) }
        const high = opcode === 0x18 ? view.getInt32(at + 12, true) : 0
        const got = kernelText(opcode, registers & 15, src, offset, imm, high, names)
        compared++
        if (got !== text) differences.push(`${program.program} ${slot}: ${got} for ${text}`)
      }
    }
    expect(differences.slice(0, 20)).toEqual([])
    expect(compared).toBeGreaterThan(1000)
  })
})
