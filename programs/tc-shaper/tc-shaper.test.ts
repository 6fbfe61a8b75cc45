import { spawnSync } from 'node:child_process'
import { queryAttached, realSys } from 'typebpf/kernel'
import { eth, type Harness, harness, ipv4, ipv6, type Layer, payload, udp } from 'typebpf/progrun'
import { collectObject, linkProgram } from 'typebpf/spec'
import { ATTACH_TYPES } from 'typebpf/uapi'
import { verify } from 'typebpf/verifier'
import { describe, expect, test } from 'vitest'
import { Netns, veth } from '../../test/programs/netns.ts'
import { startTool } from '../../test/programs/start-tool.ts'
import { testWith } from '../../test/requirements.ts'
import { parseRate, parseSize } from './index.ts'
import { limitOf, Shaper } from './shaper.ts'
import * as program from './tc-shaper.bpf.ts'

const MS = 1_000_000n
/** 1,000 bytes a millisecond, 4,000 at once. */
const LIMIT = limitOf({ rate: 8_000_000, burst: 4000 })
const open = (mode: { pace?: boolean; perHost?: boolean } = {}): Promise<Harness> =>
  harness(program, {
    backend: 'emulator',
    time: 1_000_000_000n,
    globals: {
      mode_pace: mode.pace ?? false,
      mode_perHost: mode.perHost ?? false,
      limit_costQ20: LIMIT.costQ20,
      limit_burstNs: LIMIT.burstNs,
    },
  })
/** A packet of 1,000 bytes. */
const to = (dst: string): Layer[] =>
  dst.includes(':')
    ? [eth(), ipv6({ dst }), udp(), payload(new Uint8Array(1000 - 62))]
    : [eth(), ipv4({ dst }), udp(), payload(new Uint8Array(1000 - 42))]
const send = (t: Harness, dst = '10.0.0.1') => t.run('tc_shaper', { packet: to(dst), ctx: {} })
const passed = (t: Harness, count: number, dst?: string): number =>
  Array.from({ length: count }, () => send(t, dst).verdict).filter((verdict) => verdict !== 'TC_ACT_SHOT').length

describe('tc_shaper', () => {
  test('lets the burst through, then as much as the rate allows', async () => {
    using t = await open()
    // a packet may begin while there is a token left: the burst and one more
    expect(passed(t, 20)).toBe(5)
    t.emulator?.advance(3n * MS)
    expect(passed(t, 20)).toBe(3)
    t.emulator?.advance(1000n * MS)
    expect(passed(t, 20)).toBe(5)
    const [[, bucket]] = t.map(program.buckets).entries() as [unknown, Record<string, bigint>][]
    expect(bucket).toMatchObject({ passed: 13n, passedBytes: 13_000n, dropped: 47n, droppedBytes: 47_000n })
  })

  test('keeps the rate over a long time, whatever the sizes', async () => {
    using t = await open()
    let bytes = 0
    for (let ms = 0; ms < 1000; ms++) {
      const size = 100 + ((ms * 7919) % 1300)
      for (let i = 0; i < 3; i++) {
        const layers = [eth(), ipv4(), udp(), payload(new Uint8Array(size - 42))]
        if (t.run('tc_shaper', { packet: layers }).verdict !== 'TC_ACT_SHOT') bytes += size
      }
      t.emulator?.advance(MS)
    }
    expect(Math.abs(bytes - 1_000_000)).toBeLessThan(4000 + 1400)
  })

  test('gives every remote address a bucket of its own', async () => {
    using t = await open({ perHost: true })
    expect([passed(t, 9, '10.0.0.1'), passed(t, 9, '10.0.0.2'), passed(t, 9, '2001:db8::1')]).toEqual([5, 5, 5])
    expect(t.map(program.buckets).size).toBe(3)
  })

  test('with pacing nothing is dropped before two seconds: packets get the time when they may leave', async () => {
    using t = await open({ pace: true })
    const times = Array.from({ length: 8 }, () => send(t).ctx as { tstamp: bigint }).map(({ tstamp }) => tstamp)
    expect(times).toEqual([0n, 0n, 0n, 0n, 0n, 1n, 2n, 3n].map((ms) => (ms === 0n ? 0n : 1_000_000_000n + ms * MS)))
    expect(passed(t, 3000)).toBe(2005 - 8)
  })

  test('the model accepts it', () => {
    const result = verify(linkProgram(collectObject(program, { name: 'tc-shaper' }), 'tc_shaper'))
    expect(result.verdict, result.message).toBe('accept')
  })
})

