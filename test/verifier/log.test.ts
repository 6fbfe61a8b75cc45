import { expect } from 'vitest'
import { realSys } from '../../src/syscall/index.ts'
import { createJudge } from '../../src/syscall/prog/judge.ts'
import { verify } from '../../src/verifier/index.ts'
import { testWith } from '../requirements.ts'

type Row = readonly [op: number, dst?: number, src?: number, off?: number, imm?: number]

function assemble(rows: readonly Row[]): Uint8Array {
  const bytes = new Uint8Array(rows.length * 8)
  const view = new DataView(bytes.buffer)
  for (const [i, [op, dst = 0, src = 0, off = 0, imm = 0]] of rows.entries()) {
    view.setUint8(i * 8, op)
    view.setUint8(i * 8 + 1, (src << 4) | dst)
    view.setInt16(i * 8 + 2, off, true)
    view.setInt32(i * 8 + 4, imm, true)
  }
  return bytes
}

const RETURN: readonly Row[] = [[0xb7, 0], [0x95]]
const PROGRAMS: Readonly<Record<string, readonly Row[]>> = {
  'a masked spill and its fill': [
    [0x61, 7, 1],
    [0x57, 7, 0, 0, 7],
    [0x7b, 10, 7, -8],
    [0x25, 7, 0, 3, 5],
    [0x79, 1, 10, -8],
    [0xbf, 2, 10],
    [0x1f, 2, 1],
    ...RETURN,
  ],
  'an endless loop': [
    [0xb7, 6, 0, 0, 10],
    [0x85, 0, 0, 0, 7],
    [0x7b, 10, 0, -16],
    [0x0f, 6, 0],
    [0x55, 6, 0, -4, 5],
    [0x79, 3, 10, -16],
    ...RETURN,
  ],
  'a counted loop': [[0xb7, 6], [0x07, 6, 0, 0, 1], [0xa5, 6, 0, -2, 20], ...RETURN],
  'a function': [[0xb7, 1, 0, 0, 3], [0x85, 0, 1, 0, 1], [0x95], [0xbf, 0, 1], [0x07, 0, 0, 0, 4], [0x95]],
  'linked scalars': [
    [0x85, 0, 0, 0, 7],
    [0xbf, 1, 0],
    [0x07, 1, 0, 0, -5],
    [0x25, 1, 0, 1, 10],
    [0xb7, 2],
    [0xbf, 2, 0],
    [0x17, 2, 0, 0, 3],
    [0x25, 2, 0, 0, 10],
    ...RETURN,
  ],
  'an uninitialised register': [[0xbf, 0, 2], [0x95]],
  'a stack that is too deep': [[0x7a, 10, 0, -520, 1], ...RETURN],
  'arithmetic on the context': [[0x0f, 1, 1], ...RETURN],
}

function comparable(log: string): string[] {
  return log.split('\n').filter((line) => !line.startsWith('verification time'))
}

for (const [name, rows] of Object.entries(PROGRAMS))
  for (const logLevel of [1, 2, 4, 6])
    testWith('bpf')(`the log of ${name} at level ${logLevel} is the kernel's`, () => {
      const image = {
        name: 'log',
        type: 1,
        expectedAttachType: 0,
        insns: assemble(rows),
        license: 'GPL',
        flags: 0,
        maps: [],
        relocations: [],
      }
      const kernel = createJudge(realSys()).judge(image, { logLevel: logLevel | 4 })
      const model = verify(image, { logLevel: logLevel | 4 })
      expect(comparable(model.log ?? '')).toEqual(comparable(kernel.log ?? ''))
    })
