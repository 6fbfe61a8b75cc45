import { execFileSync, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import {
  attachNetns,
  attachSocketFilter,
  attachSockmap,
  attachTc,
  attachTrafficControl,
  attachXdp,
  createRawMap,
  interfaceIndex,
  queryAttached,
  type RawMap,
  realSys,
} from '../../src/syscall/index.ts'
import { ATTACH_TYPES, MAP_TYPES, type MapType } from '../../src/uapi/index.ts'
import { testWith, unmet } from '../requirements.ts'
import { enterOwnNamespace, type OwnNamespace, sendDatagrams } from './own-namespace.ts'
import { counter } from './programs.ts'

const bpfTest = testWith('bpf', 'program:ip', 'program:tc')
let own: OwnNamespace | undefined

beforeAll(() => {
  if (unmet('bpf', 'program:ip', 'program:tc') === undefined) own = enterOwnNamespace()
})
afterAll(() => own?.close())

const fdOf = (socket: object): number => {
  const { _handle } = socket as { _handle?: { fd: number } }
  if (_handle === undefined) throw new Error('a socket without a descriptor')
  return _handle.fd
}
const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer)
const tc = (...args: string[]): string => execFileSync('tc', args, { encoding: 'utf8' })

function sockets(type: MapType): RawMap {
  return createRawMap(realSys(), {
    name: 'sockets',
    type: MAP_TYPES[type],
    keySize: 4,
    valueSize: 4,
    maxEntries: 8,
    flags: 0,
  })
}

/** A connection over loopback, both ends in this process. */
async function connection(): Promise<{ client: Socket; server: Socket; close(): void }> {
  const listener = createServer()
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as { port: number }
  const client = connect(port, '127.0.0.1')
  const [server] = (await once(listener, 'connection')) as [Socket]
  if (client.connecting) await once(client, 'connect')
  return {
    client,
    server,
    close() {
      client.destroy()
      server.destroy()
      listener.close()
    },
  }
}

const receive = async (socket: Socket): Promise<string> => String(((await once(socket, 'data')) as [Buffer])[0])
const reach = async (count: () => bigint, least: bigint): Promise<void> => {
  for (let i = 0; i < 100 && count() < least; i++) await new Promise((resolve) => setTimeout(resolve, 10))
  expect(count()).toBeGreaterThanOrEqual(least)
}

describe('classic tc', () => {
  bpfTest('a filter runs, has the order it was given, and goes with its qdisc', () => {
    using first = counter('sched_cls', -1)
    using second = counter('sched_cls', 0)
    const later = attachTc(second.program, { interface: 'lo', direction: 'egress', priority: 20 })
    const earlier = attachTc(first.program, { interface: 'lo', direction: 'egress', priority: 10, name: 'first' })
    sendDatagrams(3)
    expect([first.count(), second.count()].every((count) => count >= 3n)).toBe(true)
    expect([earlier.priority, later.priority, earlier.handle]).toEqual([10, 20, 1])
    expect(tc('filter', 'show', 'dev', 'lo', 'egress')).toMatch(
      new RegExp(`pref 10 bpf.*\\n.*first direct-action not_in_hw id ${earlier.programId} `),
    )
    expect(() => earlier.info()).toThrow(/no link object/)
    expect(() => attachTc(first.program, { interface: 'lo', direction: 'egress', priority: 10, handle: 1 })).toThrow(
      /EEXIST.*\(Filter already exists\)/,
    )
    later.close()
    expect(tc('qdisc', 'show', 'dev', 'lo')).toContain('clsact')
    earlier.close()
    earlier.close()
    expect(tc('filter', 'show', 'dev', 'lo', 'egress')).toBe('')
    expect(tc('qdisc', 'show', 'dev', 'lo')).toContain('clsact')
  })

  bpfTest('leaves a qdisc that others use, and says what is wrong with a program', () => {
    tc('qdisc', 'add', 'dev', 'left', 'clsact')
    using classifier = counter('sched_cls', 0)
    attachTc(classifier.program, { interface: 'left', direction: 'ingress' }).close()
    expect(tc('qdisc', 'show', 'dev', 'left')).toContain('clsact')
    tc('qdisc', 'del', 'dev', 'left', 'clsact')
    using alone = attachTc(classifier.program, { interface: 'left', direction: 'ingress' })
    expect(tc('qdisc', 'show', 'dev', 'left')).toContain('clsact')
    alone.close()
    expect(tc('qdisc', 'show', 'dev', 'left')).not.toContain('clsact')
    using wrong = counter('xdp', 2)
    expect(() => attachTc(wrong.program, { interface: 'left', direction: 'ingress' })).toThrow(/EINVAL/)
    expect(tc('qdisc', 'show', 'dev', 'left')).not.toContain('clsact')
    using modern = attachTrafficControl(classifier.program, { interface: 'left', direction: 'ingress' })
    expect(modern.info().typeName).toBe('tcx')
  })

  for (const end of ['process.exit(0)', 'throw new Error("nobody catches this")', 'SIGINT', 'SIGTERM'] as const)
    bpfTest(`is undone at the end of the process: ${end}`, async () => {
      const script = `
        import { attachTc } from ${JSON.stringify(new URL('../../src/syscall/index.ts', import.meta.url).href)}
        import { counter } from ${JSON.stringify(new URL('./programs.ts', import.meta.url).href)}
        const { program } = counter('sched_cls', 0)
        attachTc(program, { interface: 'right', direction: 'ingress' })
        console.log('attached')
        process.stdin.once('data', () => { ${end.startsWith('SIG') ? '' : end} })`
      const child = spawn(
        process.execPath,
        ['--conditions=typebpf-source', '--import', 'tsx', '--input-type=module', '-e', script],
        { stdio: ['pipe', 'pipe', 'ignore'] },
      )
      await once(child.stdout, 'data')
      expect(tc('filter', 'show', 'dev', 'right', 'ingress')).toContain('direct-action')
      if (end.startsWith('SIG')) child.kill(end as NodeJS.Signals)
      else child.stdin.end('go\n')
      const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
      expect(signal ?? code).toBe(end.startsWith('SIG') ? end : end.startsWith('throw') ? 1 : 0)
      expect(tc('qdisc', 'show', 'dev', 'right')).not.toContain('clsact')
    })
})

