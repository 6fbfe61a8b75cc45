// The kernel sides of the tools without a kernel: events come out as their contexts say, on any machine.
import { describe, expect, test } from 'vitest'
import * as biolatency from '../../programs/biolatency/biolatency.bpf.ts'
import * as execsnoop from '../../programs/execsnoop/execsnoop.bpf.ts'
import * as funclatency from '../../programs/funclatency/funclatency.bpf.ts'
import * as hello from '../../programs/hello/hello.bpf.ts'
import * as killsnoop from '../../programs/killsnoop/killsnoop.bpf.ts'
import * as memleak from '../../programs/memleak/memleak.bpf.ts'
import * as offcputime from '../../programs/offcputime/offcputime.bpf.ts'
import * as opensnoop from '../../programs/opensnoop/opensnoop.bpf.ts'
import * as profile from '../../programs/profile/profile.bpf.ts'
import * as runqlat from '../../programs/runqlat/runqlat.bpf.ts'
import * as syscount from '../../programs/syscount/syscount.bpf.ts'
import * as tcplife from '../../programs/tcplife/tcplife.bpf.ts'
import { type Js, layoutOf, type Type } from '../../src/builder/index.ts'
import { decode } from '../../src/layout/index.ts'
import { type Harness, type HarnessOptions, harness, type RunResult } from '../../src/progrun/index.ts'

const world = { backend: 'emulator', task: { pid: 42, tgid: 40, comm: 'tester', uid: 7 } } as const
const open = (module: object, options: HarnessOptions = {}): Promise<Harness> =>
  harness(module as Readonly<Record<string, unknown>>, { ...world, ...options })

