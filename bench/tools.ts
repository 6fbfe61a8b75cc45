// opensnoop beside bpftrace: start to first event, memory, and events a second without loss.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { kernelUnavailable } from '../src/progrun/index.ts'
import { type Bpftrace, opensOf, startBpftrace } from '../test/programs/bpftrace.ts'
import { type Figure, median } from './figure.ts'

const root = resolve(import.meta.dirname, '..')
const RUNS = 9
const EVENTS = 30_000

interface Started {
  /** Milliseconds from the start of the process to its first event. */
  readonly ms: number
  /** The most memory that it had until then, in megabytes. */
  readonly megabytes: number
}

const peakMegabytes = (pid: number): number =>
  Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0') / 1024

/** A process that opens a marked file every millisecond until it is killed, or so many files at 10,000 a second. */
function opener(folder: string, count?: number) {
  const endless = `setInterval(() => { try { fs.openSync(folder + '/mark') } catch {} }, 1)`
  const counted = `process.stdin.once('data', () => { let n = 0; const timer = setInterval(() => {
    for (let i = 0; i < 100; i++) { try { fs.openSync(folder + '/' + n++) } catch {} }
    if (n >= ${count}) { clearInterval(timer); process.exit() }
  }, 10) })`
  const script = `const fs = require('node:fs'), folder = process.argv[1]; ${count === undefined ? endless : counted}`
  return spawn(process.execPath, ['-e', script, folder], { stdio: ['pipe', 'ignore', 'ignore'] })
}

/** The built command where there is one: what users run. */
function command(): string[] {
  const built = join(root, 'dist/src/cli/bin.js')
  return existsSync(built) && existsSync(join(root, 'dist/programs/tools.js'))
    ? [built]
    : ['--conditions=typebpf-source', '--import', import.meta.resolve('tsx'), join(root, 'src/cli/bin.ts')]
}

async function firstEventOfTool(pid: number): Promise<Started> {
  const start = process.hrtime.bigint()
  const child = spawn(process.execPath, [...command(), 'tool', 'opensnoop', '-p', String(pid)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise((done) => child.on('close', done))
  let out = ''
  const answer = await new Promise<Started>((done, fail) => {
    child.stdout.on('data', (data) => {
      out += data
      if (out.includes('/mark'))
        done({ ms: Number(process.hrtime.bigint() - start) / 1e6, megabytes: peakMegabytes(child.pid ?? 0) })
    })
    child.on('close', () => fail(new Error(`opensnoop ended early: ${out}`)))
  })
  child.kill('SIGINT')
  await ended
  return answer
}

async function firstEventOfBpftrace(pid: number): Promise<Started> {
  const start = process.hrtime.bigint()
  using peer: Bpftrace = startBpftrace(opensOf(pid))
  await peer.said(/\/mark$/m)
  const answer = { ms: Number(process.hrtime.bigint() - start) / 1e6, megabytes: peakMegabytes(peer.pid) }
  await peer.interrupt()
  return answer
}

async function lostAtRate(folder: string): Promise<{ seen: number; perSecond: number }> {
  const child = opener(folder, EVENTS)
  const tool = spawn(process.execPath, [...command(), 'tool', 'opensnoop', '-p', String(child.pid), '--failed'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise((done) => tool.on('close', done))
  let out = ''
  await new Promise<void>((done) => {
    tool.stdout.on('data', (data) => {
      out += data
      if (out.includes('PATH')) done()
    })
  })
  const start = process.hrtime.bigint()
  child.stdin.write('go\n')
  await new Promise((done) => child.on('close', done))
  const seconds = Number(process.hrtime.bigint() - start) / 1e9
  tool.kill('SIGINT')
  await ended
  const seen = new Set(out.match(new RegExp(`${folder}/\\d+$`, 'gm'))).size
  return { seen, perSecond: EVENTS / seconds }
}

export async function figures(): Promise<Figure[]> {
  const missing = kernelUnavailable()
  if (missing.length > 0) return [{ area: 'tools', name: 'not measured', value: 0, unit: '', peer: missing[0] }]
  const folder = mkdtempSync(join(tmpdir(), 'typebpf-bench-'))
  const child = opener(folder)
  const pid = child.pid ?? 0
  const hasPeer = spawnSync('sh', ['-c', 'command -v bpftrace']).status === 0
  try {
    await firstEventOfTool(pid)
    const ours: Started[] = []
    const theirs: Started[] = []
    for (let run = 0; run < RUNS; run++) {
      ours.push(await firstEventOfTool(pid))
      if (hasPeer) theirs.push(await firstEventOfBpftrace(pid))
    }
    child.kill('SIGKILL')
    const figure = (name: string, unit: string, key: keyof Started): Figure => {
      const value = median(ours.map((it) => it[key]))
      if (!hasPeer) return { area: 'tools', name, value, unit, peer: 'bpftrace is not installed' }
      const peerValue = median(theirs.map((it) => it[key]))
      const ratio = value / peerValue
      return { area: 'tools', name, value, unit, peer: 'bpftrace', peerValue, ratio, goal: '< 1', met: ratio < 1 }
    }
    const { seen, perSecond } = await lostAtRate(folder)
    return [
      figure('opensnoop: start to first event', 'ms', 'ms'),
      figure('opensnoop: memory at the first event', 'MB', 'megabytes'),
      {
        area: 'tools',
        name: `opensnoop: lost of ${EVENTS} events at ${Math.round(perSecond)} a second`,
        value: EVENTS - seen,
        unit: 'events',
        goal: '0 at 10,000 a second',
        met: seen === EVENTS,
      },
    ]
  } finally {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
}
