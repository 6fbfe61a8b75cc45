// Tools beside bpftrace: start to first event, memory, and events a second without loss.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { kernelUnavailable } from '../src/progrun/index.ts'
import { type Bpftrace, execsOf, killsOf, opensOf, startBpftrace } from '../test/programs/bpftrace.ts'
import { type Figure, median } from './figure.ts'

const root = resolve(import.meta.dirname, '..')
const RUNS = 9
const EVENTS = 30_000
const MARK = 'typebpf-mark'

/** Both sides run before everything else on the machine, where that is allowed: its other load does not decide. */
const FIRST = spawnSync('chrt', ['-r', '10', 'true']).status === 0 ? ['chrt', '-r', '10'] : []

interface Started {
  /** Milliseconds from the start of the process to its first event. */
  readonly ms: number
  /** The most memory that it had until then, in megabytes. */
  readonly megabytes: number
}

/** A tool, its peer, and the events that both wait for. */
interface Contest {
  readonly tool: string
  /** What the process of {@link busy} does all the time. */
  readonly work: string
  readonly args: (pid: number) => readonly string[]
  readonly peer: (pid: number) => string
  /** A line of the event, in both outputs. */
  readonly seen: (pid: number) => RegExp
}
const CONTESTS: readonly Contest[] = [
  {
    tool: 'opensnoop',
    work: `try { fs.openSync('/nonexistent/${MARK}') } catch {}`,
    args: (pid) => ['-p', String(pid)],
    peer: opensOf,
    seen: () => new RegExp(`/${MARK}$`, 'm'),
  },
  {
    tool: 'killsnoop',
    work: 'process.kill(process.pid, 0)',
    args: (pid) => ['-p', String(pid)],
    peer: killsOf,
    seen: (pid) => new RegExp(`\\b${pid}\\b.* 0$`, 'm'),
  },
  {
    tool: 'execsnoop',
    work: `if (++n % 4 === 0) child.spawn('true', ['${MARK}'])`,
    args: (pid) => ['-P', String(pid)],
    peer: execsOf,
    seen: () => new RegExp(`true ${MARK}$`, 'm'),
  },
]

const peakMegabytes = (pid: number): number =>
  Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0') / 1024

/** A process of Node's that runs a script, as early as the others. */
function script(text: string, words: readonly string[], stdin: 'pipe' | 'ignore') {
  const [file, ...args] = [...FIRST, process.execPath, '-e', text, ...words]
  return spawn(file, args, { stdio: [stdin, 'ignore', 'ignore'] })
}
/** A process that does something every millisecond until it is killed. */
const busy = (work: string) =>
  script(
    `const fs = require('node:fs'), child = require('node:child_process'); let n = 0; setInterval(() => { ${work} }, 1)`,
    [],
    'ignore',
  )

/** The built command where there is one: what users run. */
function command(): string[] {
  const built = join(root, 'dist/src/cli/bin.js')
  return existsSync(built) && existsSync(join(root, 'dist/programs/bundle'))
    ? [built]
    : ['--conditions=typebpf-source', '--import', import.meta.resolve('tsx'), join(root, 'src/cli/bin.ts')]
}
function startTool(args: readonly string[]) {
  const [file, ...words] = [...FIRST, process.execPath, ...command(), 'tool', ...args]
  // chrt replaces itself: the pid is the tool's
  return spawn(file, words, { stdio: ['ignore', 'pipe', 'inherit'] })
}

async function firstEventOfTool({ tool, args, seen }: Contest, pid: number): Promise<Started> {
  const event = seen(pid)
  const start = process.hrtime.bigint()
  const child = startTool([tool, ...args(pid)])
  const ended = new Promise((done) => child.on('close', done))
  let out = ''
  const answer = await new Promise<Started>((done, fail) => {
    child.stdout.on('data', (data) => {
      out += data
      if (event.test(out))
        done({ ms: Number(process.hrtime.bigint() - start) / 1e6, megabytes: peakMegabytes(child.pid ?? 0) })
    })
    child.on('close', () => fail(new Error(`${tool} ended early: ${out}`)))
  })
  child.kill('SIGINT')
  await ended
  return answer
}

