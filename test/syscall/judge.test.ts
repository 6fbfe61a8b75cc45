import { readdirSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { hexToBytes } from '../../src/bytes/index.ts'
import { parseBatchRequest } from '../../src/spec/index.ts'
import { createJudge, realSys } from '../../src/syscall/index.ts'
import { testWith } from '../requirements.ts'

const bpfTest = testWith('bpf')
const RETURN_0 = 'b7000000000000009500000000000000'
const EXIT_ONLY = '9500000000000000'

const image = (request: object) => parseBatchRequest({ type: 'socket_filter', insns: RETURN_0, ...request }).image

describe('the running kernel as a judge', () => {
  bpfTest('tells accept, reject, denied and invalid apart', () => {
    const { judge } = createJudge()
    expect(judge(image({}))).toMatchObject({ verdict: 'accept', processed: 2 })
    expect(judge(image({ insns: EXIT_ONLY }))).toMatchObject({
      verdict: 'reject',
      errno: 13,
      message: 'R0 !read_ok',
      processed: 1,
    })
    expect(judge(image({ type: 999 }))).toMatchObject({ verdict: 'invalid', errno: 22 })
    expect(judge(image({ insns: '' }))).toMatchObject({ verdict: 'invalid', errno: 7 })
  })

  bpfTest('creates maps with contents, inner maps and frozen maps', () => {
    const judge = createJudge()
    const maps = [
      {
        name: 'outer',
        type: 'array_of_maps',
        keySize: 4,
        valueSize: 4,
        maxEntries: 1,
        inner: 1,
        contents: [['00000000', 1]],
      },
      {
        name: 'inner',
        type: 'array',
        keySize: 4,
        valueSize: 8,
        maxEntries: 1,
        contents: [['00000000', '0807060504030201']],
      },
      {
        name: 'constant',
        type: 'array',
        keySize: 4,
        valueSize: 4,
        maxEntries: 1,
        flags: ['rdonly_prog'],
        frozen: true,
        contents: [['00000000', '2a000000']],
      },
    ]
    // r1 = &constant; r0 = *(u32 *)r1; exit
    const insns = `18010000000000000000000000000000${'6110000000000000'}9500000000000000`
    using loaded = judge.load(
      image({ type: 'sched_cls', insns, maps, relocations: [{ insn: 0, map: 2, kind: 'value' }] }),
    )
    expect(loaded.message).toBeUndefined()
    expect(loaded.verdict).toBe('accept')
    expect(loaded.maps[1].lookup(hexToBytes('00000000'))).toEqual(hexToBytes('0807060504030201'))
    expect(() => loaded.maps[2].update(new Uint8Array(4), new Uint8Array(4))).toThrow(/EPERM/)
  })

  bpfTest('gives the whole log of a level, however long it is', () => {
    const { judge } = createJudge()
    // 20,000 moves, each a line of the log at level 2
    const insns = `${'b700000001000000'.repeat(20_000)}9500000000000000`
    const full = judge(image({ insns, logLevel: 2 }), { logLevel: 2 })
    expect(full.verdict).toBe('accept')
    expect(full.log).toContain('\n19999: ')
    expect(full.logTruncated).toBeUndefined()
    const cut = judge(image({ insns }), { logLevel: 2, maxLogBytes: 100_000 })
    expect(cut.verdict).toBe('accept')
    expect(cut.logTruncated).toBe(true)
    expect(cut.log).toContain('processed 20001 insns')
    expect(cut.log?.length).toBeLessThanOrEqual(100_000)
  })

  bpfTest('leaves no descriptor behind', () => {
    const { judge } = createJudge(realSys())
    const open = (): number => readdirSync('/proc/self/fd').length
    judge(image({}))
    const before = open()
    for (let i = 0; i < 500; i++) {
      judge(image({}))
      judge(image({ insns: EXIT_ONLY }))
      judge(image({ maps: [{ type: 'hash', keySize: 4, valueSize: 4, maxEntries: 1 }], relocations: [] }))
    }
    expect(open()).toBe(before)
  })
})
