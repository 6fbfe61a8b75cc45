import { describe, expect, test } from 'vitest'
import { assembleBytes } from '../../src/asm/index.ts'
import { createEmulator, readTracepointFormat, tracepointRecord } from '../../src/emulator/index.ts'
import type { MapSpec, ProgramImage } from '../../src/spec/index.ts'
import { helperNumber, PROGRAM_TYPES, type ProgramType } from '../../src/uapi/index.ts'
import { mapSpec } from './images.ts'

const ENGINES = ['interpreter', 'wasm'] as const
const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer)

/** `call NAME` stands for the helper's number, `map REGISTER` for a load of the map. */
function program(type: ProgramType, text: string, map?: MapSpec): ProgramImage {
  const relocations: { insn: number; map: number; kind: 'fd' }[] = []
  let slot = 0
  const lines = text
    .split(/[;\n]/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => {
      const wide = /^map (r\d)$/.exec(line)
      if (wide !== null) relocations.push({ insn: slot, map: 0, kind: 'fd' })
      const label = /:$/.test(line)
      const out =
        wide !== null
          ? `${wide[1]} = 0 ll`
          : line.replace(/^call ([a-z_]\w*)$/, (_, name: string) => `call ${helperNumber(name)}`)
      if (!label) slot += / ll$/.test(out) ? 2 : 1
      return out
    })
  return {
    name: 'test',
    type: PROGRAM_TYPES[type],
    expectedAttachType: 0,
    insns: assembleBytes(lines.join('\n')),
    license: 'GPL',
    flags: 0,
    maps: map === undefined ? [] : [map],
    relocations,
  }
}

