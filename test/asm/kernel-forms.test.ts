import { describe, expect } from 'vitest'
import { assembleBytes, decodeSlots, kernelText } from '../../src/asm/index.ts'
import { bytesToHex } from '../../src/bytes/index.ts'
import type { ProgramImage } from '../../src/spec/index.ts'
import { kernelBtf, loadImage, programDetails, realSys } from '../../src/syscall/index.ts'
import { MAP_TYPES, PROGRAM_TYPES } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'

/** Registers and stack that any form may use: r6 context, r7 and r8 unknown numbers, r1 to r3 small, three stack words set. */
const PRELUDE = `
  r6 = r1
  call bpf_get_prandom_u32
  r7 = r0
  call bpf_get_prandom_u32
  r8 = r0
  *(u64 *)(r10 - 8) = r7
  *(u64 *)(r10 - 16) = r8
  r0 = 1
  r1 = 1
  r2 = 2
  r3 = 3`
const AT = 11

type Fate = 'kept' | 'rewritten' | 'refused'

const width = (bits: number): string => (bits === 64 ? 'r' : 'w')

/** Every instruction form by its text: what the 6.18 kernel does with it. Targets of jumps are in the epilogue. */
function forms(): [text: string, fate: Fate][] {
  const rows: [string, Fate][] = []
  for (const bits of [64, 32]) {
    const r = width(bits)
    for (const op of ['+=', '-=', '*=', '|=', '&=', '^=', '<<=', '>>=', 's>>=', '=']) {
      rows.push([`${r}7 ${op} ${r}8`, 'kept'])
      rows.push([`${r}7 ${op} 5`, 'kept'])
    }
    for (const op of ['/=', '%=', 's/=', 's%=']) {
      // a divisor in a register gets a test for zero (and for -1 when signed) in front
      rows.push([`${r}7 ${op} ${r}8`, 'rewritten'])
      rows.push([`${r}7 ${op} 5`, 'kept'])
    }
    rows.push([`${r}7 = -${r}7`, 'kept'])
    for (const extension of bits === 64 ? ['s8', 's16', 's32'] : ['s8', 's16'])
      rows.push([`${r}7 = (${extension})${r}8`, 'kept'])
    for (const op of ['==', '!=', '>', '>=', '<', '<=', 's>', 's>=', 's<', 's<=', '&']) {
      rows.push([`if ${r}7 ${op} ${r}8 goto +1`, 'kept'])
      rows.push([`if ${r}7 ${op} 5 goto +1`, 'kept'])
    }
  }
  for (const bits of [16, 32, 64])
    for (const swap of ['le', 'be', 'bswap']) rows.push([`r7 = ${swap}${bits} r7`, 'kept'])
  for (const type of ['u8', 'u16', 'u32', 'u64']) {
    rows.push([`r7 = *(${type} *)(r10 - 8)`, 'kept'])
    rows.push([`*(${type} *)(r10 - 8) = r7`, 'kept'])
    rows.push([`*(${type} *)(r10 - 8) = 5`, 'kept'])
    rows.push([`r7 = load_acquire((${type} *)(r10 - 8))`, 'kept'])
    rows.push([`store_release((${type} *)(r10 - 8), r7)`, 'kept'])
  }
  for (const type of ['s8', 's16', 's32']) rows.push([`r7 = *(${type} *)(r10 - 8)`, 'kept'])
  for (const [type, suffix, r] of [
    ['u64', '_64', 'r'],
    ['u32', '32_32', 'w'],
  ] as const) {
    for (const op of ['+=', '|=', '&=', '^=']) rows.push([`lock *(${type} *)(r10 - 8) ${op} ${r}7`, 'kept'])
    for (const op of ['add', 'or', 'and', 'xor'])
      rows.push([`${r}7 = atomic_fetch_${op}((${type} *)(r10 - 8), ${r}7)`, 'kept'])
    rows.push([`${r}7 = xchg${suffix}(r10 - 8, ${r}7)`, 'kept'])
    rows.push([`${r}0 = cmpxchg${suffix}(r10 - 8, ${r}0, ${r}7)`, 'kept'])
  }
  rows.push(
    ['r7 = 0x1122334455667788 ll', 'kept'],
    // skips an instruction that another way reaches
    ['if r7 == 0 goto +1\ngoto +1', 'kept'],
    ['if r7 == 0 goto +1\ngotol +1', 'kept'],
    ['may_goto +1', 'rewritten'],
    // the helper's address takes the place of its number
    ['call bpf_ktime_get_ns', 'rewritten'],
    ['call local callee', 'rewritten'],
    ['r7 = callee ll', 'refused'],
    ['r7 = *(u32 *)(r6 + 0)', 'rewritten'],
    ['r0 = *(u8 *)skb[5]', 'rewritten'],
    ['r0 = *(u16 *)skb[5]', 'rewritten'],
    ['r0 = *(u32 *)skb[5]', 'rewritten'],
    ['r0 = *(u8 *)skb[r7]', 'rewritten'],
    // a map's fd becomes its id, a value's address its map's id and offset
    ['r7 = map[fd:0]', 'rewritten'],
    ['r7 = map[fd:0][0]+4', 'rewritten'],
    ['r1 = r6\ncall kernel-function#KFUNC', 'rewritten'],
    ['callx r7', 'refused'],
    ['gotox r7', 'refused'],
    ['r7 = addr_space_cast(r7, 0, 1)', 'refused'],
  )
  return rows
}

