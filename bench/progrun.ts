import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
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

/** Seconds of a vitest run of one file, with what it does inside. */
function vitestSeconds(folder: string, name: string, body: string): number {
  const file = join(folder, `${name}.test.ts`)
  writeFileSync(file, body)
  const started = performance.now()
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      join(root, 'node_modules/vitest/vitest.mjs'),
      'run',
      '--root',
      root,
      '--config',
      join(folder, 'vitest.config.ts'),
      name,
    ],
    { cwd: root, encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`vitest ended with ${status}: ${stdout}${stderr}`)
  return (performance.now() - started) / 1000
}

function inVitest(): Figure[] {
  const folder = mkdtempSync(join(root, 'test/progrun/.bench-'))
  try {
    writeFileSync(
      join(folder, 'vitest.config.ts'),
      `export default { resolve: { conditions: ['typebpf-source', 'node'] }, ssr: { resolve: { conditions: ['typebpf-source', 'node'] } }, test: { pool: 'forks', include: ['${folder}/*.test.ts'] } }\n`,
    )
    const imports = `import { eth, harness, ipv4, packet, tcp } from 'typebpf/progrun'\nimport { xdpCount } from '${root}/programs/xdp-count/xdp-count.bpf.ts'\nimport { expect, test } from 'typebpf/vitest'\n`
    const empty = `${imports}test('nothing', () => { expect([harness, packet, eth, ipv4, tcp, xdpCount]).toHaveLength(6) })\n`
    const one = `${imports}test('start', async ({ bpf }) => { await bpf(xdpCount, { backend: 'emulator' }) })\n`
    const many = `${imports}test('runs', async ({ bpf }) => {\n  const t = await bpf(xdpCount, { backend: 'emulator' })\n  const segment = packet(eth(), ipv4(), tcp())\n  for (let i = 0; i < ${RUNS}; i++) t.run(xdpCount, { packet: segment })\n})\n`
    const times = { empty: [] as number[], one: [] as number[], many: [] as number[] }
    for (let i = 0; i < 3; i++) {
      times.empty.push(vitestSeconds(folder, 'empty', empty))
      times.one.push(vitestSeconds(folder, 'one', one))
      times.many.push(vitestSeconds(folder, 'many', many))
    }
    const floor = median(times.empty)
    const start = (median(times.one) - floor) * 1000
    const runs = median(times.many) - floor
    const peer = 'a vitest file that imports the same and does nothing'
    return [
      {
        area: 'progrun',
        name: 'harness start in a vitest file, over the floor',
        value: start,
        unit: 'ms',
        peer,
        peerValue: floor * 1000,
        goal: 'under 100 ms',
        met: start < 100,
      },
      {
        area: 'progrun',
        name: `${RUNS} emulator runs in a vitest file, over the floor`,
        value: runs,
        unit: 's',
        peer,
        peerValue: floor,
        goal: 'under 2 s',
        met: runs < 2,
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
  return [...out, ...inVitest()]
}
