import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { Readable, Writable } from 'node:stream'
import { DataType, load, open } from 'ffi-rs'
import { assembleBytes } from '../src/asm/index.ts'
import { bytesToHex } from '../src/bytes/index.ts'
import { runBatch } from '../src/cli/batch-lines.ts'
import { struct, u32, u64 } from '../src/layout/index.ts'
import { createJudge, createMap, mapInfo, RingBuffer, realSys, testRun } from '../src/syscall/index.ts'
import { MAP_FLAGS, MAP_TYPES, PROGRAM_TYPES } from '../src/uapi/index.ts'
import { type Figure, interleaved, median } from './figure.ts'

const RUNS = 7
const sys = realSys()

const base = (name: string, type: number, maxEntries: number, flags = 0) => ({
  name,
  type,
  keySize: 4,
  valueSize: 8,
  maxEntries,
  flags,
})

async function lookups(): Promise<Figure> {
  const calls = 20_000
  open({ library: 'bench-libc', path: '' })
  const getppid = { library: 'bench-libc', funcName: 'getppid', retType: DataType.I32, paramsType: [], paramsValue: [] }
  using map = createMap(sys, base('bench', MAP_TYPES.hash, 1024), { key: u32, value: u64 })
  for (let i = 0; i < 1024; i++) map.set(i, BigInt(i))
  const [ours, floor] = await interleaved(RUNS, [
    () => {
      for (let i = 0; i < calls; i++) map.get(i & 1023)
    },
    () => {
      for (let i = 0; i < calls; i++) load(getppid)
    },
  ])
  const [value, peerValue] = [(ours * 1e6) / calls, (floor * 1e6) / calls]
  const ratio = value / peerValue
  return {
    area: 'kernel',
    name: 'map lookup, typed',
    value,
    unit: 'ns',
    peer: 'getppid through ffi-rs',
    peerValue,
    ratio,
    goal: 'ratio at most 4 (stretch 2.5)',
    met: ratio <= 4,
  }
}

/** The C peer, compiled into a folder of its own; undefined when there is no compiler or libbpf. */
function compilePeer(folder: string): string | undefined {
  const source = new URL('kernel-peer.c', import.meta.url).pathname
  try {
    execFileSync('cc', ['-O2', '-o', `${folder}/peer`, source, '-lbpf'], { stdio: 'ignore' })
    return `${folder}/peer`
  } catch {
    return undefined
  }
}

const numbersOf = (peer: string, ...args: string[]): number[] =>
  execFileSync(peer, args, { encoding: 'utf8' }).split(' ').map(Number)
const milliseconds = (peer: string, ...args: string[]): number => numbersOf(peer, ...args)[0]

function compared(
  figure: Pick<Figure, 'name' | 'value' | 'unit' | 'goal'> & { peer: string },
  peerValue: number | undefined,
  ratioOf: (peerValue: number) => number,
  met: (ratio: number) => boolean,
): Figure {
  if (peerValue === undefined)
    return { area: 'kernel', ...figure, peer: `${figure.peer}: no C compiler or libbpf here` }
  const ratio = ratioOf(peerValue)
  return { area: 'kernel', ...figure, peerValue, ratio, met: met(ratio) }
}

function batchRead(peer: string | undefined): Figure {
  const entries = 100_000
  using map = createMap(sys, base('bench_batch', MAP_TYPES.hash, entries), { key: u32, value: u64 })
  map.setMany(Array.from({ length: entries }, (_, i) => [i, BigInt(i) * 3n] as const))
  const id = String(mapInfo(sys, map.fd).id)
  const ours: number[] = []
  const theirs: number[] = []
  for (let run = 0; run < RUNS + 2; run++) {
    const start = performance.now()
    let count = 0
    for (const [key, value] of map) if (value === BigInt(key) * 3n) count++
    if (count !== entries) throw new Error(`${count} entries came back`)
    ours.push(performance.now() - start)
    if (peer !== undefined) theirs.push(milliseconds(peer, 'batch', id))
  }
  const value = median(ours.slice(2))
  return compared(
    {
      name: 'batch read of 100,000 hash entries, decoded',
      value,
      unit: 'ms',
      peer: 'C with libbpf',
      goal: 'ratio at most 5',
    },
    peer === undefined ? undefined : median(theirs.slice(2)),
    (peerValue) => value / peerValue,
    (ratio) => ratio <= 5,
  )
}