const MAP = { name: 'numbers', type: MAP_TYPES.array, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0 }

function program(text: string): ProgramImage {
  const usesMap = text.includes('map[')
  const callee = text.includes('callee') ? '\ncallee: r0 = 0\nexit' : ''
  const insns = assembleBytes(`${PRELUDE}\n${text}\nr0 = 5\nr0 = 6\nexit${callee}`)
  return {
    name: 'form',
    type: PROGRAM_TYPES.socket_filter,
    expectedAttachType: 0,
    insns,
    license: 'GPL',
    flags: 0,
    maps: usesMap ? [MAP] : [],
    relocations: usesMap ? [{ insn: AT, map: 0, kind: text.includes('[0]') ? 'value' : 'fd', offset: 4 }] : [],
  }
}

describe('the running kernel', () => {
  testWith('bpf')(
    'takes one program per instruction form: kept, rewritten or refused as listed, logged as we write it',
    () => {
      const sys = realSys()
      const surprises: string[] = []
      const counts: Record<Fate, number> = { kept: 0, rewritten: 0, refused: 0 }
      const kfunc = kernelBtf()?.idByName('bpf_cast_to_kern_ctx', 'func') ?? 0
      for (const [form, expected] of forms()) {
        const text = form.replace('KFUNC', String(kfunc))
        const image = program(text)
        using loaded = loadImage(sys, image, { logLevel: 2 })
        const slots = decodeSlots(image.insns)
        const lines = text.split('\n').length
        const at = AT + lines - 1
        const size = slots.opcode[at] === 0x18 ? 2 : 1
        let fate: Fate = 'refused'
        if (loaded.program !== undefined) {
          const { xlated } = programDetails(sys, loaded.program.fd)
          const before = bytesToHex(image.insns.subarray(AT * 8, (at + size) * 8))
          fate = bytesToHex(xlated.subarray(AT * 8, (at + size) * 8)) === before ? 'kept' : 'rewritten'
          const [opcode, dst, src, offset, imm] = [
            slots.opcode[at],
            slots.dst[at],
            slots.src[at],
            slots.offset[at],
            slots.imm[at],
          ]
          const ours = kernelText(opcode, dst, src, offset, imm, size === 2 ? slots.imm[at + 1] : 0)
          const theirs = new RegExp(`^ *${at}: (?:[.\\d]{11} )?(\\([0-9a-f]{2}\\) .*?)(?: +;.*)?$`, 'm').exec(
            loaded.log,
          )?.[1]
          // addresses of maps and names of kfuncs come from the kernel
          const shown = text.includes('map[') || text.includes('kernel-function')
          if (!shown && theirs !== ours) surprises.push(`${text}: the log says ${theirs}, we ${ours}`)
        }
        counts[fate]++
        if (fate !== expected) surprises.push(`${text}: ${fate}, not ${expected}: ${loaded.message ?? ''}`)
      }
      expect(surprises).toEqual([])
      expect(counts).toEqual({ kept: 154, rewritten: 19, refused: 4 })
    },
  )
})
