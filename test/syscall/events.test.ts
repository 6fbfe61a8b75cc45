import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { describe, expect, test } from 'vitest'
import { array, be32, bool, bytes, i8, i16, i64, struct, u8, u16, u64 } from '../../src/layout/index.ts'
import { compileReader } from '../../src/syscall/events/compiled-reader.ts'
import {
  createJudge,
  createRawMap,
  type LoadResult,
  onlineCpus,
  PerfBuffer,
  parseTraceLine,
  RingBuffer,
  realSys,
  testRun,
  tracePipe,
  UserRingBuffer,
} from '../../src/syscall/index.ts'
import { MAP_TYPES } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'
import { imageOf } from './programs.ts'

const bpfTest = testWith('bpf')
const Record = struct('record', { number: u64, again: u64 })
const COUNT = { name: 'count', type: MAP_TYPES.array, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0 }

/** A program that sends a running number, twice, through the helper `call` to map 1. */
function sender(call: number, map: { type: number; maxEntries: number; size: number }): LoadResult {
  const send =
    call === 130
      ? 'r1 = 0x0 ll\nr2 = r10\nr2 += -16\nr3 = 16\nr4 = 0\n'
      : 'r1 = r6\nr2 = 0x0 ll\nw3 = -1\nr4 = r10\nr4 += -16\nr5 = 16\n'
  const text = `r6 = r1
r1 = 0x0 ll
r2 = *(u64 *)(r1 + 0)
r3 = r2
r3 += 1
*(u64 *)(r1 + 0) = r3
*(u64 *)(r10 - 16) = r2
*(u64 *)(r10 - 8) = r2
${send}call ${call}
r0 = 0
exit
`
  const image = imageOf('sched_cls', text, {
    maps: [
      COUNT,
      { name: 'events', type: map.type, keySize: map.size, valueSize: map.size, maxEntries: map.maxEntries, flags: 0 },
    ],
    relocations: [
      { insn: 1, map: 0, kind: 'value' },
      { insn: call === 130 ? 9 : 10, map: 1, kind: 'fd' },
    ],
  })
  const loaded = createJudge().load(image)
  if (loaded.program === undefined) throw new Error(`${loaded.verdict}: ${loaded.message}`)
  return loaded
}

const packet = new Uint8Array(64)
const run = (loaded: LoadResult, repeat: number): void => {
  testRun(realSys(), loaded.program?.fd ?? -1, { data: packet, repeat })
}

