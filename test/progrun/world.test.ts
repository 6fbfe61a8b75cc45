import { describe, expect, test } from 'vitest'
import { eth, FaultError, harness, ipv4, packet, tcp } from '../../src/progrun/index.ts'
import { type Case, imageOf } from './cases.ts'

const program = (name: string, text: string, more: Partial<Case> = {}) =>
  imageOf({ name, type: 'xdp', text, runs: [], ...more })
const segment = packet(eth(), ipv4(), tcp())

describe("the emulator's world", () => {
  test('time is what the test says, and moves when it says so', async () => {
    const image = program('clock', 'call bpf_ktime_get_ns\n exit')
    using t = await harness(image, { backend: 'emulator', time: 1000n })
    expect(t.run('clock', { packet: segment }).returnValue).toBe(1000)
    t.emulator?.advance(500)
    expect(t.run('clock', { packet: segment }).returnValue).toBe(1500)
  })

  test('random numbers repeat with their seed', async () => {
    const image = program('dice', 'call bpf_get_prandom_u32\n exit')
    const roll = async (random: number): Promise<number[]> => {
      using t = await harness(image, { backend: 'emulator', random })
      return [1, 2, 3].map(() => t.run('dice', { packet: segment }).returnValue)
    }
    expect(await roll(7)).toEqual(await roll(7))
    expect(await roll(7)).not.toEqual(await roll(8))
  })

  test('a helper can be made to fail', async () => {
    const image = program(
      'writer',
      `
  *(u64 *)(r10 - 16) = 0
  r1 = map[state]
  r2 = r10
  r2 += -16
  r3 = r10
  r3 += -8
  *(u64 *)(r10 - 8) = 1
  r4 = 0
  call bpf_map_update_elem
  exit`,
      {
        maps: [{ name: 'state', type: 1, keySize: 8, valueSize: 8, maxEntries: 4, flags: 0 }],
      },
    )
    using fine = await harness(image, { backend: 'emulator' })
    expect(fine.run('writer', { packet: segment }).returnValue).toBe(0)
    using full = await harness(image, { backend: 'emulator', helpers: { map_update_elem: -7n } })
    expect(full.run('writer', { packet: segment }).returnValue).toBe(-7)
    expect(full.emulator?.calls('map_update_elem')).toBe(1)
    expect(full.map('state').size).toBe(0)
  })

  test('the task is the one that the test chose', async () => {
    const image = program('who', 'call bpf_get_current_pid_tgid\n exit', { type: 'kprobe' })
    using t = await harness(image, { backend: 'emulator', task: { pid: 77, tgid: 70 } })
    expect(t.run('who', {}).returnValue).toBe(77)
  })

  test('a fault names its source line', async () => {
    const image = program('careless', 'r2 = *(u32 *)(r1 + 0)\n r0 = *(u8 *)(r2 + 400)\n exit')
    using t = await harness(image, { backend: 'emulator' })
    expect(() => t.run('careless', { packet: segment })).toThrow(FaultError)
    expect(() => t.run('careless', { packet: segment })).toThrow(
      /^careless: out of bounds.*\(emulator, <text>:2:\d+\)$/,
    )
  })

  test('maps take entries before the first run and refuse what does not fit', async () => {
    const maps = [{ name: 'state', type: 1, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0 }]
    const image = program(
      'reader',
      `
  *(u32 *)(r10 - 4) = 5
  r1 = map[state]
  r2 = r10
  r2 += -4
  call bpf_map_lookup_elem
  if r0 == 0 goto out
  r0 = *(u64 *)(r0 + 0)
out:
  exit`,
      { maps },
    )
    using t = await harness(image, { maps: { state: [[5, 9n]] } })
    expect(t.run('reader', { packet: segment }).returnValue).toBe(9)
    expect(t.map('state').entries()).toEqual([[5, 9n]])
    expect(() => t.map('state').set(6, 1n)).toThrow(/state/)
    expect(() => t.map('state').set('six' as never, 1n)).toThrow(/six/)
    expect(t.map('state').delete(5)).toBe(true)
    expect(t.run('reader', { packet: segment }).returnValue).toBe(0)
  })
})
