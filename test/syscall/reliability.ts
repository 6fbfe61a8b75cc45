// Many cycles of load, attach and ring: prints descriptors and memory before and after as one JSON line.
// Arguments: cycles (default 10000). Run with --expose-gc.
import { readdirSync, readFileSync } from 'node:fs'
import { u64 } from '../../src/layout/index.ts'
import {
  attachIterator,
  attachRawTracepoint,
  createJudge,
  createRawMap,
  LiveArray,
  RingBuffer,
  realSys,
} from '../../src/syscall/index.ts'
import { ATTACH_TYPES, MAP_FLAGS, MAP_TYPES } from '../../src/uapi/index.ts'
import { imageOf } from './programs.ts'

const wanted = Number(process.argv[2] ?? 10_000)
const sys = realSys()
const judge = createJudge(sys)
const image = imageOf('raw_tracepoint', 'r0 = 0\nexit\n')
const iterator = imageOf('tracing', 'r0 = 0\nexit\n', {
  expectedAttachType: ATTACH_TYPES.trace_iter,
  attachTo: { name: 'task' },
})

const descriptors = (): number => readdirSync('/proc/self/fd').length
const mappings = (): number => readFileSync('/proc/self/maps', 'utf8').split('\n').length
/** With --expose-gc what the collector left for later does not count. */
const resident = (): number => {
  ;(globalThis as { gc?: () => void }).gc?.()
  return process.memoryUsage().rss / 1024 / 1024
}

const tasks: Readonly<Record<string, () => void>> = {
  'load and close': () => judge.judge(image),
  'attach and detach': () => {
    using loaded = judge.load(iterator)
    if (loaded.program === undefined) throw new Error(loaded.message)
    using _ = attachIterator(loaded.program)
  },
  // Detaching waits for a grace period of the whole machine: fewer of these.
  'attach and detach, raw tracepoint': () => {
    using loaded = judge.load(image)
    if (loaded.program === undefined) throw new Error(loaded.message)
    // A tracepoint that nothing here hits.
    using _ = attachRawTracepoint(loaded.program, { name: 'xdp_exception' })
  },
  'ring open and close': () => {
    using map = createRawMap(sys, {
      name: 'r',
      type: MAP_TYPES.ringbuf,
      keySize: 0,
      valueSize: 0,
      maxEntries: 4096,
      flags: 0,
    })
    using ring = new RingBuffer(map)
    if (ring.pending !== 0) throw new Error('a ring that is not empty')
  },
  'array map and unmap': () => {
    using map = createRawMap(sys, {
      name: 'a',
      type: MAP_TYPES.array,
      keySize: 4,
      valueSize: 8,
      maxEntries: 8,
      flags: MAP_FLAGS.mmapable,
    })
    using live = new LiveArray(map, u64, true)
    live.set(0, 1n)
  },
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const report: Record<string, object> = {}
for (const [name, task] of Object.entries(tasks)) {
  const cycles = name.includes('raw tracepoint') ? Math.ceil(wanted / 50) : wanted
  for (let i = 0; i < Math.min(cycles, 5000); i++) {
    task()
    if (i % 100 === 0) await turn()
  }
  const before = { descriptors: descriptors(), mappings: mappings(), resident: resident() }
  for (let i = 0; i < cycles; i++) {
    task()
    if (i % 100 === 0) await turn()
  }
  report[name] = {
    cycles,
    descriptorsLeft: descriptors() - before.descriptors,
    mappingsLeft: mappings() - before.mappings,
    grownMiB: Math.round((resident() - before.resident) * 10) / 10,
  }
}
console.log(JSON.stringify(report))
process.exit(0)
