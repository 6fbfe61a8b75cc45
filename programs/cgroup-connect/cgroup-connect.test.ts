import { createSocket } from 'node:dgram'
import { existsSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { layoutOf } from 'typebpf'
import { decode } from 'typebpf/layout'
import { harness } from 'typebpf/progrun'
import { collectObject, linkProgram } from 'typebpf/spec'
import { verify } from 'typebpf/verifier'
import { describe, expect, test } from 'vitest'
import { startTool } from '../../test/programs/start-tool.ts'
import { testWith } from '../../test/requirements.ts'
import * as program from './cgroup-connect.bpf.ts'
import { parseDestination, parseDestinations } from './rules.ts'

/** A port as the context has it: network order in the lower half of a u32. */
const port = (number: number): number => ((number & 255) << 8) | (number >> 8)
const be32 = (text: string): number => {
  const [a, b, c, d] = text.split('.').map(Number)
  return ((d << 24) | (c << 16) | (b << 8) | a) >>> 0
}
const open = (dryRun = false) =>
  harness(program, {
    backend: 'emulator',
    task: { comm: 'curl', pid: 77, tgid: 77, uid: 1000 },
    globals: { options_dryRun: dryRun },
    maps: {
      allowed4: [
        [{ prefixLength: 32 + 8, port: 0, address: 0x0a000000 }, 0n],
        [{ prefixLength: 64, port: 443 * 65_536, address: 0xc0000201 }, 0n],
      ],
      allowed6: [[{ prefixLength: 32 + 32, port: 0, address: { a: 0x20010db8, b: 0, c: 0, d: 0 } }, 0n]],
    },
  })
type T = Awaited<ReturnType<typeof open>>
const connect4 = (t: T, address: string, to: number) =>
  t.run(program.connect4, { ctx: { user_family: 2, user_ip4: be32(address), user_port: port(to), protocol: 6 } })
const connect6 = (t: T, words: readonly number[], to: number) =>
  t.run(program.connect6, {
    ctx: {
      user_family: 10,
      ...Object.fromEntries(words.map((word, i) => [`user_ip6_${i}`, word])),
      user_port: port(to),
      protocol: 6,
    },
  })

describe('the programs', () => {
  test('allow by prefix, and by port where a rule has one', async () => {
    using t = await open()
    expect(connect4(t, '10.1.2.3', 22).verdict).toBe('ALLOW')
    expect(connect4(t, '192.0.2.1', 443).verdict).toBe('ALLOW')
    expect(connect4(t, '192.0.2.1', 80).verdict).toBe('DENY')
    expect(connect4(t, '192.0.2.2', 443).verdict).toBe('DENY')
  })
  test('an IPv6 socket that connects to a mapped IPv4 address meets the IPv4 rules', async () => {
    using t = await open()
    const swapped = (word: number) =>
      ((word & 255) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)
    const words = (...all: number[]) => all.map((word) => swapped(word) >>> 0)
    expect(connect6(t, words(0x20010db8, 1, 2, 3), 22).verdict).toBe('ALLOW')
    expect(connect6(t, words(0x20010db9, 1, 2, 3), 22).verdict).toBe('DENY')
    expect(connect6(t, words(0, 0, 0xffff, 0x0a010203), 22).verdict).toBe('ALLOW')
    expect(connect6(t, words(0, 0, 0xffff, 0xc0000201), 80).verdict).toBe('DENY')
  })
  test('a refusal is reported with who, where to and how; a dry run lets it through', async () => {
    using t = await open(true)
    const result = connect4(t, '192.0.2.9', 8443)
    expect(result.verdict).toBe('ALLOW')
    expect(result.events.map(({ data }) => decode(layoutOf(program.Denied), data))).toEqual([
      { pid: 77, uid: 1000, comm: 'curl', address: { a: 0, b: 0, c: 0xffff, d: 0xc0000209 }, port: 8443, protocol: 6 },
    ])
  })
  test('the model accepts all four', () => {
    const object = collectObject(program, { name: 'cgroup-connect' })
    for (const { name } of object.programs) {
      const result = verify(linkProgram(object, name))
      expect(result.verdict, `${name}: ${result.message}`).toBe('accept')
    }
  })
})

describe('destinations', () => {
  test('are read in every form', () => {
    const forms = [
      '10.1.2.3/8',
      '192.0.2.1:443',
      '10.0.0.0/8:53',
      '2001:db8::/32',
      '[2001:db8::1]:443',
      '[2001:db8::]/32:443',
    ]
    expect(forms.map((text) => parseDestination(text).text)).toEqual([
      '10.0.0.0/8',
      '192.0.2.1:443',
      '10.0.0.0/8:53',
      '2001:db8::/32',
      '[2001:db8::1]:443',
      '[2001:db8::]/32:443',
    ])
  })
  for (const text of ['example.org', '10.0.0.1:0', '10.0.0.1:65536', '10.0.0.0/33', '[10.0.0.1', '', '::1::2'])
    test(`${JSON.stringify(text)} is refused`, () => {
      expect(() => parseDestination(text)).toThrow(/is no IPv4 or IPv6 address|a port is|a prefix ends/)
    })
  test('a file says the line', () => {
    expect(() => parseDestinations('127.0.0.1\n\n10.0.0.1 443\n', 'f')).toThrow(/f:3: "10.0.0.1 443"/)
  })
})

/** Connects by TCP and sends by UDP; prints what happened. */
const CLIENT = `
const [tcp, udp] = process.argv.slice(1).map(Number)
const connect = (host) => new Promise((done) => {
  const socket = require('net').connect(tcp, host)
  socket.on('connect', () => { socket.destroy(); done('connected') }).on('error', (error) => done(error.code))
})
const send = () => new Promise((done) => {
  const socket = require('dgram').createSocket('udp4')
  socket.send('x', udp, '127.0.0.1', (error) => { socket.close(); done(error?.code ?? 'sent') })
})
;(async () => console.log(await connect('127.0.0.1'), await connect('::ffff:127.0.0.1'), await send()))()`

describe('on the kernel', () => {
  testWith('bpf')(
    'a command reaches what is allowed and nothing else; its cgroup and the programs are gone afterwards',
    async () => {
      const server = createServer((socket) => socket.destroy())
      const datagrams = createSocket('udp4')
      await new Promise<void>((resolve) => server.listen(0, '::', resolve))
      await new Promise<void>((resolve) => datagrams.bind(0, '127.0.0.1', resolve))
      const ports = [(server.address() as { port: number }).port, datagrams.address().port]
      const client = ['--', process.execPath, '-e', CLIENT, ...ports.map(String)]
      try {
        const open = await startTool(undefined, ['cgroup-connect', '--allow', '127.0.0.0/8', ...client]).end()
        expect(open.out, open.err).toMatch(/^connected connected sent$/m)
        expect(open.out).toMatch(/^127\.0\.0\.0\/8 +3$/m)
        const one = await startTool(undefined, ['cgroup-connect', '--allow', `127.0.0.1:${ports[0]}`, ...client]).end()
        expect(one.out, one.err).toMatch(/^connected connected EPERM$/m)
        expect(one.out).toMatch(new RegExp(`^ *\\d+ +\\d+ +\\S+ +udp +127\\.0\\.0\\.1 +${ports[1]}$`, 'm'))
        const none = await startTool(undefined, ['cgroup-connect', '--json', '--allow', '2001:db8::1', ...client]).end()
        expect(none.out, none.err).toMatch(/^EPERM EPERM EPERM$/m)
        const refusals = none.out
          .split('\n')
          .filter((line) => line.includes('"protocol"'))
          .map((line) => JSON.parse(line))
        expect(refusals.map(({ protocol, address, port: to }) => [protocol, address, to])).toEqual([
          ['tcp', '127.0.0.1', ports[0]],
          ['tcp', '127.0.0.1', ports[0]],
          ['udp', '127.0.0.1', ports[1]],
        ])
        const dry = await startTool(undefined, ['cgroup-connect', '--dry-run', ...client]).end()
        expect(dry.out, dry.err).toMatch(/^connected connected sent$/m)
        const roots = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].filter((path) =>
          existsSync(`${path}/cgroup.controllers`),
        )
        for (const root of roots)
          expect(readdirSync(root).filter((name) => name.startsWith('cgroup-connect-'))).toEqual([])
      } finally {
        server.close()
        datagrams.close()
      }
    },
  )

  testWith('bpf')('Ctrl-C ends the command and prints the summary', async () => {
    const tool = startTool(undefined, [
      'cgroup-connect',
      '--allow',
      '127.0.0.1',
      '--',
      'sh',
      '-c',
      'echo started; sleep 60',
    ])
    await tool.said(/started/)
    const { out } = await tool.interrupt()
    expect(out).toMatch(/^127\.0\.0\.1 +0$/m)
  })

  testWith('bpf')('the exit code is the command’s; what is missing is said', async () => {
    expect(await startTool(undefined, ['cgroup-connect', '--', 'sh', '-c', 'exit 7']).end()).toMatchObject({ code: 7 })
    const neither = await startTool(undefined, ['cgroup-connect', '--allow', '127.0.0.1']).end()
    expect(neither).toMatchObject({ code: 2, err: expect.stringMatching(/either a command or --cgroup/) })
    const nowhere = await startTool(undefined, ['cgroup-connect', '--cgroup', '/nowhere']).end()
    expect(nowhere).toMatchObject({ code: 2, err: expect.stringMatching(/there is no cgroup \/nowhere/) })
  })
})
