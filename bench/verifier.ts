import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createJudge } from '../src/syscall/index.ts'
import { verify } from '../src/verifier/index.ts'
import { Code, JMP } from '../test/differential/verifier/code.ts'
import { type CorpusRow, corpusImage, corpusRows } from '../test/differential/verifier/corpora.ts'
import { finished, imageOf } from '../test/differential/verifier/program.ts'
import { type Figure, interleaved, median } from './figure.ts'

const EXPLOSION = 'ebpf-samples/cilium/bpf_xdp_snat_linux_v1.o'
const EXPLOSION_SECTION = '2/10'
const RUNS = 3

/** A counted loop of about `processed` instructions: what one more instruction costs must not depend on how many there were. */
function countedLoop(processed: number): ReturnType<typeof imageOf> {
  const code = new Code()
  const start = code.label()
  code.mov(6, 0).mov(7, 3).place(start)
  for (let i = 0; i < 7; i++) code.aluReg(i % 2 === 0 ? 0x00 : 0xa0, 7, 6)
  code
    .alu(0x00, 6, 1)
    .jumpIf(JMP.jlt, 6, Math.floor(processed / 9), start)
    .mov(0, 0)
    .exit()
  return imageOf(finished(code, { type: 'socket_filter' }))
}

/** Time of one verification in milliseconds, the middle of several. */
function milliseconds(image: ReturnType<typeof imageOf>): number {
  const times: number[] = []
  for (let i = 0; i < RUNS; i++) {
    const started = performance.now()
    verify(image)
    times.push(performance.now() - started)
  }
  return median(times)
}

async function corpora(): Promise<Figure[]> {
  let rows: CorpusRow[]
  try {
    rows = corpusRows().filter(({ verdict }) => verdict === 'ACCEPT')
  } catch {
    return [{ area: 'verifier', name: 'corpora', value: 0, unit: 'ms', peer: 'the corpora are not here' }]
  }
  const judge = createJudge()
  const images = rows
    .map((row) => ({ row, image: corpusImage(row) }))
    .filter(({ image }) => verify(image).verdict === 'accept' && judge.judge(image).verdict === 'accept')
  let processed = 0
  const kernelTimes: number[] = []
  const modelTimes: number[] = []
  for (let run = 0; run < RUNS; run++) {
    let kernelUs = 0
    let modelMs = 0
    processed = 0
    for (const { image } of images) {
      kernelUs += judge.judge(image).timeUs ?? 0
      const started = performance.now()
      processed += verify(image).processed
      modelMs += performance.now() - started
    }
    kernelTimes.push(kernelUs / 1000)
    modelTimes.push(modelMs)
  }
  const kernel = median(kernelTimes)
  const model = median(modelTimes)
  const figures: Figure[] = [
    {
      area: 'verifier',
      name: `${images.length} accepted programs of the corpora`,
      value: model,
      unit: 'ms',
      peer: "the kernel's own time",
      peerValue: kernel,
      ratio: model / kernel,
      goal: 'at most 2 times',
      met: model / kernel <= 2,
    },
    { area: 'verifier', name: 'time per processed instruction', value: (model * 1e6) / processed, unit: 'ns' },
  ]
  const explosion = images.find(({ row }) => row.object === EXPLOSION && row.section === EXPLOSION_SECTION)
  if (explosion !== undefined) {
    const [modelMs, kernelMs] = await interleaved(RUNS, [
      () => verify(explosion.image),
      () => judge.judge(explosion.image),
    ])
    figures.push(
      {
        area: 'verifier',
        name: 'path explosion (128,963 processed)',
        value: modelMs,
        unit: 'ms',
        peer: 'BPF_PROG_LOAD',
        peerValue: kernelMs,
        ratio: modelMs / kernelMs,
      },
      ...peakMemory(),
    )
  }
  return figures
}

/** Peak memory of a process that does nothing else. */
function peakMemory(): Figure[] {
  const { stdout, status } = spawnSync(
    process.execPath,
    [...process.execArgv, new URL('./verifier-memory.ts', import.meta.url).pathname, EXPLOSION, EXPLOSION_SECTION],
    { encoding: 'utf8' },
  )
  if (status !== 0) return []
  const { addedMiB, wholeMiB } = JSON.parse(stdout) as { addedMiB: number; wholeMiB: number }
  return [
    { area: 'verifier', name: 'path explosion, peak memory added', value: addedMiB, unit: 'MiB' },
    { area: 'verifier', name: 'path explosion, peak memory of the process', value: wholeMiB, unit: 'MiB' },
  ]
}

/** The verifier model: against the kernel on real programs, and how its cost grows. */
export async function figures(): Promise<Figure[]> {
  const result = existsSync('/proc/self') ? await corpora() : []
  const sizes = [1000, 10_000, 100_000, 900_000]
  for (let i = 0; i < 20; i++) verify(countedLoop(10_000)) // compiled before it is measured
  const costs = sizes.map((size) => {
    const image = countedLoop(size)
    return (milliseconds(image) * 1e6) / verify(image).processed
  })
  sizes.forEach((size, i) => {
    result.push({
      area: 'verifier',
      name: `cost of an instruction at ${size} processed`,
      value: costs[i],
      unit: 'ns',
      peer: `at ${sizes[1]}`,
      peerValue: costs[1],
      ratio: costs[i] / costs[1],
      goal: 'flat: at most 1.5 times',
      met: costs[i] / costs[1] <= 1.5,
    })
  })
  return result
}
