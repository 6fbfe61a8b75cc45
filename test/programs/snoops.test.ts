// Tools that show events, on the running kernel: each sees all of what a process of the test does, and only that.
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { execsnoop } from '../../programs/execsnoop/index.ts'
import { killsnoop } from '../../programs/killsnoop/index.ts'
import { Output, syscallNumber } from '../../programs/lib/index.ts'
import { opensnoop } from '../../programs/opensnoop/index.ts'
import { Syscount } from '../../programs/syscount/index.ts'
import { tcplife } from '../../programs/tcplife/index.ts'
import { testWith } from '../requirements.ts'
import { during, ownFolder, waitingNode, waitingShell } from './own-tree.ts'

describe('opensnoop', () => {
  testWith('bpf')('shows paths, descriptors, errors and flags of one process', async () => {
    using folder = ownFolder()
    using child = waitingShell(': > "$1/made"; : < "$1/made"; : < "$1/missing"', folder.path)
    using opens = opensnoop({ pid: child.pid })
    const events = (await during(opens, () => child.go())).filter(({ path }) => path.startsWith(folder.path))
    expect(events.map(({ path, errno }) => [path.slice(folder.path.length), errno])).toEqual([
      ['/made', 0],
      ['/made', 0],
      ['/missing', 2],
    ])
    expect(events.map(({ fd }) => fd >= 0)).toEqual([true, true, false])
    // O_WRONLY | O_CREAT | O_TRUNC
    expect(events[0].flags & 0o1101).toBe(0o1101)
    expect(new Set(events.map(({ pid, comm, uid }) => `${pid} ${comm} ${uid}`))).toEqual(
      new Set([`${child.pid} sh ${process.getuid?.()}`]),
    )
  })

  testWith('bpf')('-x shows failures only, a flag filter only matching calls', async () => {
    using folder = ownFolder()
    using child = waitingShell(': > "$1/made"; : < "$1/made"; : < "$1/missing"', folder.path)
    using failed = opensnoop({ pid: child.pid, failed: true })
    using creating = opensnoop({ pid: child.pid, flags: 0o100 })
    const own = (path: string): boolean => path.startsWith(folder.path)
    const [failures, creations] = await Promise.all([
      during(failed, () => child.go()),
      during(creating, () => child.go()),
    ])
    expect(failures.filter(({ path }) => own(path)).map(({ path }) => path)).toEqual([`${folder.path}/missing`])
    expect(creations.filter(({ path }) => own(path)).map(({ path }) => path)).toEqual([`${folder.path}/made`])
  })

  testWith('bpf')(
    'loses none of 20,000 events at 10,000 a second',
    async () => {
      using folder = ownFolder()
      using child = waitingNode(
        `const fs = require('node:fs'); let n = 0
       const timer = setInterval(() => {
         for (let i = 0; i < 100; i++) { try { fs.openSync(process.argv[1] + '/' + n++) } catch {} }
         if (n >= 20000) clearInterval(timer)
       }, 10)`,
        folder.path,
      )
      using opens = opensnoop({ pid: child.pid, failed: true })
      const events = await during(opens, () => child.go())
      const numbers = events
        .filter(({ path }) => path.startsWith(`${folder.path}/`))
        .map(({ path }) => Number(path.slice(folder.path.length + 1)))
      expect(opens.lost()).toBe(0n)
      expect(numbers).toEqual(Array.from({ length: 20_000 }, (_, i) => i))
    },
    60_000,
  )
})

describe('execsnoop', () => {
  testWith('bpf')('shows arguments, parent and result of the children of one process', async () => {
    using child = waitingShell(`env -u A true 'one arg' two; (exec /nonexistent/x y); true`)
    using execs = execsnoop({ ppid: child.pid, failed: true })
    const events = await during(execs, () => child.go())
    const words = events.map(({ args, result }) => `${result} ${args.join('|')}`)
    expect(words).toContain('0 env|-u|A|true|one arg|two')
    expect(words).toContain('-2 /nonexistent/x|y')
    expect(events.every(({ ppid }) => ppid === child.pid)).toBe(true)
    expect(events.find(({ result, args }) => result === 0 && args.at(-1) === 'two')?.comm).toMatch(/^(env|true)$/)
  })

  testWith('bpf')('without -x leaves failures out, and says when arguments were cut', async () => {
    using child = waitingShell(`(exec /nonexistent/x y); env true 1 2 3 4 5 6 7 8 9`)
    using execs = execsnoop({ ppid: child.pid, maxArgs: 4 })
    const events = await during(execs, () => child.go())
    expect(events.every(({ result }) => result === 0)).toBe(true)
    expect(events[0]).toMatchObject({ args: ['env', 'true', '1', '2'], cut: true })
  })

  testWith('bpf')('keeps very long and very many arguments apart', async () => {
    using child = waitingShell(`env true "$1" $(seq 1 100)`, 'x'.repeat(300))
    using execs = execsnoop({ ppid: child.pid, maxArgs: 60, name: 'true' })
    const [event] = await during(execs, () => child.go())
    expect(event.args).toHaveLength(60)
    expect(event.args[1]).toBe('x'.repeat(127))
    expect(event.args.slice(2, 5)).toEqual(['1', '2', '3'])
    expect(event.cut).toBe(true)
  })
})