describe('rates and sizes', () => {
  test('are those of tc', () => {
    expect([parseRate('800kbit'), parseRate('1.5gbit'), parseRate('1000bit')]).toEqual([800_000, 1.5e9, 1000])
    expect([parseSize('15000'), parseSize('64k'), parseSize('1mb')]).toEqual([15_000, 65_536, 1_048_576])
    for (const text of ['10', '10mb', '-1mbit', 'mbit', '']) expect(() => parseRate(text)).toThrow(/is no rate/)
    for (const text of ['x', '1q', '-5']) expect(() => parseSize(text)).toThrow(/is no size/)
    expect(() => limitOf({ rate: 10 })).toThrow(/1 kbit to 1 tbit/)
  })
})

/** Sends packets of 1,000 bytes (with their headers) for so many milliseconds, paced to 20 Mbit/s. */
const FLOOD = `
const socket = require('dgram').createSocket('udp4')
const end = performance.now() + Number(process.argv[1])
let sent = 0
const start = performance.now()
const step = () => {
  if (performance.now() > end) return socket.close(() => console.log(sent, performance.now() - start))
  while (sent < (performance.now() - start) * 2.5) { sent++; socket.send(Buffer.alloc(958), 9, '10.9.0.2') }
  setTimeout(step, 1)
}
socket.bind(0, '10.9.0.1', step)`

describe('on the kernel', () => {
  testWith('bpf', 'program:ip')('a veth sends at the rate that was said', () => {
    using near = new Netns()
    using far = new Netns()
    const [end, other] = veth(near, 'near', far, 'far')
    near.ip('addr', 'add', '10.9.0.1/24', 'dev', end.name)
    near.ip('neigh', 'add', '10.9.0.2', 'lladdr', other.mac, 'dev', end.name)
    using shaper = near.run(() => new Shaper({ interface: end.name, rate: 4_000_000, burst: 10_000 }))
    const { stdout, stderr } = near.run(() => spawnSync(process.execPath, ['-e', FLOOD, '1500'], { encoding: 'utf8' }))
    const [sent, milliseconds] = stdout.split(' ').map(Number)
    const [all] = shaper.counts()
    expect(Number(all.packets + all.droppedPackets), stderr).toBe(sent)
    const allowed = 10_000 + milliseconds * 500
    expect(Number(all.bytes)).toBeLessThan(allowed * 1.02 + 1000)
    // a busy machine sends less than it should for a while, then the bucket is full for nothing
    expect(Number(all.bytes)).toBeGreaterThan(allowed * 0.6)
    const [, received] = /RX:.*\n\s*\d+\s+(\d+)/.exec(far.ip('-s', 'link', 'show', 'far')) ?? []
    expect(Number(received)).toBe(Number(all.packets))
  })

  testWith('bpf')('writes departure times that are as far apart as a packet costs', async () => {
    // a byte a millisecond, nothing at once
    const slow = limitOf({ rate: 8000, burst: 0 })
    using t = await harness(program, {
      backend: 'kernel',
      globals: { mode_pace: true, mode_perHost: false, limit_costQ20: slow.costQ20, limit_burstNs: slow.burstNs },
    })
    const run = () => t.run('tc_shaper', { packet: to('10.0.0.1'), ctx: {} })
    expect(run().verdict).toBe('TC_ACT_UNSPEC')
    const [second, third] = [run(), run()].map(({ ctx }) => (ctx as { tstamp: bigint }).tstamp)
    expect(third - second).toBe(1000n * MS)
  })

  testWith('bpf', 'program:ip')(
    'the tool prints its counters and detaches at Ctrl-C; wrong rates are said',
    async () => {
      using here = new Netns()
      const [end] = veth(here, 'va', here, 'vb')
      const wrong = await startTool(here, ['tc-shaper', 'va', 'fast']).end()
      expect(wrong).toMatchObject({ code: 2, err: expect.stringMatching(/"fast" is no rate/) })
      const tool = startTool(here, ['tc-shaper', end.name, '1mbit', '--per-host', '--interval', '1'])
      await tool.said(/Limiting va to 1mbit/)
      const { code, out } = await tool.interrupt()
      expect(code).toBe(0)
      expect(out).toMatch(/^TO +PACKETS +BYTES +DROPPED +BYTES$/m)
      const left = here.run(() => queryAttached(realSys(), end.ifindex, ATTACH_TYPES.tcx_egress))
      expect(left.programs).toEqual([])
    },
  )
})
