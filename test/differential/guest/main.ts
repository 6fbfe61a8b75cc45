/**
 * The campaign in a guest: programs that the running kernel's policy may deny (LSM, freplace, fentry, fexit, tracing of
 * programs), judged by another kernel in QEMU and by the model with that kernel's types.
 *
 *   npm run fuzz:guest -- --kernel VMLINUZ|PACKAGE.deb [--programs N] [--seed S] [--objects DIR] [--generators A,B]
 *       [--failures DIR] [--accelerator tcg|kvm] [--append WORDS] [--json]
 *
 * `--generators` takes families of this campaign and generators of the ordinary one (`ordinary`: all of those). Progress on
 * standard error; the last line is a JSON summary; exit 1 on any wrong accept, wrong reject or crash, 2 where no guest starts.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { useTypesOf } from '../verifier/kernel-types.ts'
import { judgeImage } from '../verifier/model.ts'
import { runGuestCampaign } from './campaign.ts'
import { familiesFor } from './families/index.ts'
import { askGuest, askKernel, starter } from './guest.ts'
import { baseArchive } from './initramfs.ts'
import { KERNEL_HINT, kernelImage } from './kernel-image.ts'
import { counted, examples, familyLine, summaryOf } from './report.ts'
import { secondOpinion } from './second-opinion.ts'
import { GuestError, guestTools } from './tools.ts'

const USAGE =
  'usage: fuzz:guest -- --kernel VMLINUZ|PACKAGE.deb [--programs N] [--seed S] [--objects DIR] [--generators A,B] ' +
  '[--failures DIR] [--accelerator tcg|kvm] [--append WORDS] [--json]'
/** The kernel whose answers the model gives. */
const MODELLED = '6.18.'

const say = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

function options() {
  const { values } = parseArgs({
    options: {
      kernel: { type: 'string' },
      programs: { type: 'string', default: '1000' },
      seed: { type: 'string', default: '1' },
      objects: { type: 'string' },
      generators: { type: 'string' },
      failures: { type: 'string' },
      accelerator: { type: 'string', default: 'tcg' },
      append: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
    },
  })
  const programs = Number(values.programs)
  const seed = Number(values.seed)
  if (!Number.isInteger(programs) || programs < 1 || !Number.isInteger(seed)) throw new GuestError(USAGE)
  if (values.kernel === undefined) throw new GuestError(`no kernel; ${KERNEL_HINT}`)
  return { ...values, kernel: values.kernel, programs, seed }
}

async function campaign(folder: string): Promise<number> {
  const { kernel: path, programs, seed, objects, generators, failures: failuresTo, json, ...how } = options()
  const tools = guestTools()
  const started = Date.now()
  const start = starter(
    { qemu: tools.qemu, kernel: kernelImage(path, folder), folder, accelerator: how.accelerator, append: how.append },
    baseArchive(tools),
  )
  say('starting the guest to learn its types')
  const kernel = await askKernel(start)
  say(`the guest runs Linux ${kernel.release}`)
  if (!kernel.release.startsWith(MODELLED))
    say(`the model answers for Linux ${MODELLED}x: differences may be the kernels'`)
  useTypesOf(kernel.btf)
  // not before: some of them keep what they find of the kernel's types
  const { GENERATORS } = await import('../verifier/generators/index.ts')
  const families = familiesFor(kernel, {
    ordinary: GENERATORS,
    ...(objects === undefined ? {} : { objects }),
    ...(generators === undefined ? {} : { only: generators.split(',') }),
  })
  const result = await runGuestCampaign({
    families,
    programs,
    seed,
    release: kernel.release,
    second: secondOpinion(kernel.btf, MODELLED),
    ask: (requests) => askGuest(start, requests, counted(say)),
    judge: ({ image }) => judgeImage(image),
    progress: say,
  })
  const summary = summaryOf(result, {
    seed,
    kernel: kernel.release,
    seconds: Math.round((Date.now() - started) / 1000),
  })
  if (failuresTo !== undefined) {
    mkdirSync(failuresTo, { recursive: true })
    const { index, rows } = examples(result.failures)
    writeFileSync(join(failuresTo, 'INDEX'), `${index.join('\n')}\n`)
    writeFileSync(join(failuresTo, 'failures.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  }
  if (!json) {
    for (const report of result.reports) process.stdout.write(`${familyLine(report)}\n`)
    for (const [title, rows] of [
      ['unsupported', result.unsupported],
      ['known difference', result.known],
      ['not asked', result.notAsked],
    ] as const)
      for (const [what, count] of [...rows].sort((a, b) => b[1] - a[1]).slice(0, 20))
        process.stdout.write(`${title} ${String(count).padStart(6)}  ${what}\n`)
  }
  process.stdout.write(`${JSON.stringify({ ...summary, ...(json ? { generators: result.reports } : {}) })}\n`)
  return summary.wrongAccepts + summary.wrongRejects + summary.crashes > 0 ? 1 : 0
}

const folder = mkdtempSync(join(tmpdir(), 'typebpf-guest-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
try {
  process.exitCode = await campaign(folder)
} catch (error) {
  say(`fuzz:guest: ${error instanceof Error ? error.message : String(error)}`)
  if (!(error instanceof GuestError) && error instanceof Error) say(error.stack ?? '')
  process.exitCode = 2
}