/** A context of 64-bit words behind the 8 common bytes. */
function words(...values: readonly (number | bigint)[]): Uint8Array {
  const bytes = new Uint8Array(8 + 8 * values.length)
  const view = new DataView(bytes.buffer)
  values.forEach((value, i) => {
    view.setBigUint64(8 + 8 * i, BigInt.asUintN(64, BigInt(value)), true)
  })
  return bytes
}
/** The only record that a run sent. */
function sent<T extends Type>(run: RunResult, record: T): Js<T> {
  expect(run.events).toHaveLength(1)
  const layout = layoutOf(record)
  const bytes = new Uint8Array(layout.size)
  bytes.set(run.events[0].data)
  return decode(layout as never, bytes) as Js<T>
}
const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`)

test('hello prints the process', async () => {
  using t = await open(hello)
  expect(t.run(hello.hello, { ctx: words(59, 0, 0, 0, 0, 0, 0) }).printk).toEqual(['hello, world from pid 40'])
})

describe('opensnoop', () => {
  const memory = [{ address: 0x1000n, bytes: text('/etc/passwd') }]
  const enter = words(257, -100, 0x1000, 0o2000000, 0, 0, 0)

  test('joins entry and exit of a call', async () => {
    using t = await open(opensnoop, { memory })
    expect(t.run(opensnoop.enterOpenat, { ctx: enter }).events).toEqual([])
    const event = sent(t.run(opensnoop.exitOpenat, { ctx: words(257, 3) }), opensnoop.Open)
    expect(event).toMatchObject({
      pid: 40,
      tid: 42,
      uid: 7,
      comm: 'tester',
      result: 3,
      flags: 0o2000000,
      path: '/etc/passwd',
    })
    // once only
    expect(t.run(opensnoop.exitOpenat, { ctx: words(257, 3) }).events).toEqual([])
  })

  test.each([
    [{ only_pid: 41 }, 3, 0],
    [{ only_pid: 40 }, 3, 1],
    [{ only_uid: 0 }, 3, 0],
    [{ only_uid: 7 }, 3, 1],
    [{ only_flags: 1 }, 3, 0],
    [{ only_failed: true }, 3, 0],
    [{ only_failed: true }, -2, 1],
  ])('%j with result %d: %d events', async (globals, result, events) => {
    using t = await open(opensnoop, { memory, globals })
    t.run(opensnoop.enterOpenat, { ctx: enter })
    expect(t.run(opensnoop.exitOpenat, { ctx: words(257, result) }).events).toHaveLength(events)
  })
})

describe('execsnoop', () => {
  const argv = new Uint8Array(32)
  new DataView(argv.buffer).setBigUint64(0, 0x2000n, true)
  new DataView(argv.buffer).setBigUint64(8, 0x3000n, true)
  const memory = [
    { address: 0x1000n, bytes: argv },
    { address: 0x2000n, bytes: text('ls') },
    { address: 0x3000n, bytes: text('-l') },
  ]
  test('collects the arguments, and sends no more bytes than they have', async () => {
    using t = await open(execsnoop, { memory })
    t.run(execsnoop.enterExecve, { ctx: words(59, 0x2000, 0x1000, 0) })
    const run = t.run(execsnoop.exitExecve, { ctx: words(59, 0) })
    const event = sent(run, execsnoop.Exec)
    expect(event).toMatchObject({ pid: 40, uid: 7, result: 0, count: 2, size: 6, comm: 'tester' })
    expect(Buffer.from(event.arguments.subarray(0, 6)).toString()).toBe('ls\0-l\0')
    expect(run.events[0].data.length).toBeLessThan(80)
  })
  test('leaves failures out unless they are asked for', async () => {
    for (const [globals, events] of [
      [{}, 0],
      [{ only_failed: true }, 1],
    ] as const) {
      using t = await open(execsnoop, { memory, globals })
      t.run(execsnoop.enterExecve, { ctx: words(59, 0x2000, 0x1000, 0) })
      expect(t.run(execsnoop.exitExecve, { ctx: words(59, -2) }).events).toHaveLength(events)
    }
  })
})

test('killsnoop shows signal, target and result', async () => {
  using t = await open(killsnoop)
  t.run(killsnoop.enter, { ctx: words(62, 99, 9) })
  const event = sent(t.run(killsnoop.exit, { ctx: words(62, -3) }), killsnoop.Kill)
  expect(event).toMatchObject({ pid: 40, target: 99, signal: 9, result: -3, comm: 'tester' })
})

test('syscount adds up calls and time', async () => {
  using t = await open(syscount, { time: 1000n, globals: { only_latency: true } })
  for (let i = 0; i < 3; i++) {
    t.run(syscount.enter, { ctx: words(1) })
    t.emulator?.advance(500)
    t.run(syscount.exit, { ctx: words(1, 10) })
  }
  expect(t.map(syscount.rows).entries()).toEqual([[1, { calls: 3n, totalNs: 1500n, comm: '' }]])
})

test('biolatency counts a request in the slot of its time', async () => {
  using t = await open(biolatency, { time: 0n, globals: { only_perDisk: true } })
  const ctx = new Uint8Array(32)
  new DataView(ctx.buffer).setUint32(8, 0x80_0010, true)
  new DataView(ctx.buffer).setBigUint64(16, 4096n, true)
  t.run(biolatency.issue, { ctx })
  t.emulator?.advance(100_000)
  t.run(biolatency.complete, { ctx })
  // a completion without a beginning counts nothing
  t.run(biolatency.complete, { ctx })
  const [[disk, counts]] = t.map(biolatency.latencies).entries()
  expect(disk).toBe(0x80_0010)
  const buckets = biolatency.latencies.decode(counts)
  expect(buckets).toEqual([{ min: 64n, max: 127n, count: 1n }])
})

describe('runqlat', () => {
  test('is the time between ready and running', async () => {
    // pid, tgid and state of two tasks at offsets that the unlinked program has
    const task = new Uint8Array(64)
    new DataView(task.buffer).setUint32(0, 42, true)
    new DataView(task.buffer).setUint32(4, 40, true)
    const memory = [
      { address: 0x10_0000n, bytes: task },
      { address: 0x20_0000n, bytes: new Uint8Array(64) },
    ]
    using t = await open(runqlat, { memory, time: 0n })
    t.run(runqlat.wakeup, { args: [0x10_0000n] })
    t.emulator?.advance(3_000)
    t.run(runqlat.switched, { args: [0n, 0x20_0000n, 0x10_0000n, 1n] })
    const [[key, counts]] = t.map(runqlat.latencies).entries()
    expect(key).toBe(0)
    expect(runqlat.latencies.decode(counts)).toEqual([{ min: 2n, max: 3n, count: 1n }])
  })
})

describe('tcplife', () => {
  function change(to: number, ports: readonly [number, number]): Uint8Array {
    const ctx = new Uint8Array(72)
    const view = new DataView(ctx.buffer)
    view.setBigUint64(8, 0x5000n, true)
    view.setUint32(20, to, true)
    view.setUint16(24, ports[0], true)
    view.setUint16(26, ports[1], true)
    view.setUint16(28, 2, true)
    view.setUint16(30, 6, true)
    ctx.set([127, 0, 0, 1], 32)
    ctx.set([10, 0, 0, 9], 36)
    return ctx
  }
  test('a life goes from the connection to the close, in the name of who began it', async () => {
    using t = await open(tcplife, { time: 5000n, memory: [{ address: 0x5000n, bytes: new Uint8Array(64) }] })
    t.run(tcplife.setState, { ctx: change(2, [1234, 80]) })
    t.run(tcplife.setState, { ctx: change(1, [1234, 80]) })
    t.emulator?.advance(7000)
    const event = sent(t.run(tcplife.setState, { ctx: change(7, [1234, 80]) }), tcplife.Life)
    expect(event).toMatchObject({ pid: 40, comm: 'tester', family: 2, localPort: 1234, remotePort: 80, spanNs: 7000n })
    expect([...event.local4, ...event.remote4]).toEqual([127, 0, 0, 1, 10, 0, 0, 9])
    // gone with its socket
    expect(t.run(tcplife.setState, { ctx: change(7, [1234, 80]) }).events).toEqual([])
  })
  test('another port is not looked at', async () => {
    using t = await open(tcplife, { globals: { only_remotePort: 443 } })
    t.run(tcplife.setState, { ctx: change(1, [1234, 80]) })
    expect(t.run(tcplife.setState, { ctx: change(7, [1234, 80]) }).events).toEqual([])
  })
})

test('offcputime adds a thread\u2019s time away to the stack that left', async () => {
  using t = await open(offcputime, { time: 0n, helpers: { get_stackid: 5n } })
  const change = (previous: number, next: number): Uint8Array => {
    const ctx = new Uint8Array(64)
    new DataView(ctx.buffer).setUint32(24, previous, true)
    new DataView(ctx.buffer).setUint32(56, next, true)
    return ctx
  }
  t.run(offcputime.switched, { ctx: change(42, 0) })
  t.emulator?.advance(2_000_000)
  t.run(offcputime.switched, { ctx: change(0, 42) })
  expect(t.map(offcputime.times).entries()).toEqual([[{ pid: 40, user: 5, kernel: 5, comm: 'tester' }, 2000n]])
})

test('profile counts samples by stack', async () => {
  using t = await open(profile, { helpers: { get_stackid: 9n }, globals: { only_kernel: true } })
  for (let i = 0; i < 3; i++) t.run(profile.sample, {})
  expect(t.map(profile.samples).entries()).toEqual([[{ pid: 40, user: -1, kernel: 9, comm: 'tester' }, 3]])
})

test('funclatency times the outermost of calls within calls', async () => {
  using t = await open(funclatency, { time: 0n })
  t.run(funclatency.enter.name, {})
  t.emulator?.advance(10)
  t.run(funclatency.enter.name, {})
  t.emulator?.advance(10)
  t.run(funclatency.leave.name, {})
  t.emulator?.advance(80)
  t.run(funclatency.leave.name, {})
  expect(t.map(funclatency.totals).get(0)).toEqual({ calls: 1n, ns: 100n })
})

test('memleak keeps what was not freed', async () => {
  using t = await open(memleak, { helpers: { get_stackid: 3n } })
  const registers = (offset: number, value: number): Uint8Array => {
    const bytes = new Uint8Array(168)
    new DataView(bytes.buffer).setBigUint64(offset, BigInt(value), true)
    return bytes
  }
  // x86-64: the first argument is at 112 (rdi), the result at 80 (rax)
  for (const [size, address] of [
    [100, 0x7000],
    [50, 0x8000],
  ]) {
    t.run(memleak.malloc.name, { ctx: registers(112, size) })
    t.run(memleak.allocated.name, { ctx: registers(80, address) })
  }
  t.run(memleak.free.name, { ctx: registers(112, 0x7000) })
  expect(t.map(memleak.allocations).entries()).toEqual([[0x8000n, expect.objectContaining({ size: 50n, stack: 3 })]])
})
