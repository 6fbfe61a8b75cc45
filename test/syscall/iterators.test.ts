import { mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import {
  attachIterator,
  createJudge,
  iteratorChunks,
  kernelBtf,
  readIterator,
  readIteratorText,
  realSys,
} from '../../src/syscall/index.ts'
import { ATTACH_TYPES } from '../../src/uapi/index.ts'
import { testWith, unmet } from '../requirements.ts'
import { enterOwnNamespace, type OwnNamespace } from './own-namespace.ts'
import { imageOf } from './programs.ts'

const bpfTest = testWith('bpf', 'program:ip')
let own: OwnNamespace | undefined

beforeAll(() => {
  if (unmet('bpf', 'program:ip') === undefined) own = enterOwnNamespace()
})
afterAll(() => own?.close())

function offsetOf(struct: string, member: string): number {
  const found = kernelBtf()
    ?.find(struct, 'struct')
    ?.members.find(({ name }) => name === member)
  if (found === undefined) throw new Error(`no ${struct}.${member}`)
  return found.bitOffset / 8
}

/** An iterator that writes a word of each object it meets; with `text` as a decimal line, else as four bytes. */
function writer(target: string, offset: number, text = false) {
  const word = `r6 = *(u64 *)(r1 + 8)
if r6 == 0 goto done
r7 = *(u32 *)(r6 + ${offset})
r1 = *(u64 *)(r1 + 0)
r1 = *(u64 *)(r1 + 0)
`
  const bytes = '*(u32 *)(r10 - 8) = r7\nr2 = r10\nr2 += -8\nr3 = 4\ncall 127\n'
  // "%d\n" in the machine's order, then its argument
  const line = `r2 = ${0x000a6425}
*(u32 *)(r10 - 8) = r2
*(u64 *)(r10 - 16) = r7
r2 = r10
r2 += -8
r3 = 4
r4 = r10
r4 += -16
r5 = 8
call 126
`
  const loaded = createJudge().load(
    imageOf('tracing', `${word}${text ? line : bytes}done:\nr0 = 0\nexit`, {
      expectedAttachType: ATTACH_TYPES.trace_iter,
      attachTo: { name: target },
    }),
  )
  const { program } = loaded
  if (program === undefined) throw new Error(loaded.log)
  return { program, [Symbol.dispose]: () => loaded.close() }
}

const wordsOf = (bytes: Uint8Array): number[] => [...new Uint32Array(bytes.slice().buffer)]
const threads = (): number => Number(/^Threads:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])

describe('iterators with a target', () => {
  bpfTest('task: one thread, a process, a process by pidfd, all', () => {
    using pids = writer('task', offsetOf('task_struct', 'pid'))
    const run = (options?: Parameters<typeof attachIterator>[1]): number[] => {
      using link = attachIterator(pids.program, options)
      return wordsOf(readIterator(link))
    }
    expect(run({ tid: process.pid })).toEqual([process.pid])
    expect(run({ pid: process.pid })).toHaveLength(threads())
    const pidfd = realSys().call('pidfd_open', process.pid, 0)
    expect(run({ pidfd })).toHaveLength(threads())
    realSys().call('close', pidfd)
    const all = run()
    expect(all).toContain(process.pid)
    expect(all.length).toBeGreaterThan(threads())
    expect(() => run({ pid: 1, tid: 1 })).toThrow(/one target/)
    expect(() => run({ tid: 0x3fff_ffff })).not.toThrow()
  })

  bpfTest('task: text, in pieces and whole', () => {
    using pids = writer('task', offsetOf('task_struct', 'pid'), true)
    using one = attachIterator(pids.program, { tid: process.pid })
    expect(readIteratorText(one)).toBe(`${process.pid}\n`)
    // each run is a new one
    expect(readIteratorText(one)).toBe(`${process.pid}\n`)
    expect(readIteratorText(one, 2)).toBe(String(process.pid).slice(0, 2))
    using all = attachIterator(pids.program)
    const pieces = [...iteratorChunks(all)].map((piece) => new TextDecoder().decode(piece)).join('')
    expect(pieces.split('\n')).toContain(String(process.pid))
  })

  bpfTest('cgroup: itself, its children and its parents', () => {
    const root = `${own?.folder}/cgroup2/typebpf-iterator-${process.pid}`
    mkdirSync(root)
    mkdirSync(`${root}/a`)
    mkdirSync(`${root}/a/b`)
    try {
      using levels = writer('cgroup', offsetOf('cgroup', 'level'))
      const run = (path: string, order?: 'self' | 'descendantsPre' | 'descendantsPost' | 'ancestors'): number[] => {
        using link = attachIterator(levels.program, { cgroup: { path, order } })
        return wordsOf(readIterator(link))
      }
      const [level] = run(root, 'self')
      expect(run(root)).toEqual([level, level + 1, level + 2])
      expect(run(root, 'descendantsPost')).toEqual([level + 2, level + 1, level])
      expect(run(`${root}/a/b`, 'ancestors')).toEqual(Array.from({ length: level + 3 }, (_, i) => level + 2 - i))
      expect(() => run('/no-such-cgroup')).toThrow(/no cgroup/)
    } finally {
      for (const folder of [`${root}/a/b`, `${root}/a`, root]) rmdirSync(folder)
    }
  })
})