for (const engine of ENGINES)
  describe(`calls and contexts (${engine})`, () => {
    const open = (type: ProgramType, text: string, map?: MapSpec) =>
      createEmulator(program(type, text, map), { engine, seed: 1 })

    test('texts end inside their memory or the call is out of bounds', () => {
      const compare =
        '*(u64 *)(r10 - 8) = 0x41414141\nr1 = 0x4141414141414141 ll\n*(u64 *)(r10 - 8) = r1\n*(u64 *)(r10 - 16) = r1\nr1 = r10\nr1 += -16\nr2 = 16\nr3 = r10\nr3 += -8\ncall strncmp\nexit'
      expect(open('xdp', compare).run({ packet: u32(0) }).fault?.code).toBe('out-of-bounds')
      const print =
        'r1 = 0x4141414141414141 ll\n*(u64 *)(r10 - 8) = r1\nr1 = r10\nr1 += -16\nr2 = 8\nr3 = r10\nr3 += -8\nr4 = 0\nr5 = 0\ncall snprintf\nexit'
      expect(open('xdp', print).run({ packet: u32(0) }).fault?.code).toBe('out-of-bounds')
    })

    test('what is not implemented is named when it is called, and can be mocked', () => {
      const image = program('sock_ops', 'call tcp_check_syncookie\nexit')
      expect(createEmulator(image, { engine }).run().fault).toMatchObject({
        code: 'unsupported',
        message: 'the emulator does not implement bpf_tcp_check_syncookie; mock it',
        insn: 0,
      })
      expect(createEmulator(image, { engine, mocks: { tcp_check_syncookie: 5 } }).run().r0).toBe(5n)
      const kfunc = program('xdp', 'call 1\nexit')
      kfunc.insns[1] = 0x20
      const named = { ...kfunc, kfuncs: new Map([[0, 'bpf_cpumask_create']]) }
      expect(createEmulator(named, { engine }).run().fault?.message).toMatch(/does not implement bpf_cpumask_create/)
      expect(createEmulator(kfunc, { engine }).run().fault?.message).toMatch(/BTF id 1: its name is not known/)
    })

    test('failures by script: a full map, a full ring, memory that cannot be read, the second call only', () => {
      const update = '*(u64 *)(r10 - 8) = 0\nmap r1\nr2 = r10\nr2 += -8\nr3 = r2\nr4 = 0\ncall map_update_elem\nexit'
      const full = open('xdp', update, mapSpec('hash'))
      full.mock('bpf_map_update_elem', ({ times, original }) => (times === 1 ? -7 : original()))
      const answers = Array.from({ length: 3 }, () => BigInt.asIntN(64, full.run({ packet: u32(0) }).r0))
      expect(answers).toEqual([0n, -7n, 0n])
      const ring = mapSpec('ringbuf', { keySize: 0, valueSize: 0, maxEntries: 4096 })
      const reserve = open(
        'xdp',
        'map r1\nr2 = 8\nr3 = 0\ncall ringbuf_reserve\nif r0 != 0 goto +2\nr0 = 9\nexit\nr1 = r0\nr2 = 0\ncall ringbuf_submit\nr0 = 1\nexit',
        ring,
      )
      expect(reserve.run({ packet: u32(0) }).r0).toBe(1n)
      reserve.mock('ringbuf_reserve', 0)
      expect(reserve.run({ packet: u32(0) }).r0).toBe(9n)
      const read = open(
        'kprobe',
        '*(u64 *)(r10 - 8) = 5\nr1 = r10\nr1 += -8\nr2 = 8\nr3 = r1\ncall probe_read_kernel\nexit',
      )
      expect(read.run().r0).toBe(0n)
      read.mock('probe_read_kernel', -14n)
      expect(BigInt.asIntN(64, read.run().r0)).toBe(-14n)
    })

    test('dynptrs: a range that does not fit counts before bad flags; those of packets give slices, no data', () => {
      const memory =
        '*(u64 *)(r10 - 24) = 0\nr1 = r10\nr1 += -24\nr2 = 8\nr3 = 0\nr4 = r10\nr4 += -16\ncall dynptr_from_mem\nr1 = r10\nr1 += -16\n'
      const write = (offset: number): string =>
        `${memory}r2 = ${offset}\nr3 = r10\nr3 += -24\nr4 = 4\nr5 = 1\ncall dynptr_write\nexit`
      expect(BigInt.asIntN(64, open('xdp', write(5)).run({ packet: u32(0) }).r0)).toBe(-7n)
      expect(BigInt.asIntN(64, open('xdp', write(4)).run({ packet: u32(0) }).r0)).toBe(-22n)
      const data = `${memory}r2 = 0\nr3 = 8\ncall dynptr_data\nr1 = r10\nr1 += -24\nr0 -= r1\nexit`
      expect(open('xdp', data).run({ packet: u32(0) }).r0).toBe(0n)
      const image = program(
        'xdp',
        'r2 = 0\nr3 = r10\nr3 += -16\ncall 0\nr1 = r10\nr1 += -16\nr2 = 0\nr3 = 4\ncall dynptr_data\nexit',
      )
      image.insns[8 * 3 + 1] = 0x20
      const packet = createEmulator(image, { engine, kfuncName: () => 'bpf_dynptr_from_xdp' })
      expect(packet.run({ packet: new Uint8Array(20) })).toMatchObject({ r0: 0n, engine })
      expect(packet.calls('dynptr_from_xdp')).toBe(1)
    })

    test('sk_msg: the message behind 64-bit pointers, apply, cork, push, pop, redirect', () => {
      const first =
        'r2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r1 + 8)\nr4 = r2\nr4 += 2\nr0 = 0\nif r4 > r3 goto +1\nr0 = *(u8 *)(r2 + 1)\nexit'
      expect(open('sk_msg', first).run({ packet: Uint8Array.of(5, 77) })).toMatchObject({ retval: 77, engine })
      expect(open('sk_msg', first).run({ packet: Uint8Array.of(5) }).retval).toBe(0)
      const push = 'r2 = 1\nr3 = 2\nr4 = 0\nr6 = r1\ncall msg_push_data\nr0 = *(u32 *)(r6 + 68)\nexit'
      const pushed = open('sk_msg', push).run({ packet: Uint8Array.of(1, 2, 3) })
      expect([pushed.retval, pushed.packet]).toEqual([5, Uint8Array.of(1, 0, 0, 2, 3)])
      const pop = 'r2 = 0\nr3 = 2\nr4 = 0\ncall msg_pop_data\nexit'
      expect(open('sk_msg', pop).run({ packet: Uint8Array.of(1, 2, 3) }).packet).toEqual(Uint8Array.of(3))
      const redirect = 'map r2\nr3 = 3\nr4 = 0\ncall msg_redirect_map\nexit'
      const redirecting = open('sk_msg', redirect, mapSpec('sockmap', { valueSize: 4 }))
      expect(redirecting.run({ packet: u32(0) }).retval).toBe(0)
      redirecting.map('m').set(u32(3), u32(1))
      expect(redirecting.run({ packet: u32(0) })).toMatchObject({ retval: 1, redirect: { map: 'm', key: 3 } })
    })

    test('sk_reuseport: length, and a socket that is chosen by key', () => {
      const text =
        '*(u32 *)(r10 - 4) = 2\nr3 = r10\nr3 += -4\nmap r2\nr4 = 0\ncall sk_select_reuseport\nif r0 != 0 goto +1\nr0 = 1\nexit'
      const map = mapSpec('reuseport_sockarray', { valueSize: 8 })
      const emulator = open('sk_reuseport', text, map)
      expect(emulator.run({ packet: u32(0) }).r0).toBe(0xffff_ffff_ffff_fffen)
      expect(emulator.map('m').set(u32(2), new Uint8Array(8).fill(1))).toBe(0)
      expect(emulator.run({ packet: u32(0) })).toMatchObject({ retval: 1, redirect: { map: 'm', key: 2 } })
      expect(open('sk_reuseport', 'r0 = *(u32 *)(r1 + 16)\nexit').run({ packet: new Uint8Array(9) }).retval).toBe(9)
    })

    test('tunnel keys are given back as they were set', () => {
      const set =
        'r6 = r1\nr0 = 0\n*(u64 *)(r10 - 48) = 0\n*(u64 *)(r10 - 40) = 0\n*(u64 *)(r10 - 32) = 0\n*(u64 *)(r10 - 24) = 0\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\n*(u32 *)(r10 - 48) = 7\n*(u32 *)(r10 - 44) = 99\nr2 = r10\nr2 += -48\nr3 = 44\nr4 = 0\ncall skb_set_tunnel_key\nif r0 != 0 goto +8\n*(u32 *)(r10 - 44) = 0\nr1 = r6\nr2 = r10\nr2 += -48\nr3 = 44\nr4 = 0\ncall skb_get_tunnel_key\nr0 = *(u32 *)(r10 - 44)\nexit'
      expect(open('sched_cls', set).run({ packet: new Uint8Array(60) }).retval).toBe(99)
      const none = 'r2 = r10\nr2 += -48\nr3 = 44\nr4 = 0\ncall skb_get_tunnel_key\nexit'
      expect(open('sched_cls', none).run({ packet: new Uint8Array(60) }).r0).toBe(0xffff_ffff_ffff_ffean)
    })

    test('stacks that the test gives are stored and read', () => {
      const text = 'r6 = r1\nmap r2\nr3 = 0x100\ncall get_stackid\nexit'
      const emulator = open('kprobe', text, mapSpec('stack_trace', { valueSize: 64, maxEntries: 16 }))
      expect(emulator.run().r0).toBe(0xffff_ffff_ffff_fff2n)
      emulator.environment.userStack = [0x1000n, 0x2000n]
      const { retval } = emulator.run()
      expect(retval).toBeLessThan(16)
      const [entry] = emulator.map('m').entries()
      expect(new BigUint64Array(entry.values[0].buffer.slice(0, 24))).toEqual(
        new BigUint64Array([0x1000n, 0x2000n, 0n]),
      )
    })

    test('a user ring is drained through the callback', () => {
      // the callback adds the first byte of each sample to the context
      const text = `
        *(u64 *)(r10 - 8) = 0
        map r1
        r2 = 5 ll
        r3 = r10
        r3 += -8
        r4 = 0
        call user_ringbuf_drain
        r0 = *(u64 *)(r10 - 8)
        exit
        r6 = r2
        r3 = r1
        r1 = r10
        r1 += -8
        r2 = 1
        r4 = 0
        r5 = 0
        call dynptr_read
        r0 = *(u8 *)(r10 - 8)
        r1 = *(u64 *)(r6 + 0)
        r1 += r0
        *(u64 *)(r6 + 0) = r1
        r0 = 0
        exit`
      const image = program('syscall', text, mapSpec('user_ringbuf', { keySize: 0, valueSize: 0, maxEntries: 4096 }))
      // a function's address: the loader's pseudo source, relative to the next slot
      const insns = image.insns.slice()
      const at = 3 * 8
      insns[at + 1] |= 4 << 4
      new DataView(insns.buffer).setInt32(at + 4, 11 - 4, true)
      const emulator = createEmulator({ ...image, insns }, { engine })
      for (const byte of [3, 4, 5]) emulator.map('m').set(new Uint8Array(0), Uint8Array.of(byte, 9))
      expect(emulator.run()).toMatchObject({ retval: 12 })
      expect(emulator.map('m').entries()).toEqual([])
    })

    test('arguments of traced functions, sequence files, sysctl values, exchanged pointers', () => {
      const argument =
        'r2 = 1\nr3 = r10\nr3 += -8\n*(u64 *)(r10 - 8) = 0\ncall get_func_arg\nr0 = *(u64 *)(r10 - 8)\nexit'
      const traced = open('tracing', argument)
      traced.environment.argumentCount = 2
      expect(traced.run({ ctx: { arg0: 5, arg1: 6 } }).retval).toBe(6)
      const write = '*(u32 *)(r10 - 4) = 0x6f6c6c65\nr2 = r10\nr2 += -4\nr3 = 4\ncall seq_write\nexit'
      expect(open('tracing', write).run().events).toEqual([
        { kind: 'seq', map: 'seq_file', data: new TextEncoder().encode('ello') },
      ])
      const sysctl = 'r2 = r10\nr2 += -16\nr3 = 16\nr4 = 1\ncall sysctl_get_name\nexit'
      expect(open('cgroup_sysctl', sysctl).run().retval).toBe('ip_forward'.length)
      const exchange =
        '*(u64 *)(r10 - 8) = 7\nr1 = r10\nr1 += -8\nr2 = 9\ncall kptr_xchg\nr1 = *(u64 *)(r10 - 8)\nr0 <<= 8\nr0 |= r1\nexit'
      expect(open('syscall', exchange).run().retval).toBe(0x709)
    })
  })

