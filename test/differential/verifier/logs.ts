/**
 * The log at level 2, held against the kernel's line by line: generated programs and programs of the corpora.
 *
 *   node --conditions=typebpf-source --import tsx test/differential/verifier/logs.ts [--programs N] [--seed S] [--corpora N] [--show]
 */
import { parseArgs } from 'node:util'
import { createJudge } from '../../../src/syscall/index.ts'
import { programAt } from './campaign.ts'
import { corpusImage, corpusRows } from './corpora.ts'
import { openKernel } from './kernel.ts'
import { judgeImage } from './model.ts'
import { imageOf } from './program.ts'

/** Lines without what differs from run to run: addresses, times. */
export function logLines(log: string): string[] {
  return log
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('verification time'))
    .map((line) =>
      line
        .replace(/verification time \d+ usec$/, 'verification time')
        .replace(/(\(18\) r\d+ = )0x[0-9a-f]+/, '$1…')
        .replace(/0xffff[0-9a-f]{12}/g, '0x…')
        .replace(/\s+/g, ' ')
        .trimEnd(),
    )
}

/** How many lines of `ours` stand in `theirs` in order: the longest common subsequence where short, else from both ends. */
export function equalLines(ours: readonly string[], theirs: readonly string[]): number {
  let start = 0
  while (start < ours.length && start < theirs.length && ours[start] === theirs[start]) start++
  let end = 0
  while (end < ours.length - start && end < theirs.length - start && ours.at(-1 - end) === theirs.at(-1 - end)) end++
  const a = ours.slice(start, ours.length - end)
  const b = theirs.slice(start, theirs.length - end)
  if (a.length * b.length > 4_000_000) return start + end
  let row = new Int32Array(b.length + 1)
  for (const line of a) {
    const next = new Int32Array(b.length + 1)
    for (let j = 0; j < b.length; j++) next[j + 1] = line === b[j] ? row[j] + 1 : Math.max(next[j], row[j + 1])
    row = next
  }
  return start + end + row[b.length]
}

const LARGEST_LOG = 4 * 1024 * 1024

function main(): void {
  const { values } = parseArgs({
    options: {
      programs: { type: 'string', default: '2000' },
      seed: { type: 'string', default: '3' },
      corpora: { type: 'string', default: '50' },
      show: { type: 'boolean', default: false },
    },
  })
  const totals = { generated: [0, 0, 0, 0], corpora: [0, 0, 0, 0] }
  const different = new Map<string, number>()
  const count = (
    kind: keyof typeof totals,
    kernelLog: string | undefined,
    modelLog: string | undefined,
    name: string,
  ): void => {
    if (kernelLog === undefined || modelLog === undefined || kernelLog.length > LARGEST_LOG) return
    const kernel = logLines(kernelLog)
    const model = logLines(modelLog)
    const same = equalLines(kernel, model)
    const total = totals[kind]
    total[0]++
    if (same === kernel.length && same === model.length) total[1]++
    total[2] += kernel.length
    total[3] += same
    if (same < kernel.length && values.show) {
      const at = kernel.findIndex((line, i) => line !== model[i])
      process.stdout.write(`${name} line ${at}\n  kernel ${kernel[at]}\n  model  ${model[at]}\n`)
    }
    if (same < kernel.length) {
      const at = kernel.findIndex((line, i) => line !== model[i])
      const shape = (kernel[at] ?? '').replace(/0x[0-9a-f…]+|-?\d+/g, 'N').slice(0, 60)
      different.set(shape, (different.get(shape) ?? 0) + 1)
    }
  }
  const kernel = openKernel()
  for (let index = 0; index < Number(values.programs); index++) {
    const { generator, program } = programAt(Number(values.seed), index)
    const quick = kernel.judge(program)
    if ((quick.processed ?? 0) > 20_000) continue
    const model = judgeImage(imageOf(program), 6)
    if (model.verdict === 'unsupported') continue
    count('generated', kernel.judge(program, 2).log, model.log, `${generator} #${index}`)
  }
  kernel.close()
  const judge = createJudge()
  let taken = 0
  for (const row of corpusRows()) {
    if (taken >= Number(values.corpora)) break
    if (!/ACCEPT|REJECT/.test(row.verdict) || (row.processed ?? 0) > 5000 || (row.processed ?? 0) < 60) continue
    const image = corpusImage(row)
    const model = judgeImage(image, 6)
    if (model.verdict === 'unsupported') continue
    taken++
    count('corpora', judge.judge(image, { logLevel: 2 }).log, model.log, `${row.object} ${row.section}`)
  }
  for (const [shape, n] of [...different].sort((a, b) => b[1] - a[1]).slice(0, 25))
    process.stdout.write(`${String(n).padStart(6)}  first different line: ${shape}\n`)
  const summary = Object.fromEntries(
    Object.entries(totals).map(([kind, [programs, equal, lines, same]]) => [
      kind,
      { programs, programsEqual: equal, lines, equalLines: same, share: same / lines },
    ]),
  )
  process.stdout.write(`${JSON.stringify(summary)}\n`)
}

if (process.argv[1]?.endsWith('logs.ts')) main()
