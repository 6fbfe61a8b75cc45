/** Helpers and kfuncs of the emulator: tables by name, mocks in front of them, and tail calls. */
import { helperName } from '../../uapi/index.ts'
import { FaultSignal } from '../faults.ts'
import type { CallTable } from '../interpreter.ts'
import type { Machine } from '../machine.ts'
import type { LinkedProgram } from '../program.ts'
import { CHECKSUM_CALLS } from './checksum.ts'
import { DYNPTR_CALLS } from './dynptr-calls.ts'
import { MAP_CALLS, tailTarget } from './map-calls.ts'
import type { HelperArguments } from './mock.ts'
import { NETWORK_CALLS } from './network-calls.ts'
import { loadPacket } from './packet-load.ts'
import { PROBE_CALLS } from './probe-calls.ts'
import { SKB_CALLS } from './skb-calls.ts'
import { SOCKET_CALLS } from './socket-calls.ts'
import { SYSCTL_CALLS } from './sysctl-calls.ts'
import { SYSTEM_CALLS } from './system-calls.ts'
import type { HelperFunction, HelperTable } from './table.ts'
import { TIMER_CALLS } from './timer-calls.ts'
import { TRACE_CALLS } from './trace-calls.ts'
import { TUNNEL_CALLS } from './tunnel-calls.ts'
import { XDP_CALLS } from './xdp-calls.ts'

export type { HelperArguments } from './mock.ts'
export type { HelperFunction, HelperTable } from './table.ts'

const BUILT_IN: HelperTable = {
  ...MAP_CALLS,
  ...SYSTEM_CALLS,
  ...PROBE_CALLS,
  ...CHECKSUM_CALLS,
  ...XDP_CALLS,
  ...SKB_CALLS,
  ...DYNPTR_CALLS,
  ...TIMER_CALLS,
  ...NETWORK_CALLS,
  ...SOCKET_CALLS,
  ...SYSCTL_CALLS,
  ...TRACE_CALLS,
  ...TUNNEL_CALLS,
}

/** Names of the helpers that the emulator implements itself, sorted. */
export function implementedHelpers(): string[] {
  return [...Object.keys(BUILT_IN), 'tail_call'].sort()
}

/** Helper numbers that a caller defines (the conformance protocol); they win over the kernel's. */
export type HelperOverrides = ReadonlyMap<number, HelperFunction>

export interface CallOptions {
  readonly overrides?: HelperOverrides
  /** The name of the kfunc that a call means. */
  readonly kfuncName: (program: LinkedProgram, slot: number) => string | undefined
  readonly kfuncs: HelperTable
}

export function createCalls(m: Machine, options: CallOptions): CallTable {
  const { environment } = m
  const answer = (value: number | bigint): void => {
    if (typeof value === 'bigint') m.set64(0, value)
    else m.set(0, value)
  }
  const run = (name: string, own: HelperFunction | undefined): void => {
    const times = environment.calls.get(name) ?? 0
    environment.calls.set(name, times + 1)
    const mock = environment.mocks.get(name)
    if (mock !== undefined) answer(mock(mockArguments(m, name, times, own)))
    else if (own === undefined) m.fail('unsupported', `the emulator does not implement bpf_${name}; mock it`)
    else answer(own(m))
  }
  const tailCall = (): boolean => {
    const times = environment.calls.get('tail_call') ?? 0
    environment.calls.set('tail_call', times + 1)
    const mock = environment.mocks.get('tail_call')
    if (mock !== undefined) {
      answer(mock(mockArguments(m, 'tail_call', times, undefined)))
      return false
    }
    const target = tailTarget(m)
    if (target === undefined) {
      answer(-22)
      return false
    }
    const { program, pc, frame } = m
    m.invoke(m.programs[target], 0)
    m.program = program
    m.pc = pc
    m.frame = frame
    return true
  }
  return {
    helper(number) {
      const override = options.overrides?.get(number)
      if (override !== undefined) {
        answer(override(m))
        return false
      }
      const name = helperName(number)
      if (name === undefined || number === 0) return m.fail('invalid-argument', `there is no helper ${number}`)
      if (name === 'tail_call') return tailCall()
      run(name, Object.hasOwn(BUILT_IN, name) ? BUILT_IN[name] : undefined)
      return false
    },
    kfunc(program, slot) {
      const name = options.kfuncName(program, slot)
      if (name === undefined)
        return m.fail('unsupported', `kfunc with BTF id ${program.code.imm[slot]}: its name is not known`)
      const short = name.replace(/^bpf_/, '')
      run(short, Object.hasOwn(options.kfuncs, short) ? options.kfuncs[short] : undefined)
    },
    loadPacket: (program, slot) => loadPacket(m, program, slot),
  }
}

function mockArguments(m: Machine, name: string, times: number, own: HelperFunction | undefined): HelperArguments {
  const at = (address: bigint, size: number, write: boolean): number =>
    m.access(Number(BigInt.asUintN(32, address)), Number(BigInt.asIntN(32, address >> 32n)), size, write)
  return {
    name,
    args: [m.get64(1), m.get64(2), m.get64(3), m.get64(4), m.get64(5)],
    times,
    read: (address, size) => m.memory.u8.slice(at(address, size, false), at(address, size, false) + size),
    write: (address, bytes) => m.memory.u8.set(bytes, at(address, bytes.length, true)),
    original: () => {
      if (own === undefined) throw new FaultSignal(m.fault('unsupported', `the emulator has no bpf_${name} of its own`))
      const value = own(m)
      return typeof value === 'bigint' ? value : BigInt.asUintN(64, BigInt(value))
    },
  }
}
