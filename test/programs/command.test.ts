// `typebpf tool` as people run it: help, lists, mistakes, Ctrl-C.
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { TOOLS } from '../../programs/tools.ts'
import { main } from '../../src/cli/main.ts'
import { testWith } from '../requirements.ts'
import { bpftoolIds, heldBy, ownFolder, waitingShell } from './own-tree.ts'
import { COMMAND, startTool } from './start-tool.ts'

type Answer = { code: number | null; out: string; err: string }

/** The command line as a process of its own, behind a prefix such as setpriv. */
function spawned(args: readonly string[], prefix: readonly string[]): Answer {
  const command = [...prefix, process.execPath, ...COMMAND, ...args]
  const { status, stdout, stderr } = spawnSync(command[0], command.slice(1), { encoding: 'utf8', timeout: 60_000 })
  return { code: status, out: stdout, err: stderr }
}
/** The same in this process: faster. */
async function run(args: readonly string[]): Promise<Answer> {
  const said = { out: '', err: '' }
  const capture = (stream: 'out' | 'err') => (text: string | Uint8Array) => {
    said[stream] += String(text)
    return true
  }
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation(capture('out')),
    vi.spyOn(process.stderr, 'write').mockImplementation(capture('err')),
  ]
  try {
    const code = await main(['tool', ...args])
    return { code, ...said }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}
const UNPRIVILEGED = ['setpriv', '--bounding-set=-all', '--inh-caps=-all']

