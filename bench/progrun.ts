import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { counts, xdpCount } from '../programs/xdp-count/xdp-count.bpf.ts'
import { xdp } from '../src/builder/index.ts'
import {
  bench,
  decodePacket,
  eth,
  harness,
  ipv4,
  kernelUnavailable,
  packet,
  readCaptureFile,
  tcp,
} from '../src/progrun/index.ts'
import { type Figure, interleaved, median } from './figure.ts'

const root = resolve(import.meta.dirname, '..')
const RUNS = 10_000
const segment = packet(eth(), ipv4(), tcp())

interface Inside {
  readonly importMs: number
  readonly startMs: number
  readonly runsMs: number
}

/** What a test file in a fresh vitest process measures, in CPU time: loading the package, the first harness, many runs. */
function onceInVitest(folder: string): Inside {
  const answer = join(folder, 'answer.json')
  writeFileSync(
    join(folder, 'inside.test.ts'),
    `import { writeFileSync } from 'node:fs'
import { test } from 'vitest'
const now = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
test('inside', async () => {
  const loading = now()
  const { eth, harness, ipv4, packet, tcp } = await import('typebpf/progrun')
  await import('typebpf/vitest')
  const { xdpCount } = await import('${root}/programs/xdp-count/xdp-count.bpf.ts')
  const starting = now()
  using t = await harness(xdpCount, { backend: 'emulator' })
  const running = now()
  const segment = packet(eth(), ipv4(), tcp())
  for (let i = 0; i < ${RUNS}; i++) t.run(xdpCount, { packet: segment })
  const done = now()
  writeFileSync('${answer}', JSON.stringify({ importMs: starting - loading, startMs: running - starting, runsMs: done - running }))
}, 60000)
`,
  )
  const config = join(folder, 'vitest.config.ts')
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--root', root, '--config', config],
    { cwd: root, encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`vitest ended with ${status}: ${stdout}${stderr}`)
  return JSON.parse(readFileSync(answer, 'utf8')) as Inside
}

/** In a fresh process with the built package: everything between the end of Node's own start and the first answer. */
const FIRST_RUN = `
const before = process.cpuUsage()
const { eth, harness, ipv4, packet, tcp } = await import('typebpf/progrun')
const { xdp } = await import('typebpf')
const pass = xdp('pass', (b) => b.PASS)
const t = await harness(pass, { backend: 'emulator' })
if (t.run(pass, { packet: packet(eth(), ipv4(), tcp()) }).verdict !== 'XDP_PASS') throw new Error('no answer')
const { user, system } = process.cpuUsage(before)
console.log((user + system) / 1000)
`
const NODE_ALONE = 'const { user, system } = process.cpuUsage(); console.log((user + system) / 1000)'

/** Milliseconds of CPU that a script prints: a busy machine stretches them less than the clock's. */
function printedMs(script: string): number {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: root,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`node ended with ${status}: ${stderr}`)
  return Number(stdout)
}

function startUp(): Figure[] {
  const area = 'progrun'
  const name = 'built package, fresh process: imports, first harness and first run, CPU'
  const goal = 'under 100 ms'
  if (!existsSync(join(root, 'dist/src/progrun/index.js')))
    return [{ area, name, value: Number.NaN, unit: 'ms', peer: 'not measured: dist/ is not built', goal, met: false }]
  const pairs = Array.from({ length: 9 }, () => [printedMs(FIRST_RUN), printedMs(NODE_ALONE)] as const)
  const value = median(pairs.map(([ours]) => ours))
  const peerValue = median(pairs.map(([, node]) => node))
  return [
    { area, name, value, unit: 'ms', peer: 'node alone', peerValue, ratio: value / peerValue, goal, met: value < 100 },
  ]
}

function inVitest(): Figure[] {
  const folder = mkdtempSync(join(root, 'test/progrun/.bench-'))
  try {
    writeFileSync(
      join(folder, 'vitest.config.ts'),
      `const resolve = { conditions: ['typebpf-source', 'node'] }\nexport default { resolve, ssr: { resolve }, test: { pool: 'forks', include: ['${folder}/*.test.ts'] } }\n`,
    )
    const times = Array.from({ length: 3 }, () => onceInVitest(folder))
    const start = median(times.map(({ startMs }) => startMs))
    const runs = median(times.map(({ runsMs }) => runsMs))
    const area = 'progrun'
    return [
      {
        area,
        name: 'in a vitest file: loading typebpf/progrun, typebpf/vitest and the program from source, CPU',
        value: median(times.map(({ importMs }) => importMs)),
        unit: 'ms',
      },
      {
        area,
        name: 'in a vitest file: the first harness, CPU',
        value: start,
        unit: 'ms',
        goal: 'under 100 ms',
        met: start < 100,
      },
      {
        area,
        name: `in a vitest file: ${RUNS} emulator runs of xdp_count, CPU`,
        value: runs,
        unit: 'ms',
        goal: 'under 2000 ms',
        met: runs < 2000,
      },
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export async function figures(): Promise<Figure[]> {
  const out: Figure[] = []
  using t = await harness(xdpCount, { backend: 'emulator' })
  const [runs, start] = await interleaved(5, [
    () => {
      for (let i = 0; i < RUNS; i++) t.run(xdpCount, { packet: segment })
    },
    async () => {
      using _ = await harness(xdpCount, { backend: 'emulator' })
    },
  ])
  if (t.map(counts).get(6) === undefined) throw new Error('the program did not count')
  out.push(
    {
      area: 'progrun',
      name: `${RUNS} harness runs of xdp_count in the emulator`,
      value: runs,
      unit: 'ms',
      goal: 'under 2000 ms',
      met: runs < 2000,
    },
    {
      area: 'progrun',
      name: 'harness start, emulator',
      value: start,
      unit: 'ms',
      goal: 'under 100 ms',
      met: start < 100,
    },
  )
  const frames = readCaptureFile(join(root, 'programs/xdp-count/capture.pcap')).packets
  const [decoding] = await interleaved(5, [
    () => {
      for (let i = 0; i < 20; i++) for (const { data } of frames) decodePacket(data)
    },
  ])
  out.push({
    area: 'progrun',
    name: 'packets decoded',
    value: (20 * frames.length) / (decoding / 1000),
    unit: 'packets/s',
  })
  if (kernelUnavailable().length === 0) {
    const pass = xdp('pass', (b) => b.PASS)
    using kernel = await harness(xdpCount, { backend: 'kernel' })
    using floor = await harness(pass, { backend: 'kernel' })
    const result = bench(
      kernel,
      xdpCount,
      { packet: segment },
      { reference: { t: floor, program: pass, options: { packet: segment } } },
    )
    out.push({
      area: 'progrun',
      name: 'xdp_count in the kernel, a run',
      value: result.medianNs,
      unit: 'ns',
      peer: 'a program that only returns XDP_PASS',
      peerValue: result.medianNs / (result.ratio ?? 1),
      ratio: result.ratio,
    })
  }
  return [...out, ...startUp(), ...inVitest()]
}