describe('ring buffers', () => {
  const ring = { type: MAP_TYPES.ringbuf, maxEntries: 64 * 1024, size: 0 }

  bpfTest('100,000 records arrive in order, none twice, none lost', () => {
    using loaded = sender(130, ring)
    using events = new RingBuffer(loaded.maps[1], Record)
    let next = 0n
    for (let round = 0; round < 100; round++) {
      run(loaded, 1000)
      for (const { number, again } of events.drain()) {
        expect(number === next && again === next).toBe(true)
        next++
      }
    }
    expect(next).toBe(100_000n)
    expect(events.pending).toBe(0)
  })

  bpfTest('a full ring loses the new records, never the old ones', () => {
    using loaded = sender(130, { ...ring, maxEntries: 4096 })
    using events = new RingBuffer(loaded.maps[1], Record)
    run(loaded, 1000)
    const kept = events.drain()
    expect(kept.map(({ number }) => number)).toEqual(Array.from({ length: kept.length }, (_, i) => BigInt(i)))
    expect(kept.length).toBeGreaterThan(100)
    expect(kept.length).toBeLessThan(1000)
  })

  bpfTest('waits for events, ends on close and on abort', async () => {
    using loaded = sender(130, ring)
    const events = new RingBuffer(loaded.maps[1], Record)
    const seen: bigint[] = []
    setTimeout(() => run(loaded, 2), 30)
    setTimeout(() => run(loaded, 1), 60)
    for await (const { number } of events) {
      seen.push(number)
      if (seen.length === 3) break
    }
    expect(seen).toEqual([0n, 1n, 2n])
    const abort = new AbortController()
    setTimeout(() => abort.abort(), 30)
    for await (const _ of events.events({ signal: abort.signal })) expect.unreachable()
    setTimeout(() => events.close(), 30)
    for await (const _ of events) expect.unreachable()
    expect(events.drain()).toEqual([])
  })

  bpfTest('two rings wait at once', async () => {
    using one = sender(130, ring)
    using two = sender(130, ring)
    using first = new RingBuffer(one.maps[1], Record)
    using second = new RingBuffer(two.maps[1], Record)
    const take = async (events: RingBuffer<{ number: bigint }>): Promise<bigint | undefined> => {
      for await (const { number } of events) return number
      return undefined
    }
    const both = Promise.all([take(first), take(second)])
    setTimeout(() => run(two, 1), 20)
    setTimeout(() => run(one, 1), 50)
    expect(await both).toEqual([0n, 0n])
  })

  /** Whether it ends by itself within two seconds. */
  const ends = async (work: Promise<unknown>): Promise<boolean> => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, 2000, false)
    })
    const ended = await Promise.race([work.then(() => true), late])
    clearTimeout(timer)
    return ended
  }
  const rest = (milliseconds = 30): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds))
  const all = async (events: AsyncIterable<unknown>): Promise<number> => {
    let count = 0
    for await (const _ of events) count++
    return count
  }

  bpfTest('readers end whichever of map and ring is closed first', async () => {
    const loaded = sender(130, ring)
    const events = new RingBuffer(loaded.maps[1], Record)
    const reading = all(events)
    await rest()
    loaded.close()
    events.close()
    expect(await ends(reading)).toBe(true)
  })

  bpfTest('several loops share one ring: each record once, and all of them end', async () => {
    using loaded = sender(130, ring)
    const events = new RingBuffer(loaded.maps[1], Record)
    const abort = new AbortController()
    const [first, second] = [all(events.events({ signal: abort.signal })), all(events)]
    await rest()
    for (let i = 0; i < 20; i++) {
      run(loaded, 10)
      await rest(1)
    }
    await rest()
    abort.abort()
    expect(await ends(first)).toBe(true)
    run(loaded, 5)
    await rest()
    events.close()
    expect(await ends(second)).toBe(true)
    expect((await first) + (await second)).toBe(205)
  })

  bpfTest('a second reader of the same map is refused until the first is closed', () => {
    using loaded = sender(130, ring)
    const first = new RingBuffer(loaded.maps[1])
    expect(() => new RingBuffer(loaded.maps[1])).toThrow(expect.objectContaining({ code: 'ring.taken' }))
    first.close()
    new RingBuffer(loaded.maps[1]).close()
  })

  bpfTest('what a reader who left had not taken is there for the next one', async () => {
    using loaded = sender(130, ring)
    using events = new RingBuffer(loaded.maps[1], Record)
    run(loaded, 10)
    const seen: bigint[] = []
    for await (const { number } of events) if (seen.push(number) === 3) break
    seen.push(...events.drain().map(({ number }) => number))
    expect(seen).toEqual(Array.from({ length: 10 }, (_, i) => BigInt(i)))
  })

  bpfTest('events without end leave timers and an abort signal their turn', async () => {
    using loaded = sender(130, ring)
    using events = new RingBuffer(loaded.maps[1], Record)
    using perf = sender(25, { type: MAP_TYPES.perf_event_array, maxEntries: onlineCpus().length, size: 4 })
    using buffer = new PerfBuffer(perf.maps[1], { layout: Record })
    for (const [source, from] of [
      [events, loaded],
      [buffer, perf],
    ] as const) {
      let turns = 0
      const timer = setInterval(() => turns++, 5)
      run(from, 1)
      let count = 0
      for await (const _ of source.events({ signal: AbortSignal.timeout(200) })) {
        if (++count > 5_000_000) expect.unreachable()
        run(from, 2)
      }
      clearInterval(timer)
      expect([count > 10, turns > 3]).toEqual([true, true])
    }
  })

  bpfTest('fifty rings wait on one thread, and the event loop goes on', async () => {
    const programs = Array.from({ length: 50 }, () => sender(130, { ...ring, maxEntries: 4096 }))
    const rings = programs.map(({ maps }) => new RingBuffer(maps[1], Record))
    const counts = rings.map(all)
    const threads = (): number => readdirSync('/proc/self/task').length
    await rest()
    const before = threads()
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    for (let round = 0; round < 10; round++) {
      for (const loaded of programs) run(loaded, 3)
      await rest(5)
    }
    clearInterval(timer)
    while (rings.some(({ pending }) => pending > 0)) await rest(5)
    await rest()
    for (const events of rings) events.close()
    expect(await Promise.all(counts)).toEqual(programs.map(() => 30))
    expect(turns).toBeGreaterThan(9)
    expect(threads()).toBeLessThanOrEqual(before)
    for (const loaded of programs) loaded.close()
  })

  bpfTest('a user ring refuses a record when it is full', () => {
    using map = createRawMap(realSys(), {
      name: 'user',
      type: MAP_TYPES.user_ringbuf,
      keySize: 0,
      valueSize: 0,
      maxEntries: 4096,
      flags: 0,
    })
    using events = new UserRingBuffer(map)
    let written = 0
    while (events.push(new Uint8Array(24))) written++
    expect(written).toBe(128)
    expect(() => events.push(new Uint8Array(8192))).toThrow(/never fits/)
    expect(() => events.push('text' as never)).toThrow(/Uint8Array/)
    events.close()
    expect(() => events.push(new Uint8Array(24))).toThrow(/is closed/)
  })
})

