import { globals, map, struct, u32, u64, xdp, xdpDevmap } from 'typebpf'
import { describe, expect, test } from 'vitest'
import {
  assertCheck,
  checkMapState,
  DifferenceError,
  eth,
  harness,
  ipv4,
  kernelUnavailable,
  packet,
  tcp,
} from '../../src/progrun/index.ts'
import { testWith } from '../requirements.ts'

const segment = packet(eth(), ipv4(), tcp())
const LARGE = 65_536
const ports = map.array('ports', { value: u64, maxEntries: LARGE })
const perCpu = map.percpuArray('per_cpu', { value: u64, maxEntries: LARGE })
const Flow = struct('flow', { packets: u64, last: u32 })
const flows = map.hash('flows', { key: u32, value: Flow, maxEntries: 8 })
const state = globals('state', { total: u64, stamp: u64 })

const count = xdp('count', (b) => {
  ports.lookup(443).match((value) => value.atomicAdd(1))
  perCpu.lookup(444).match((value) => value.atomicAdd(1))
  flows.set(7, { packets: 3, last: 9 })
  state.total.set(state.total.add(1))
  state.stamp.set(b.ktimeNs())
  return b.PASS
})
const program = [count, ports, perCpu, flows, state]

describe('maps of a program under test', () => {
  testWith('bpf')('arrays of 65,536 elements cost a run milliseconds, not seconds', async () => {
    using t = await harness(program, { backend: 'both', ignoreGlobals: ['state_stamp'] })
    const started = performance.now()
    for (let i = 1; i <= 5; i++) {
      t.run(count, { packet: segment })
      expect(t.map(ports).get(443)).toBe(BigInt(i))
      expect(t.map(perCpu).get(444)).toBe(BigInt(i))
    }
    t.reset()
    expect(t.map(ports).get(443)).toBe(0n)
    // two maps of 65,536 elements: about 40 ms a run; element by element it took seconds, on a busy machine minutes
    expect(performance.now() - started).toBeLessThan(15_000)
  })

  testWith('bpf')('a difference far inside an array is found and named', async () => {
    using t = await harness(program, { backend: 'both', ignoreGlobals: ['state_stamp'] })
    t.run(count, { packet: segment })
    const index = t.images[0].maps.findIndex(({ name }) => name === 'per_cpu')
    const key = new Uint8Array(Uint32Array.of(65_000).buffer)
    t.kernel?.map(index).set(key, new Uint8Array(BigUint64Array.of(5n).buffer))
    expect(() => t.run(count, { packet: segment })).toThrow(/map per_cpu\[65000\]/)
    // it stays one until both are the same again
    expect(() => t.run(count, { packet: segment })).toThrow(DifferenceError)
    t.kernel?.map(index).set(key, new Uint8Array(8))
    expect(t.run(count, { packet: segment }).verdict).toBe('XDP_PASS')
  })

  testWith('bpf')('global variables are compared by name, those that may differ left out', async () => {
    using t = await harness(program, { backend: 'both' })
    const error = await Promise.resolve()
      .then(() => t.run(count, { packet: segment }))
      .catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(DifferenceError)
    expect((error as DifferenceError).differences.map(({ what }) => what)).toEqual(['global state_stamp'])
    expect((error as DifferenceError).details[0]).toMatch(/^global state_stamp: emulator \d+n, kernel \S+ \d+n$/)
  })

  test('expected entries: keys as bytes, numbers for 64 bits, of arrays only what is not zero', async () => {
    using t = await harness(program, { backend: 'emulator' })
    t.run(count, { packet: segment })
    assertCheck(checkMapState(t.map(flows), [[Uint8Array.of(7, 0, 0, 0) as never, { packets: 3n }]]))
    assertCheck(checkMapState(t.map(ports), [[443, 1 as never]], { exact: true }))
    expect(t.map(ports).toJSON()).toEqual({ 443: 1n })
    expect(t.global('state_total')).toBe(1n)
    expect(() => t.global('none')).toThrow(/no program uses a global variable none/)
    expect(t.mapState()).toMatchObject({ ports: { 443: 1n }, per_cpu: { 444: 1n } })
    const { pass, message } = checkMapState(t.map(flows), [[8, { packets: 1n }]])
    expect({ pass, message }).toEqual({
      pass: false,
      message: 'map flows is different:\n  [8]: (absent), expected { packets: 1n }\n  it has 7',
    })
  })

  test('programs of several can be chosen', async () => {
    const other = xdp('other', (b) => b.DROP)
    using t = await harness([count, other], { backend: 'emulator', programs: ['other'] })
    expect(t.images.map(({ name }) => name)).toEqual(['other'])
    await expect(harness([count, other], { backend: 'emulator', programs: ['none'] })).rejects.toThrow(/"none"/)
  })

  testWith('bpf')('kfuncs are found in the running kernel', async () => {
    const loop = xdp('loop', { target: '6.4' }, (b) => {
      b.range(5, { as: 'iterator' }, () => {
        state.total.set(state.total.add(1))
      })
      return b.PASS
    })
    using t = await harness([loop, state], { backend: 'both' })
    expect(t.images[0].kfuncs?.size).toBeGreaterThan(0)
    expect(t.run(loop, { packet: segment }).verdict).toBe('XDP_PASS')
    expect(t.global('state_total')).toBe(5n)
  })

  testWith('bpf')('an XDP program for a map of devices is explained before the kernel answers EINVAL', async () => {
    const entry = xdpDevmap('entry', (b) => b.PASS)
    expect(kernelUnavailable()).toEqual([])
    using t = await harness(entry, { backend: 'kernel' })
    expect(() => t.run(entry, { packet: segment })).toThrow(/takes no programs of a devmap or cpumap/)
  })
})