describe('killsnoop', () => {
  testWith('bpf')('shows signals, targets and results', async () => {
    using child = waitingShell('kill -0 $$; kill -WINCH $$; kill -0 2147483000')
    using kills = killsnoop({ pid: child.pid })
    const events = await during(kills, () => child.go())
    expect(events.map(({ signal, target, result }) => [signal, target, result])).toEqual([
      [0, child.pid, 0],
      [28, child.pid, 0],
      [0, 2_147_483_000, -3],
    ])
    expect(events[0].comm).toBe('sh')
  })
})

describe('killsnoop by target', () => {
  testWith('bpf')('shows signals to one process only', async () => {
    using child = waitingShell('kill -0 $$; kill -0 2147483000')
    using kills = killsnoop({ pid: child.pid, target: child.pid })
    const events = await during(kills, () => child.go())
    expect(events.map(({ target }) => target)).toEqual([child.pid])
  })
})

describe('syscount', () => {
  const opens = 'i=0; while [ $i -lt 200 ]; do true < /dev/null; true < /nonexistent; i=$((i+1)); done'

  testWith('bpf')('counts the calls of one process, with the time in them', async () => {
    using child = waitingShell(opens)
    using counts = new Syscount({ pid: child.pid, latency: true })
    await child.go()
    counts.stop()
    const open = counts.rows().find(({ syscall }) => syscall === 'openat')
    expect(Number(open?.calls)).toBeGreaterThanOrEqual(400)
    expect(Number(open?.totalNs)).toBeGreaterThan(400 * 50)
    expect(counts.rows(true).length).toBeGreaterThan(3)
    expect(counts.rows()).toEqual([])
  })

  testWith('bpf')('counts one system call of one thread only', async () => {
    using child = waitingShell(opens)
    using counts = new Syscount({ tid: child.pid, syscall: syscallNumber('openat') })
    await child.go()
    const rows = counts.rows()
    expect(rows.map(({ syscall }) => syscall)).toEqual(['openat'])
    expect(Number(rows[0].calls)).toBeGreaterThanOrEqual(400)
  })

  testWith('bpf')('-e counts one error only, -P by process', async () => {
    using child = waitingShell(opens)
    using counts = new Syscount({ pid: child.pid, errno: 2, byProcess: true })
    await child.go()
    const [row, ...others] = counts.rows()
    expect(others).toEqual([])
    expect(row).toMatchObject({ pid: child.pid, comm: 'sh' })
    expect(Number(row.calls)).toBeGreaterThanOrEqual(200)
    expect(Number(row.calls)).toBeLessThan(260)
  })
})

describe('tcplife', () => {
  testWith('bpf')('shows both ends of a connection with bytes and duration', async () => {
    const server = createServer((socket) => {
      let bytes = 0
      socket.on('data', (data) => {
        bytes += data.length
        if (bytes === 5000) setTimeout(() => socket.end('x'.repeat(20_000)), 30)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    using child = waitingNode(
      `const socket = require('node:net').connect(Number(process.argv[1]), '127.0.0.1', () => socket.write('y'.repeat(5000)))
       socket.resume()`,
      String(port),
    )
    using lives = tcplife({ remotePorts: [port] })
    using passive = tcplife({ localPorts: [1, port] })
    const [active, other] = await Promise.all([
      during(lives, () => child.go()),
      during(passive, async () => {
        await child.go()
        await new Promise((resolve) => server.close(resolve))
      }),
    ])
    expect(active).toHaveLength(1)
    expect(active[0]).toMatchObject({
      pid: child.pid,
      comm: 'node',
      family: 4,
      localAddress: '127.0.0.1',
      remoteAddress: '127.0.0.1',
      remotePort: port,
    })
    // TCP counts its SYN and FIN too
    expect([5000n, 5001n, 5002n]).toContain(active[0].sentBytes)
    expect([20_000n, 20_001n]).toContain(active[0].receivedBytes)
    expect(Number(active[0].durationNs)).toBeGreaterThan(30e6)
    expect(Number(active[0].durationNs)).toBeLessThan(30e9)
    expect(other.map(({ localPort }) => localPort)).toEqual([port])
    expect([5000n, 5001n]).toContain(other[0].receivedBytes)
  })
})

describe('output', () => {
  const columns = [
    { title: 'A', width: 4, value: ({ a }: { a: string }) => a },
    { title: 'B', width: 0, value: () => 7 },
  ]
  async function written(csv: boolean): Promise<string> {
    let text = ''
    const write = (more: string): boolean => {
      text += more
      return true
    }
    const out = new Output({ write, note: write })
    async function* events() {
      yield { a: 'x,"y"' }
      yield { a: 'esc\u001b' }
    }
    await out.events(columns, { events, lost: () => 3n }, new AbortController().signal, { csv })
    out.flush()
    return text
  }
  test('is a table, with what was lost said at the end; control characters are made visible', async () => {
    expect(await written(false)).toBe(
      'A    B\nx,"y" 7\nesc\\x1b 7\n3 events were lost: they came faster than they could be written\n',
    )
  })
  test('or comma-separated values', async () => {
    expect((await written(true)).split('\n').slice(0, 3)).toEqual(['A,B', '"x,""y""",7', 'esc\\x1b,7'])
  })
  test('stops, and says so once, when nobody reads it', () => {
    let closed = 0
    const out = new Output({ write: () => false, closed: () => closed++ })
    for (let i = 0; i < 3; i++) {
      out.text('line')
      out.flush()
    }
    expect(closed).toBe(1)
  })
})

testWith('bpf')('none of them needs a mounted tracefs', () => {
  using opens = opensnoop({ pid: process.pid })
  expect(existsSync(`${opens.session.tracefs}/events/syscalls`)).toBe(true)
})
