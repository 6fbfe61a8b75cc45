// The same events as bpftrace sees, for the same workload in a process tree of the test's own.
import { writeFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { execsnoop } from '../../programs/execsnoop/index.ts'
import { killsnoop } from '../../programs/killsnoop/index.ts'
import { syscallName } from '../../programs/lib/index.ts'
import { opensnoop } from '../../programs/opensnoop/index.ts'
import { Syscount } from '../../programs/syscount/index.ts'
import { testWith } from '../requirements.ts'
import { execsWith, killsOf, opensOf, startBpftrace, syscallsOf } from './bpftrace.ts'
import { during, ownFolder, waitingNode, waitingShell } from './own-tree.ts'

/** Opens `ready` until the file `go` is there, so that both tracers are seen to work; then files 0 to `count` − 1, then `done`. */
const OPENS = `
const fs = require('node:fs'), [folder, count] = process.argv.slice(1)
const open = (name) => { try { fs.openSync(folder + '/' + name) } catch {} }
const wait = setInterval(() => {
  open('ready')
  if (!fs.existsSync(folder + '/go')) return
  clearInterval(wait)
  let n = 0
  const timer = setInterval(() => {
    for (let i = 0; i < 100 && n < count; i++) open(n++)
    if (n >= count) { clearInterval(timer); setTimeout(() => { open('done') }, 50) }
  }, 10)
}, 10)`

/** Signal 0 to 1999999999 until the file `go` is there; then to 2000000000 and so on, whom nobody has, up to `count` more. */
const KILLS = `
const fs = require('node:fs'), [folder, count] = process.argv.slice(1)
const kill = (pid) => { try { process.kill(pid, 0) } catch {} }
const wait = setInterval(() => {
  kill(1999999999)
  if (!fs.existsSync(folder + '/go')) return
  clearInterval(wait)
  let n = 0
  const timer = setInterval(() => {
    for (let i = 0; i < 100 && n <= count; i++) kill(2000000000 + n++)
    if (n > count) clearInterval(timer)
  }, 10)
}, 10)`

describe('the same events as bpftrace', () => {
  testWith('bpf', 'program:bpftrace', 'program:unshare')(
    'opensnoop: every open of a process at 10,000 a second, none lost',
    async () => {
      using folder = ownFolder()
      using child = waitingNode(OPENS, folder.path, '10000')
      using peer = startBpftrace(opensOf(child.pid))
      using opens = opensnoop({ pid: child.pid })
      const events = await during(opens, async () => {
        const ended = child.go()
        await peer.said(/\/ready$/m)
        writeFileSync(`${folder.path}/go`, '')
        await ended
        await peer.said(/\/done$/m)
      })
      const numbered = (lines: readonly string[]): string[] => lines.filter((line) => /\/\d+$/.test(line))
      const theirs = numbered(await peer.interrupt())
      const ours = numbered(
        events.map(({ pid, comm, fd, errno, path }) => `${pid} ${comm} ${errno > 0 ? -errno : fd} ${path}`),
      )
      expect(opens.lost()).toBe(0n)
      expect(ours).toHaveLength(10_000)
      // bpftrace may lose some at this rate; it never has one that opensnoop has not
      const known = new Set(ours)
      expect(theirs.filter((line) => !known.has(line))).toEqual([])
      expect(theirs.length).toBeGreaterThan(5000)
      if (theirs.length === ours.length) expect(ours).toEqual(theirs)
    },
    90_000,
  )

  testWith('bpf', 'program:bpftrace', 'program:unshare')(
    'killsnoop: every signal of a process at 10,000 a second, none lost',
    async () => {
      using folder = ownFolder()
      using child = waitingNode(KILLS, folder.path, '10000')
      using peer = startBpftrace(killsOf(child.pid))
      using kills = killsnoop({ pid: child.pid })
      const events = await during(kills, async () => {
        const ended = child.go()
        await peer.said(/ 1999999999 /)
        writeFileSync(`${folder.path}/go`, '')
        await ended
        await peer.said(/ 2000010000 /)
      })
      const numbered = (lines: readonly string[]): string[] => lines.filter((line) => / 20000\d{5} /.test(line))
      const theirs = numbered(await peer.interrupt())
      const ours = numbered(
        events.map(({ pid, comm, signal, target, result }) => `${pid} ${comm} ${signal} ${target} ${result}`),
      )
      expect(kills.lost()).toBe(0n)
      expect(ours).toHaveLength(10_001)
      const known = new Set(ours)
      expect(theirs.filter((line) => !known.has(line))).toEqual([])
      expect(theirs.length).toBeGreaterThan(5000)
      if (theirs.length === ours.length) expect(ours).toEqual(theirs)
    },
    90_000,
  )

  testWith('bpf', 'program:bpftrace', 'program:unshare')(
    'syscount: the same counts of the same calls',
    async () => {
      using child = waitingShell(
        'i=0; while [ $i -lt 500 ]; do true < /dev/null; true < /nonexistent; i=$((i+1)); done',
      )
      using peer = startBpftrace(syscallsOf(child.pid))
      using counts = new Syscount({ pid: child.pid })
      await peer.said(/Attaching/)
      await setTimeout(1500)
      await child.go()
      counts.stop()
      const ours = counts.rows().map(({ syscall, calls }) => `${syscall} ${calls}`)
      const theirs = (await peer.interrupt()).flatMap((line) => {
        const row = /^@\[(\d+)\]: (\d+)$/.exec(line)
        return row === null ? [] : [`${syscallName(Number(row[1]))} ${row[2]}`]
      })
      expect(ours.find((row) => row.startsWith('openat'))).toMatch(/^openat 10\d\d$/)
      expect(ours.toSorted()).toEqual(theirs.toSorted())
    },
    90_000,
  )

  testWith('bpf', 'program:bpftrace', 'program:unshare')(
    'execsnoop: the same commands with the same arguments',
    async () => {
      using folder = ownFolder()
      const mark = `mark-${process.pid}`
      using child = waitingShell(
        `until [ -e "$2/go" ]; do env true ready "$1"; sleep 0.05; done
         i=0; while [ $i -lt 50 ]; do env true "$1" $i 'a b'; i=$((i+1)); done; env true done "$1"`,
        mark,
        folder.path,
      )
      using peer = startBpftrace(execsWith())
      // the children of the shell; env becomes true in the same process
      using execs = execsnoop({ ppid: child.pid })
      const events = await during(execs, async () => {
        const ended = child.go()
        await peer.said(new RegExp(`true ready ${mark}`))
        writeFileSync(`${folder.path}/go`, '')
        await ended
        await peer.said(new RegExp(`true done ${mark}`))
      })
      const marked = (lines: readonly string[]): string[] =>
        [...new Set(lines.filter((line) => /^\d+ (env )?true mark-/.test(line) && line.includes(mark)))].sort()
      const theirs = marked(await peer.interrupt())
      // bpftrace shows failed calls too: env looks for true in each folder of PATH
      const succeeded = new Set(events.map(({ pid, args }) => `${pid} ${args.join(' ')}`))
      const ours = marked([...succeeded])
      expect(ours).toHaveLength(100)
      // lines of bpftrace from two CPUs can run into each other
      const known = new Set(ours)
      expect(theirs.filter((line) => !known.has(line))).toEqual([])
      expect(theirs.length).toBeGreaterThan(80)
      if (theirs.length === ours.length) expect(ours).toEqual(theirs)
    },
    90_000,
  )
})
