import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { attachCgroup, attachTypeFeature, queryAttached, realSys } from '../../src/syscall/index.ts'
import { ATTACH_TYPES, type AttachType, type ProgramType } from '../../src/uapi/index.ts'
import { testWith, unmet } from '../requirements.ts'
import { enterOwnNamespace, type OwnNamespace } from './own-namespace.ts'
import { counter } from './programs.ts'

const bpfTest = testWith('bpf', 'program:ip')
const [INET, INET6, UNIX, STREAM, DATAGRAM] = [2, 10, 1, 1, 2]
let own: OwnNamespace | undefined
let cgroup = ''
let home = ''

beforeAll(() => {
  if (unmet('bpf', 'program:ip') !== undefined) return
  own = enterOwnNamespace()
  home = `${own.folder}/cgroup2${/^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/'}`
  cgroup = `${own.folder}/cgroup2/typebpf-hooks-${process.pid}`
  mkdirSync(cgroup)
  writeFileSync(`${cgroup}/cgroup.procs`, String(process.pid))
})
afterAll(() => {
  if (own === undefined) return
  writeFileSync(`${home}/cgroup.procs`, String(process.pid))
  rmdirSync(cgroup)
  own.close()
})

/** An address of a family: loopback and a port, or a name that needs no file. */
function address(family: number, port: number) {
  const bytes = new Uint8Array(family === INET ? 16 : family === INET6 ? 28 : 16)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, family, true)
  if (family === UNIX) bytes.set([0, 0x74, 0x62, port & 255, port >> 8], 2)
  else view.setUint16(2, port)
  if (family === INET) view.setUint32(4, 0x7f00_0001)
  if (family === INET6) bytes[23] = 1
  return bytes
}

const PORT = 7100
/** Everything that the hooks of sockets watch, once: two sockets of a family, from one to the other and back. */
function sockets(family: number): void {
  const sys = realSys()
  using room = sys.alloc(256)
  const at = (port: number): number => {
    const bytes = address(family, port)
    room.bytes.set(bytes)
    return bytes.length
  }
  const [one, two] = [0, 0].map(() => sys.call('socket', family, DATAGRAM, 0))
  const answers = [one, two]
  answers.push(sys.call('bind', one, room.address, at(PORT)))
  answers.push(sys.call('bind', two, room.address, at(PORT + 1)))
  const length = at(PORT)
  answers.push(sys.call('sendto', two, room.address + 128, 64, 0, room.address, length))
  room.view.setUint32(64, 32, true)
  answers.push(sys.call('recvfrom', one, room.address + 128, 64, 0, room.address, room.address + 64))
  answers.push(sys.call('connect', two, room.address, at(PORT)))
  for (const call of ['getsockname', 'getpeername'] as const) {
    room.view.setUint32(64, 32, true)
    answers.push(sys.call(call, two, room.address, room.address + 64))
  }
  room.view.setUint32(0, 1, true)
  room.view.setUint32(64, 4, true)
  answers.push(sys.call('setsockopt', one, 1, 2, room.address, 4))
  answers.push(sys.call('getsockopt', one, 1, 2, room.address, room.address + 64))
  for (const fd of [one, two]) sys.call('close', fd)
  expect(answers.filter((answer) => answer < 0)).toEqual([])
}

function stream(): void {
  const sys = realSys()
  using room = sys.alloc(32)
  room.bytes.set(address(INET, PORT + 9))
  const socket = sys.call('socket', INET, STREAM, 0)
  sys.call('connect', socket, room.address, 16)
  sys.call('close', socket)
}

const ipv4 = (): void => sockets(INET)
const ipv6 = (): void => sockets(INET6)
const unix = (): void => sockets(UNIX)

/** Each attach type, the program type that it takes, and what makes it run. */
const HOOKS: readonly (readonly [attach: AttachType, type: ProgramType, act: () => unknown])[] = [
  ['cgroup_inet_ingress', 'cgroup_skb', ipv4],
  ['cgroup_inet_egress', 'cgroup_skb', ipv4],
  ['cgroup_inet_sock_create', 'cgroup_sock', ipv4],
  ['cgroup_inet_sock_release', 'cgroup_sock', ipv4],
  ['cgroup_inet4_post_bind', 'cgroup_sock', ipv4],
  ['cgroup_inet6_post_bind', 'cgroup_sock', ipv6],
  ['cgroup_sock_ops', 'sock_ops', stream],
  ['cgroup_device', 'cgroup_device', () => readFileSync('/dev/null')],
  ['cgroup_sysctl', 'cgroup_sysctl', () => readFileSync('/proc/sys/kernel/ostype')],
  ['cgroup_getsockopt', 'cgroup_sockopt', ipv4],
  ['cgroup_setsockopt', 'cgroup_sockopt', ipv4],
  ...(['bind', 'connect', 'getpeername', 'getsockname'] as const).flatMap((what) => [
    [`cgroup_inet4_${what}`, 'cgroup_sock_addr', ipv4] as const,
    [`cgroup_inet6_${what}`, 'cgroup_sock_addr', ipv6] as const,
  ]),
  ...(['sendmsg', 'recvmsg'] as const).flatMap((what) => [
    [`cgroup_udp4_${what}`, 'cgroup_sock_addr', ipv4] as const,
    [`cgroup_udp6_${what}`, 'cgroup_sock_addr', ipv6] as const,
  ]),
  ...(['connect', 'sendmsg', 'recvmsg', 'getpeername', 'getsockname'] as const).map(
    (what) => [`cgroup_unix_${what}`, 'cgroup_sock_addr', unix] as const,
  ),
]

describe('cgroup hooks', () => {
  for (const [attach, type, act] of HOOKS)
    bpfTest(`${attach}: runs for this cgroup, is listed, leaves`, () => {
      const sys = realSys()
      expect(attachTypeFeature(sys, type, ATTACH_TYPES[attach])).toEqual({ answer: 'supported' })
      using program = counter(type, 1, { attach })
      const link = attachCgroup(program.program, { cgroup, type: attach })
      act()
      const runs = program.count()
      expect(runs).toBeGreaterThan(0n)
      const info = link.info()
      expect([info.typeName, info.raw.getUint32(24, true)]).toEqual(['cgroup', ATTACH_TYPES[attach]])
      link.close()
      act()
      expect(program.count()).toBe(runs)
    })

  bpfTest('every attach type of cgroups in the table is tested here', () => {
    const all = Object.keys(ATTACH_TYPES).filter((name) => name.startsWith('cgroup_'))
    expect(HOOKS.map(([name]) => name as string).sort()).toEqual(all.sort())
  })

  bpfTest('programs of one place run in the order of their anchors', () => {
    using first = counter('cgroup_sock', 1, { attach: 'cgroup_inet_sock_create' })
    using second = counter('cgroup_sock', 1, { attach: 'cgroup_inet_sock_create' })
    using last = attachCgroup(first.program, { cgroup, type: 'cgroup_inet_sock_create' })
    using earlier = attachCgroup(second.program, { cgroup, type: 'cgroup_inet_sock_create', before: last })
    const folder = realSys()
    using path = folder.alloc(cgroup.length + 1)
    path.bytes.set(new TextEncoder().encode(cgroup))
    const fd = folder.call('openat', -100, path.address, 0, 0)
    const { programs } = queryAttached(folder, fd, ATTACH_TYPES.cgroup_inet_sock_create)
    folder.call('close', fd)
    expect(programs.map(({ programId }) => programId)).toEqual([earlier.info().programId, last.info().programId])
  })
})
