// Run with --expose-gc: every path that hands memory to the kernel while the collector runs between them. Prints one JSON line.
import { readdirSync } from 'node:fs'
import { u64 } from '../../src/layout/index.ts'
import { parseBatchRequest } from '../../src/spec/index.ts'
import {
  attachIterator,
  attachRawTracepoint,
  attachUprobeMulti,
  createJudge,
  createMap,
  createRawMap,
  findBinary,
  LiveArray,
  objectIds,
  PerfBuffer,
  programDetails,
  queryTaskFd,
  RingBuffer,
  readIterator,
  realSys,
  runProgram,
  UserRingBuffer,
} from '../../src/syscall/index.ts'
import { ATTACH_TYPES, MAP_FLAGS, MAP_TYPES, type MapType } from '../../src/uapi/index.ts'
import { counter, imageOf } from './programs.ts'

const collect = (globalThis as { gc?: () => void }).gc
if (collect === undefined) throw new Error('--expose-gc is needed')
const sys = realSys()
const judge = createJudge(sys)
const open = (): number => readdirSync('/proc/self/fd').length
const insns = `${'b700000001000000'.repeat(100)}9500000000000000`
const { image } = parseBatchRequest({ type: 'socket_filter', insns })
judge.judge(image)
let operations = 0
let loads = 0
let wrong = 0
const garbage: Uint8Array[] = []
const check = (right: boolean): void => {
  operations++
  if (!right) wrong++
}
const map = (type: MapType, rest: object = {}) =>
  createRawMap(sys, {
    name: 'stress',
    type: MAP_TYPES[type],
    keySize: 4,
    valueSize: 8,
    maxEntries: 64,
    flags: 0,
    ...rest,
  })
const echo = counter('xdp', 2).program
const libc = findBinary('libc')
const iterated = judge.load(
  imageOf('tracing', 'r0 = 0\nexit\n', { expectedAttachType: ATTACH_TYPES.trace_iter, attachTo: { name: 'task' } }),
)
const raw = judge.load(imageOf('raw_tracepoint', 'r0 = 0\nexit\n'))
const many = counter('kprobe', 0, { attach: 'trace_uprobe_multi' }).program

/** Elements, keys and loads: the calls that happen most. */
function elements(): void {
  using hash = map('hash', { valueSize: 100, maxEntries: 1000 })
  for (let i = 0; i < 125; i++) {
    const key = new Uint8Array(new Uint32Array([i]).buffer)
    hash.update(key, new Uint8Array(100).fill(i))
    if (i % 25 === 0) collect?.()
    const found = hash.lookup(key)
    check(found !== undefined && found[0] === i && found[99] === i)
    garbage.push(new Uint8Array(4096).fill(0xee))
    check(hash.nextKey(key)?.length === 4 || hash.nextKey() !== undefined)
    check(i % 2 === 1 || hash.delete(key))
    check((hash.lookup(key) === undefined) === (i % 2 === 0))
  }
  garbage.length = 0
  for (let i = 0; i < 50; i++) {
    using loaded = judge.load(image, { logLevel: 2 })
    check(loaded.program !== undefined && loaded.log.includes('\n99: '))
    if (loaded.program !== undefined) check(programDetails(sys, loaded.program.fd).xlated.length === 808)
    if (i % 10 === 0) collect?.()
    loads++
  }
}

/** Batches, mappings, rings, runs, links, ids and their texts. */
function others(round: number): void {
  using typed = createMap(
    sys,
    { name: 'batch', type: MAP_TYPES.hash, keySize: 8, valueSize: 8, maxEntries: 500, flags: 0 },
    { key: u64, value: u64 },
  )
  typed.setMany(Array.from({ length: 500 }, (_, i) => [BigInt(i), BigInt(i * round)] as const))
  collect?.()
  let sum = 0n
  for (const [key, value] of typed) {
    if (key % 100n === 0n) collect?.()
    sum += value
  }
  check(sum === BigInt(round * ((499 * 500) / 2)))
  using array = map('array', { flags: MAP_FLAGS.mmapable })
  const live = new LiveArray(array, u64, true)
  live.set(5, 77n)
  collect?.()
  check(
    new DataView((array.lookup(new Uint8Array([5, 0, 0, 0])) ?? new Uint8Array(8)).buffer).getBigUint64(0, true) ===
      77n,
  )
  live.close()
  collect?.()
  check(live.get(5) === 0n)
  {
    using ringbuf = map('ringbuf', { keySize: 0, valueSize: 0, maxEntries: 4096 })
    using ring = new RingBuffer(ringbuf)
    collect?.()
    check(ring.drain().length === 0)
    using userMap = map('user_ringbuf', { keySize: 0, valueSize: 0, maxEntries: 4096 })
    using user = new UserRingBuffer(userMap)
    collect?.()
    check(user.push(new Uint8Array(100)))
    using events = map('perf_event_array', { valueSize: 4 })
    using perf = new PerfBuffer(events, { pages: 1 })
    collect?.()
    check(perf.drain().length === 0)
  }
  const data = new Uint8Array(200).fill(round)
  const out = runProgram(echo, 'xdp', { data })
  collect?.()
  check(out.data.length === 200 && out.data.every((byte) => byte === round))
  if (iterated.program !== undefined) {
    using link = attachIterator(iterated.program, { tid: process.pid })
    collect?.()
    check(readIterator(link).length === 0)
  }
  // Detaching these waits for every CPU and task.
  if (round % 10 !== 0) return
  if (raw.program !== undefined) {
    using link = attachRawTracepoint(raw.program, { name: 'xdp_exception' })
    collect?.()
    check(queryTaskFd(sys, process.pid, link.fd).name === 'xdp_exception')
  }
  using link = attachUprobeMulti(many, { binary: libc, functions: 'getpp?d', pid: process.pid, cookies: [5n] })
  collect?.()
  check(link.info().typeName === 'uprobe_multi')
  check([...objectIds(sys, 'map')].length > 0)
}

elements()
others(1)
operations = 0
loads = 0
const before = open()
for (let round = 1; round <= 10; round++) {
  elements()
  others(round)
}
console.log(JSON.stringify({ operations, loads, wrong, leaked: open() - before }))
process.exit(0)