async function firstEventOfBpftrace({ peer, seen }: Contest, pid: number): Promise<Started> {
  const start = process.hrtime.bigint()
  using tracer: Bpftrace = startBpftrace(peer(pid), FIRST)
  await tracer.said(seen(pid))
  const answer = { ms: Number(process.hrtime.bigint() - start) / 1e6, megabytes: peakMegabytes(tracer.pid) }
  await tracer.interrupt()
  return answer
}

/** Start and memory of a tool and of its peer, in turn. */
async function startFigures(contest: Contest, hasPeer: boolean): Promise<Figure[]> {
  const child = busy(contest.work)
  const pid = child.pid ?? 0
  const ours: Started[] = []
  const theirs: Started[] = []
  try {
    await firstEventOfTool(contest, pid)
    for (let run = 0; run < RUNS; run++) {
      ours.push(await firstEventOfTool(contest, pid))
      if (hasPeer) theirs.push(await firstEventOfBpftrace(contest, pid))
    }
  } finally {
    child.kill('SIGKILL')
  }
  const figure = (what: string, unit: string, key: keyof Started): Figure => {
    const name = `${contest.tool}: ${what}`
    const value = median(ours.map((it) => it[key]))
    if (!hasPeer) return { area: 'tools', name, value, unit, peer: 'bpftrace is not installed' }
    const peerValue = median(theirs.map((it) => it[key]))
    const ratio = value / peerValue
    return { area: 'tools', name, value, unit, peer: 'bpftrace', peerValue, ratio, goal: '< 1', met: ratio < 1 }
  }
  return [figure('start to first event', 'ms', 'ms'), figure('memory at the first event', 'MB', 'megabytes')]
}

/** A process that waits for a line and then opens files 0 to EVENTS − 1, 10,000 a second by its own clock. */
const counted = (folder: string) =>
  script(
    `const fs = require('node:fs'), folder = process.argv[1]
process.stdin.once('data', () => { let n = 0; const start = performance.now(); const timer = setInterval(() => {
  for (const due = Math.min(${EVENTS}, (performance.now() - start) * 10); n < due; ) { try { fs.openSync(folder + '/' + n++) } catch {} }
  if (n >= ${EVENTS}) { clearInterval(timer); process.exit() }
}, 5) })`,
    [folder],
    'pipe',
  )

async function lostAtRate(): Promise<Figure> {
  const folder = mkdtempSync(join(tmpdir(), 'typebpf-bench-'))
  const child = counted(folder)
  try {
    const tool = startTool(['opensnoop', '-p', String(child.pid), '--failed'])
    const ended = new Promise((done) => tool.on('close', done))
    let out = ''
    await new Promise<void>((done) => {
      tool.stdout.on('data', (data) => {
        out += data
        if (out.includes('PATH')) done()
      })
    })
    const start = process.hrtime.bigint()
    child.stdin?.write('go\n')
    await new Promise((done) => child.on('close', done))
    const seconds = Number(process.hrtime.bigint() - start) / 1e9
    tool.kill('SIGINT')
    await ended
    const seen = new Set(out.match(new RegExp(`${folder}/\\d+$`, 'gm'))).size
    return {
      area: 'tools',
      name: `opensnoop: lost of ${EVENTS} events at ${Math.round(EVENTS / seconds)} a second`,
      value: EVENTS - seen,
      unit: 'events',
      goal: '0 at 10,000 a second',
      met: seen === EVENTS,
    }
  } finally {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
}

export async function figures(): Promise<Figure[]> {
  const missing = kernelUnavailable()
  if (missing.length > 0) return [{ area: 'tools', name: 'not measured', value: 0, unit: '', peer: missing[0] }]
  const hasPeer = spawnSync('sh', ['-c', 'command -v bpftrace']).status === 0
  const measured: Figure[] = []
  for (const contest of CONTESTS) measured.push(...(await startFigures(contest, hasPeer)))
  return [...measured, await lostAtRate()]
}