function rings(): Figure[] {
  const records = 400_000
  const Record = struct('record', { number: u64, again: u64 })
  const text = `r1 = 0x0 ll
r2 = r10
r2 += -16
r7 = 7
*(u64 *)(r10 - 16) = r7
*(u64 *)(r10 - 8) = r7
r3 = 16
r4 = 0
call 130
r0 = 0
exit
`
  using loaded = createJudge(sys).load({
    name: 'bench_ring',
    type: PROGRAM_TYPES.sched_cls,
    expectedAttachType: 0,
    insns: assembleBytes(text),
    license: 'GPL',
    flags: 0,
    maps: [{ ...base('ring', MAP_TYPES.ringbuf, 1 << 24), keySize: 0, valueSize: 0 }],
    relocations: [{ insn: 0, map: 0, kind: 'fd' }],
  })
  const { program } = loaded
  if (program === undefined) throw new Error(loaded.message)
  const raw: number[] = []
  const decoded: number[] = []
  const kept: number[] = []
  using ring = new RingBuffer(loaded.maps[0], Record)
  const data = new Uint8Array(64)
  for (let run = 0; run < RUNS + 1; run++) {
    testRun(sys, program.fd, { data, repeat: records })
    let start = performance.now()
    let sum = 0
    let count = ring.drainRaw((view, at) => {
      sum += view.getUint32(at, true)
    })
    raw.push(count / (performance.now() - start) / 1e3)
    if (sum !== 7 * count || count !== records) throw new Error(`${count} records, sum ${sum}`)
    testRun(sys, program.fd, { data, repeat: records })
    start = performance.now()
    let numbers = 0n
    count = 0
    for (let events = ring.drain(1024); events.length > 0; events = ring.drain(1024)) {
      for (const event of events) numbers += event.number
      count += events.length
    }
    decoded.push(count / (performance.now() - start) / 1e3)
    if (numbers !== 7n * BigInt(records)) throw new Error(`${count} events, sum ${numbers}`)
    testRun(sys, program.fd, { data, repeat: records })
    start = performance.now()
    kept.push(ring.drain().length / (performance.now() - start) / 1e3)
  }
  const row = (name: string, values: number[], least: number): Figure => {
    const value = median(values.slice(1))
    return { area: 'kernel', name, value, unit: 'million records/s', goal: `at least ${least}`, met: value >= least }
  }
  const { goal: _, met: __, ...all } = row('ring buffer drain, 400,000 objects kept in one array', kept, 0)
  return [
    row('ring buffer drain, raw', raw, 5),
    row('ring buffer drain, decoded to objects, 1,024 at a time', decoded, 1.5),
    all,
  ]
}

function liveCounter(): Figure {
  using map = createMap(sys, base('bench_live', MAP_TYPES.array, 16, MAP_FLAGS.mmapable), { key: u32, value: u64 })
  using live = map.mmap()
  live.set(3, 5n)
  const reads = 2_000_000
  const times: number[] = []
  for (let run = 0; run < RUNS; run++) {
    let sum = 0n
    const start = process.hrtime.bigint()
    for (let i = 0; i < reads; i++) sum += live.get(3)
    times.push(Number(process.hrtime.bigint() - start) / reads)
    if (sum !== BigInt(reads) * 5n) throw new Error('a wrong counter')
  }
  const value = median(times)
  return {
    area: 'kernel',
    name: 'counter in a mapped array, one read',
    value,
    unit: 'ns',
    goal: 'under 100',
    met: value < 100,
  }
}

async function batchLoads(peer: string | undefined): Promise<Figure[]> {
  const programs = 10_000
  const lines: string[] = []
  for (let i = 0; i < programs; i++) {
    const insns = bytesToHex(assembleBytes('r0 = 0\n'.repeat((i % 20) + 2).concat('exit\n')))
    lines.push(`${JSON.stringify({ id: i, type: 'socket_filter', insns })}\n`)
  }
  const text = Buffer.from(lines.join(''))
  const judge = createJudge(sys)
  const rates: number[] = []
  const theirs: number[] = []
  const ourCpu: number[] = []
  const theirCpu: number[] = []
  for (let run = 0; run < RUNS + 1; run++) {
    const chunks: Buffer[] = []
    for (let at = 0; at < text.length; at += 65536) chunks.push(text.subarray(at, at + 65536))
    let accepted = 0
    const output = new Writable({
      write(chunk: Buffer, _encoding, done) {
        accepted += chunk.toString().split('"accept"').length - 1
        done()
      },
    })
    const cpu = process.cpuUsage()
    const start = performance.now()
    await runBatch(({ image, logLevel }) => judge.judge(image, { logLevel }), Readable.from(chunks), output)
    rates.push(programs / ((performance.now() - start) / 1e3))
    const { user, system } = process.cpuUsage(cpu)
    ourCpu.push((user + system) / programs)
    if (accepted !== programs) throw new Error(`${accepted} of ${programs} were accepted`)
    if (peer === undefined) continue
    const [wall, used] = numbersOf(peer, 'load', String(programs))
    theirs.push(programs / (wall / 1e3))
    theirCpu.push((used * 1e3) / programs)
  }
  const value = median(rates.slice(1))
  const cpu = median(ourCpu.slice(1))
  const atMost = (ratio: number): boolean => ratio <= 1.67
  return [
    compared(
      {
        name: 'load --batch, 10,000 small programs',
        value,
        unit: 'programs/s',
        peer: 'a loop in C',
        goal: 'at least 60 % of its rate (ratio at most 1.67)',
      },
      peer === undefined ? undefined : median(theirs.slice(1)),
      (peerValue) => peerValue / value,
      atMost,
    ),
    // On a machine that others use the rates say who got the CPU, this what it cost.
    compared(
      {
        name: 'load --batch, CPU time a program (all threads)',
        value: cpu,
        unit: 'us',
        peer: 'a loop in C',
        goal: 'ratio at most 1.67',
      },
      peer === undefined ? undefined : median(theirCpu.slice(1)),
      (peerValue) => cpu / peerValue,
      atMost,
    ),
  ]
}

/** Figures of the kernel layer: they need bpf(2). */
export async function figures(): Promise<Figure[]> {
  const folder = mkdtempSync(`${tmpdir()}/typebpf-bench-`)
  try {
    const peer = compilePeer(folder)
    return [await lookups(), batchRead(peer), ...rings(), liveCounter(), ...(await batchLoads(peer))]
  } finally {
    rmSync(folder, { recursive: true })
  }
}
