import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { assembleBytes } from '../src/asm/index.ts'
import { loadImage, objectIds, realSys, testRun } from '../src/syscall/index.ts'
import { PROGRAM_TYPES } from '../src/uapi/index.ts'
import { type Figure, interleaved } from './figure.ts'

const BIN = new URL('../dist/src/cli/bin.js', import.meta.url).pathname
const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` }

/** Runs a command with its output thrown away. */
function run(program: string, args: readonly string[]): void {
  const sink = openSync('/dev/null', 'w')
  try {
    const { status, error } = spawnSync(program, args, { stdio: ['ignore', sink, 'inherit'], env })
    if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${error?.message ?? ''}`)
  } finally {
    closeSync(sink)
  }
}
const typebpf = (...args: string[]): void => run(process.execPath, [BIN, ...args])
const hasBpftool = (): boolean => spawnSync('bpftool', ['version'], { stdio: 'ignore', env }).status === 0

const figure = (name: string, value: number, peer: string, peerValue: number, limit: number): Figure => ({
  area: 'cli',
  name,
  value,
  unit: 'ms',
  peer,
  peerValue,
  ratio: value / peerValue,
  goal: `≤ ${limit} times`,
  met: value / peerValue <= limit,
})

/** CPU milliseconds of a process so far: user and system time of /proc/PID/stat, in hundredths of a second. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** What `top` takes of one core at an update a second, with 50 programs loaded. */
async function topCost(): Promise<Figure> {
  const sys = realSys()
  const loaded = Array.from({ length: 50 }, (_, index) =>
    loadImage(sys, {
      name: `bench_${index}`,
      type: PROGRAM_TYPES.xdp,
      expectedAttachType: 0,
      insns: assembleBytes('r0 = 2\nexit\n'),
      license: 'GPL',
      flags: 0,
      maps: [],
      relocations: [],
    }),
  )
  const child = spawn(process.execPath, [BIN, 'top', '--csv', '--interval', '1'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  try {
    const pid = child.pid
    if (pid === undefined) throw new Error('top did not start')
    await sleep(5000)
    for (const { program } of loaded) if (program !== undefined) testRun(sys, program.fd, { data: new Uint8Array(64) })
    const [before, start] = [cpuMs(pid), performance.now()]
    await sleep(20_000)
    // programs of others count as well: what is measured is named
    const present = [...objectIds(sys, 'program')].length
    const percent = ((cpuMs(pid) - before) / (performance.now() - start)) * 100
    return {
      area: 'cli',
      name: `top, ${present} programs, an update a second`,
      value: percent,
      unit: '% of a core',
      goal: '< 1 with 50 programs',
      met: percent < 1,
    }
  } finally {
    child.kill()
    for (const one of loaded) one.close()
  }
}

/** `npm run bench -- cli`: the built command line (npm run build), beside Node's own start and bpftool. */
export async function figures(): Promise<Figure[]> {
  if (!existsSync(BIN)) execFileSync('npm', ['run', '-s', 'build'], { stdio: 'inherit' })
  const node = (): void => run(process.execPath, ['-e', '0'])
  const [floor, list, maps] = await interleaved(25, [node, () => typebpf('prog', 'list'), () => typebpf('map', 'list')])
  const out = [figure('prog list', list, 'node -e 0', floor, 1.6), figure('map list', maps, 'node -e 0', floor, 1.6)]
  if (hasBpftool()) {
    const dump = ['btf', 'dump', 'file', '/sys/kernel/btf/vmlinux', 'format', 'c']
    const [ours, theirs] = await interleaved(9, [() => typebpf(...dump), () => run('bpftool', dump)])
    out.push(figure('btf dump file vmlinux format c', ours, 'bpftool', theirs, 2))
    const [probe, peer, start] = await interleaved(5, [
      () => typebpf('feature', 'probe', 'kernel'),
      () => run('bpftool', ['feature', 'probe', 'kernel']),
      node,
    ])
    out.push(figure('feature probe', probe, 'bpftool and node -e 0 together', peer + start, 1))
  } else
    out.push({ area: 'cli', name: 'btf dump, feature probe', value: 0, unit: 'ms', peer: 'bpftool is not installed' })
  out.push(await topCost())
  return out
}