describe('perf buffers', () => {
  const array = { type: MAP_TYPES.perf_event_array, maxEntries: onlineCpus().length + 4, size: 4 }

  bpfTest('events arrive decoded; what does not fit is counted as lost', () => {
    using loaded = sender(25, array)
    using buffer = new PerfBuffer(loaded.maps[1], { layout: Record, pages: 1 })
    run(loaded, 10)
    const events = buffer.drain()
    expect(events.map((row) => ('event' in row ? row.event.number : row.lost))).toEqual(
      Array.from({ length: 10 }, (_, i) => BigInt(i)),
    )
    run(loaded, 1000)
    const missing = buffer.lost
    const kept = buffer.drain().length
    run(loaded, 1)
    const rest = buffer.drain()
    expect(kept + buffer.lost + rest.filter((row) => 'event' in row).length).toBe(1001)
    expect(buffer.lost).toBeGreaterThan(0)
    // Known before the next event finds room and the record of the loss comes.
    expect(missing).toBe(buffer.lost)
    buffer.close()
    expect(buffer.lost).toBe(missing)
  })

  bpfTest('wrong sizes, CPUs and places are errors that leave nothing behind', () => {
    using loaded = sender(25, array)
    const [, map] = loaded.maps
    const open = (): number => readdirSync('/proc/self/fd').length
    new PerfBuffer(map, { pages: 1 }).close()
    const before = open()
    for (const pages of [0, 3, 0.5, -1, Number.NaN])
      expect(() => new PerfBuffer(map, { pages })).toThrow(expect.objectContaining({ code: 'perf.pages' }))
    expect(() => new PerfBuffer(map, { places: [] })).toThrow(expect.objectContaining({ code: 'perf.places' }))
    expect(() => new PerfBuffer(map, { pages: 2 ** 30 })).toThrow(expect.objectContaining({ code: 'sys.mmap' }))
    expect(() => new PerfBuffer(map, { places: [{ cpu: 9999, index: 0 }] })).toThrow(/perf_event_open/)
    expect(() => new PerfBuffer(map, { places: [{ cpu: 0, index: 9999 }] })).toThrow(/E2BIG/)
    expect(open()).toBe(before)
  })

  bpfTest('what a reader who left had not taken is there for the next one', async () => {
    using loaded = sender(25, array)
    using buffer = new PerfBuffer(loaded.maps[1], { layout: Record })
    run(loaded, 10)
    const seen: bigint[] = []
    for await (const row of buffer) if ('event' in row && seen.push(row.event.number) === 3) break
    for (const row of buffer.drain()) if ('event' in row) seen.push(row.event.number)
    expect(seen).toEqual(Array.from({ length: 10 }, (_, i) => BigInt(i)))
  })

  bpfTest('waits for events and ends on close', async () => {
    using loaded = sender(25, array)
    const buffer = new PerfBuffer(loaded.maps[1], { layout: Record })
    setTimeout(() => run(loaded, 1), 30)
    for await (const row of buffer) {
      expect(row).toMatchObject({ event: { number: 0n } })
      break
    }
    setTimeout(() => buffer.close(), 30)
    for await (const _ of buffer) expect.unreachable()
  })
})

test('a trace_pipe that cannot be read says why', async () => {
  const folder = mkdtempSync(`${tmpdir()}/typebpf-trace-`)
  mkdirSync(`${folder}/events`)
  const first = () => tracePipe({ tracefs: folder }).next()
  await expect(first()).rejects.toMatchObject({ code: 'sys.enoent', errno: 2 })
  writeFileSync(`${folder}/tracing_on`, '0\n')
  await expect(first()).rejects.toMatchObject({
    code: 'sys.tracing-off',
    details: [expect.stringContaining(`echo 1 > ${folder}/tracing_on`)],
  })
  rmSync(folder, { recursive: true })
})

test('lines of trace_pipe', () => {
  expect(parseTraceLine('           <...>-1234  [001] d..31  5678.901234: bpf_trace_printk: hello: world')).toEqual({
    task: '<...>',
    pid: 1234,
    cpu: 1,
    timestamp: 5678.901234,
    message: 'hello: world',
  })
  expect(parseTraceLine('CPU:0 [LOST 12 EVENTS]')).toBeUndefined()
})

test('a compiled reader reads what the layout reads', () => {
  const Inner = struct('inner', { a: u8, b: i16, c: be32 })
  const All = struct('all', {
    __proto__x: u64,
    inner: Inner,
    flag: bool,
    big: i64,
    mac: bytes(6),
    list: array(u16, 3),
    tiny: i8,
  })
  const data = new Uint8Array(All.size).map((_, i) => i * 37)
  data[All.fields.find(({ name }) => name === 'flag')?.offset ?? 0] = 1
  const view = new DataView(data.buffer)
  expect(compileReader(All)(view, 0)).toEqual(All.read(view, 0, 'little'))
})