describe('the list', () => {
  test('names every tool, as text and as JSON', async () => {
    const text = await run(['--list'])
    expect(text.code).toBe(0)
    for (const { name, summary } of TOOLS)
      expect(text.out).toMatch(new RegExp(`^  ${name} .*${summary.slice(0, 20)}`, 'm'))
    const rows = JSON.parse((await run(['--list', '--json'])).out) as {
      name: string
      topic: string
      summary: string
      kernel: string
    }[]
    expect(rows.map(({ name }) => name)).toEqual(TOOLS.map(({ name }) => name))
    expect(rows.every(({ topic }) => /^(events|counts|stacks|network)$/.test(topic))).toBe(true)
  })

  test('every tool has a help that names its flags and its kernel', async () => {
    for (const { name, kernel, load } of TOOLS) {
      const { tool } = await load()
      expect(
        tool.options.every(([flags]) => /^(-\w, )?--[a-z][\w-]+( [<[].*)?$/.test(flags)),
        name,
      ).toBe(true)
      expect(kernel).toMatch(/^\d\.\d+$/)
    }
    const { code, out } = await run(['opensnoop', '--help'])
    expect(code).toBe(0)
    expect(out).toMatch(/-p, --pid <pid>/)
    expect(out).toMatch(/Needs Linux 5\.8 or newer/)
  })
})

describe('mistakes', () => {
  test.each([
    [['nope'], /there is no tool "nope"/],
    [['opensnoop', '-p', 'abc'], /pid takes a number/],
    [['opensnoop', '-p', '0'], /pid takes a number/],
    [['opensnoop', '--nope'], /unknown option '--nope'/],
    [['opensnoop', '-f', 'O_NOPE'], /"O_NOPE" is no flag of open/],
    [['syscount', '-e', 'ENOPE'], /"ENOPE" is no error/],
    [['killsnoop', '-s', 'NOPE'], /"NOPE" is no signal/],
    [['memleak'], /needs a process: -p PID or -c COMMAND/],
    [['biolatency', '--duration=-1'], /--duration takes seconds/],
    [['hello', 'x'], /"x" is one argument too many/],
    [['funclatency'], /the argument pattern is missing/],
    [['opensnoop', '-u', 'nobody-of-that-name'], /there is no user "nobody-of-that-name"/],
    [['syscount', '--syscall', 'nope'], /there is no system call "nope"/],
    [['tcplife', '-L', '80,0'], /localport takes ports from 1 to 65535/],
    [['tcplife', '-4', '-6'], /--ipv4 and --ipv6 contradict each other/],
    [['runqlat', '-P', '-L'], /--tids and --pids contradict each other/],
    [['profile', '-U', '-K'], /--user-stacks-only and --kernel-stacks-only contradict/],
    [['profile', '-F', '99', '-c', '1000000'], /--frequency and --period contradict/],
    [['funclatency', '-u', '-m', 'c:malloc'], /--milliseconds and --microseconds contradict/],
    [['offcputime', '-m', '10', '-M', '5'], /at least 10 and at most 5 us/],
    [['memleak', '-p', '1', '-z', '10', '-Z', '5'], /at least 10 and at most 5 bytes/],
    [['memleak', '-p', '1', '-c', 'true'], /needs a process: -p PID or -c COMMAND/],
    [['xdp-firewall', 'lo', '--default', 'maybe'], /possible are: allow, deny/],
    [['xdp-firewall', 'lo', '--deny', '10.0.0.0/33'], /a prefix ends in \/ and 0 to 32/],
    [['tc-shaper', 'lo', 'fast'], /"fast"/],
    [['tc-shaper', 'lo'], /the argument rate is missing/],
    [['xdp-lb', '/nonexistent', 'lo'], /\/nonexistent cannot be read/],
    [['cgroup-connect', '-a', '10.0.0.1:99999', '--', 'true'], /a port is 1 to 65535/],
    [['cgroup-connect'], /say either a command or --cgroup/],
  ])('%j: exit code 2 and one line', async (args, message) => {
    const { code, out, err } = await run(args)
    expect(err).toMatch(message)
    expect(out).toBe('')
    expect(err).not.toMatch(/ at .*\.ts:\d+/)
    expect(code).toBe(2)
  })

  testWith('bpf')('names a missing function or process: exit codes 2 and 3', async () => {
    const many = await run(['funclatency', 'c:*'])
    expect(many).toMatchObject({ code: 2, err: expect.stringMatching(/names \d+ functions of/) })
    const missing = await run(['funclatency', 'c:no_such_function'])
    expect(missing).toMatchObject({ code: 2, err: expect.stringMatching(/has no function "no_such_function"/) })
    for (const args of [['funclatency', 'main'], ['opensnoop'], ['profile'], ['memleak']]) {
      const gone = await run([...args, '-p', '1073741824'])
      expect(gone).toMatchObject({ code: 3, err: expect.stringMatching(/there is no process 1073741824/) })
    }
  })

  testWith('linux', 'program:setpriv')('without privilege it says which is missing and what to do: exit code 3', () => {
    const { code, err } = spawned(['opensnoop'], UNPRIVILEGED)
    expect(err).toBe('typebpf: opensnoop needs CAP_BPF and CAP_PERFMON\n  run it with sudo\n')
    expect(code).toBe(3)
    const json = spawned(['opensnoop', '--json'], UNPRIVILEGED)
    expect(JSON.parse(json.out)).toMatchObject({ error: { code: 'tool.privilege' } })
  })

  testWith('bpf', 'program:setpriv')(
    'without tracefs and the right to mount it, it says how to get it: exit code 3',
    () => {
      const { code, err } = spawned(['opensnoop'], ['setpriv', '--bounding-set=-all,+bpf,+perfmon', '--inh-caps=-all'])
      expect(err).toMatch(/tracefs is not mounted/)
      expect(err).toMatch(/mount -t tracefs tracefs \/sys\/kernel\/tracing/)
      expect(code).toBe(3)
    },
  )
})

describe('what is not there', () => {
  testWith('bpf')('interfaces and cgroups: one line, exit code 2 or 3', async () => {
    for (const [args, message] of [
      [['xdp-firewall', 'nope0'], /nope0/],
      [['tc-shaper', 'nope0', '1mbit'], /nope0/],
      [['cgroup-connect', '--cgroup', '/nonexistent', '-a', '10.0.0.0/8'], /\/nonexistent/],
    ] as const) {
      const { code, out, err } = await run(args)
      expect(err).toMatch(message)
      expect(err).not.toMatch(/ at .*\.ts:\d+/)
      expect([2, 3]).toContain(code)
      expect(out).toBe('')
    }
  })

  testWith('bpf', 'program:unshare')('a kernel without the tracepoint: its name, what brings it, exit code 3', () => {
    // an empty folder in place of the events of system calls, seen by this tool alone
    const script = `mount -t tracefs tracefs /sys/kernel/tracing && mount -t tmpfs none /sys/kernel/tracing/events/syscalls && exec "$@"`
    const { code, err } = spawned(['killsnoop'], ['unshare', '-m', 'sh', '-c', script, 'sh'])
    expect(err).toMatch(/^typebpf: killsnoop needs the tracepoint syscalls:sys_enter_kill, this kernel has none\n/)
    expect(err).toMatch(/CONFIG_FTRACE_SYSCALLS/)
    expect(code).toBe(3)
  })
})

describe('Ctrl-C', () => {
  testWith('bpf', 'program:bpftool')('ends opensnoop with code 0, all shown and nothing left attached', async () => {
    using folder = ownFolder()
    using child = waitingShell('i=0; while [ $i -lt 300 ]; do : > "$1/$i"; i=$((i+1)); done', folder.path)
    const tool = startTool(undefined, ['opensnoop', '-p', String(child.pid)])
    await tool.said(/^PID +COMM +FD ERR PATH/)
    const held = heldBy(tool.pid)
    expect(held.links).toHaveLength(4)
    expect(held.programs.length).toBeGreaterThanOrEqual(4)
    expect(bpftoolIds('link')).toEqual(expect.arrayContaining(held.links))
    await child.go()
    const { code, out, err } = await tool.interrupt()
    expect(out.split('\n').filter((line) => line.includes(folder.path))).toHaveLength(300)
    expect(err).toBe('')
    expect(code).toBe(0)
    expect(bpftoolIds('link').filter((id) => held.links.includes(id))).toEqual([])
    expect(bpftoolIds('prog').filter((id) => held.programs.includes(id))).toEqual([])
  })

  testWith('bpf', 'program:bpftool')('SIGTERM and SIGHUP end a tool just so', async () => {
    for (const name of ['SIGTERM', 'SIGHUP'] as const) {
      const tool = startTool(undefined, ['opensnoop', '-p', '1'])
      await tool.said(/^PID +COMM/)
      const { links } = heldBy(tool.pid)
      expect(links).toHaveLength(4)
      expect(await tool.interrupt(name)).toMatchObject({ code: 0, err: '' })
      expect(bpftoolIds('link').filter((id) => links.includes(id))).toEqual([])
    }
  })

  testWith('bpf', 'program:bpftool')('so does nobody who reads the output any more', async () => {
    using child = waitingShell('while :; do : < /dev/null; sleep 0.01; done')
    const tool = startTool(undefined, ['opensnoop', '-p', String(child.pid)])
    await tool.said(/^PID +COMM/)
    const { links } = heldBy(tool.pid)
    void child.go()
    await tool.said(/dev.null/)
    expect(await tool.closeOutput()).toMatchObject({ code: 0, err: '' })
    expect(bpftoolIds('link').filter((id) => links.includes(id))).toEqual([])
  })

  testWith('bpf')('says when the output cannot be written: exit code 3', () => {
    const full = openSync('/dev/full', 'w')
    const command = [...COMMAND, 'opensnoop', '-p', '1', '--duration', '30']
    const { status, stderr } = spawnSync(process.execPath, command, {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    })
    closeSync(full)
    expect(stderr).toMatch(/^typebpf: the output cannot be written: ENOSPC/)
    expect(status).toBe(3)
  })

  testWith('bpf')('prints the summary of syscount', async () => {
    using child = waitingShell('sleep 5')
    const tool = startTool(undefined, ['syscount', '-p', String(child.pid), '--json'])
    await tool.said(/Tracing system calls/)
    void child.go()
    await sleep(300)
    const { code, out } = await tool.interrupt()
    const rows = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { syscall: string; calls: number })
    expect(rows.find(({ syscall }) => syscall === 'read')?.calls).toBeGreaterThan(0)
    expect(code).toBe(0)
  })

  testWith('bpf', 'program:unshare')('ends hello within a second although nothing happens', async () => {
    // an oops of the kernel, by whomever, turns printing off for the whole machine until somebody turns it on again
    const turnOn = 'mount -t tracefs tracefs /sys/kernel/tracing && echo 1 > /sys/kernel/tracing/tracing_on'
    execFileSync('unshare', ['-m', 'sh', '-c', turnOn])
    const tool = startTool(undefined, ['hello'])
    await tool.said(/Tracing execve/)
    execFileSync('true')
    await tool.said(/hello, world from pid \d+/)
    const start = Date.now()
    expect((await tool.interrupt()).code).toBe(0)
    expect(Date.now() - start).toBeLessThan(5000)
  })
})