describe('sockets', () => {
  bpfTest('a socket filter drops what it returns 0 for', async () => {
    const socket = createSocket('udp4')
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    const { port } = socket.address()
    let received = 0
    socket.on('message', () => received++)
    using drop = counter('socket_filter', 0)
    const filter = attachSocketFilter(drop.program, fdOf(socket))
    sendDatagrams(3, port)
    expect(drop.count()).toBe(3n)
    filter.close()
    filter.close()
    sendDatagrams(2, port)
    for (let i = 0; i < 50 && received < 2; i++) await new Promise((resolve) => setTimeout(resolve, 10))
    expect([received, drop.count()]).toEqual([2, 3n])
    socket.close()
    using other = counter('xdp', 2)
    expect(() => attachSocketFilter(other.program, 0)).toThrow(/setsockopt/)
  })

  bpfTest('a reuseport program chooses among the sockets of a port', async () => {
    const sys = realSys()
    using one = sys.alloc(4)
    one.view.setUint32(0, 1, true)
    using address = sys.alloc(16)
    address.view.setUint16(0, 2, true)
    address.view.setUint16(2, 7777)
    address.view.setUint32(4, 0x7f000001)
    const fds = [0, 1].map(() => {
      const fd = sys.call('socket', 2, 2, 0)
      expect(sys.call('setsockopt', fd, 1, 15, one.address, 4)).toBe(0)
      expect(sys.call('bind', fd, address.address, 16)).toBe(0)
      return fd
    })
    try {
      using choose = counter('socket_filter', 1)
      using attached = attachSocketFilter(choose.program, fds[0], { reuseport: true })
      sendDatagrams(6, 7777)
      expect(choose.count()).toBe(6n)
      using room = sys.alloc(128)
      const waiting = fds.map((fd) => {
        let count = 0
        while (sys.call('recvfrom', fd, room.address, 128, 0x40, 0, 0) > 0) count++
        return count
      })
      expect(waiting).toEqual([0, 6])
      attached.close()
    } finally {
      for (const fd of fds) sys.call('close', fd)
    }
  })

  bpfTest('sk_lookup sends connections to nobody when it drops', () => {
    using drop = counter('sk_lookup', 0, { attach: 'sk_lookup' })
    using _ = attachNetns(drop.program, { type: 'sk_lookup' })
    sendDatagrams(4, 5555)
    expect(drop.count()).toBeGreaterThanOrEqual(4n)
  })
})

describe('sockmaps', () => {
  bpfTest('a message verdict sees what a socket of the map sends', async () => {
    using verdict = counter('sk_msg', 1, { attach: 'sk_msg_verdict' })
    using map = sockets('sockmap')
    const link = attachSockmap(verdict.program, { map, type: 'sk_msg_verdict' })
    const pair = await connection()
    try {
      map.update(u32(0), u32(fdOf(pair.client)))
      pair.client.write('hello')
      expect(await receive(pair.server)).toBe('hello')
      expect(verdict.count()).toBe(1n)
      link.close()
      // A socket keeps the program that it met in the map as long as it is in it.
      expect(map.delete(u32(0))).toBe(true)
      map.update(u32(1), u32(fdOf(pair.client)))
      pair.client.write('again')
      expect(await receive(pair.server)).toBe('again')
      expect(verdict.count()).toBe(1n)
    } finally {
      pair.close()
    }
  })

  bpfTest('a stream verdict of a sockhash sees what a socket receives', async () => {
    using verdict = counter('sk_skb', 1, { attach: 'sk_skb_verdict' })
    using map = sockets('sockhash')
    using link = attachSockmap(verdict.program, { map, type: 'sk_skb_verdict' })
    expect(link.info().typeName).toBe('sockmap')
    const pair = await connection()
    try {
      map.update(u32(42), u32(fdOf(pair.server)))
      pair.client.write('to the map')
      expect(await receive(pair.server)).toBe('to the map')
      await reach(verdict.count, 1n)
      expect(() => map.update(u32(43), u32(map.fd))).toThrow(/ENOTSOCK/)
      const { programs } = queryAttached(realSys(), map.fd, ATTACH_TYPES.sk_skb_verdict)
      expect(programs.map(({ programId }) => programId)).toEqual([link.info().programId])
    } finally {
      pair.close()
    }
  })
})

describe('XDP modes', () => {
  bpfTest('generic, native and no offload on a veth', () => {
    using program = counter('xdp', 2)
    for (const mode of ['generic', 'native'] as const) {
      using link = attachXdp(program.program, { interface: 'left', mode })
      const shown = execFileSync('ip', ['-d', 'link', 'show', 'left'], { encoding: 'utf8' })
      expect(shown).toContain(mode === 'generic' ? 'xdpgeneric qdisc' : ' xdp qdisc')
      expect(new DataView(link.info().raw.buffer).getUint32(16, true)).toBe(interfaceIndex(realSys(), 'left'))
    }
    expect(() => attachXdp(program.program, { interface: 'left', mode: 'offload' })).toThrow(/EINVAL|EOPNOTSUPP/)
  })
})