const FORMAT = `name: sched_process_exec
ID: 312
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;
\tfield:pid_t pid;\toffset:12;\tsize:4;\tsigned:1;
\tfield:char comm[16];\toffset:16;\tsize:16;\tsigned:0;

print fmt: "filename=%s pid=%d"`

test('tracepoint records from the text of the format file', () => {
  const fields = readTracepointFormat(FORMAT)
  expect(fields.map(({ name, offset, text, dynamic }) => [name, offset, text, dynamic])).toEqual([
    ['common_type', 0, false, false],
    ['common_flags', 2, false, false],
    ['common_pid', 4, false, false],
    ['filename', 8, true, true],
    ['pid', 12, false, false],
    ['comm', 16, true, false],
  ])
  const record = tracepointRecord(fields, { pid: -2, filename: '/bin/sh', comm: 'a name that is far too long' })
  expect(record.length).toBe(32 + 8)
  const view = new DataView(record.buffer)
  expect([view.getUint16(8, true), view.getUint16(10, true), view.getInt32(12, true)]).toEqual([32, 8, -2])
  expect(new TextDecoder().decode(record.subarray(16, 32))).toBe('a name that is \0')
  const pid = program('tracepoint', 'r0 = *(u32 *)(r1 + 12)\nexit')
  expect(createEmulator(pid).run({ ctx: record }).retval | 0).toBe(-2)
  expect(() => tracepointRecord(fields, { nobody: 1 })).toThrow(/no such field/)
  expect(() => tracepointRecord(fields, { pid: 2 ** 40 })).toThrow(/does not fit/)
  expect(() => readTracepointFormat('nothing')).toThrow(/no field/)
})
