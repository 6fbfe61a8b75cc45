import { fork } from 'node:child_process'
import fc from 'fast-check'
import { type Counts, check } from './check.ts'
import { generated } from './language.ts'

// npm run fuzz:builder -- --programs N --seed S [--jobs N] [--seconds N] [--json]
const argument = (name: string, otherwise: number): number => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const programs = argument('programs', 1000)
const seed = argument('seed', 1)
/** A campaign that has no more time than this says how far it came. */
const seconds = argument('seconds', Number.POSITIVE_INFINITY)
/** Processes that share the campaign; which one of them this is. */
const jobs = argument('jobs', 1)
const job = argument('job', -1)
const CHUNK = 100
const started = Date.now()

interface Outcome extends Counts {
  failed: number
}
const outcome: Outcome = {
  programs: 0,
  runs: 0,
  rejected: 0,
  tooLarge: 0,
  different: 0,
  kernelFaults: 0,
  kernelWrong: 0,
  emulatorOnly: 0,
  failed: 0,
  instructions: 0,
}

/** Every `jobs`th chunk: what is generated depends on the seed alone, not on who does it. */
function work(): void {
  const late = (): boolean => (Date.now() - started) / 1000 > seconds
  for (
    let done = Math.max(job, 0) * CHUNK;
    done < programs && outcome.failed === 0 && !late();
    done += (job < 0 ? 1 : jobs) * CHUNK
  ) {
    const result = fc.check(
      fc.property(generated, (program) => {
        outcome.programs++
        const answer = check(program, outcome)
        if (answer !== undefined) throw new Error(answer)
      }),
      { numRuns: Math.min(CHUNK, programs - done), seed: seed + done, endOnFailure: false },
    )
    if (!result.failed) continue
    outcome.failed++
    console.error(
      `seed ${result.seed}: ${result.errorInstance instanceof Error ? result.errorInstance.stack : String(result.errorInstance)}\n${JSON.stringify(
        result.counterexample?.[0].statements,
        (_, value) => (typeof value === 'bigint' ? `${value}n` : value),
      )}`,
    )
  }
}

/** Gives each job to a process of its own and adds up what they count. */
async function share(): Promise<void> {
  const parts = Array.from({ length: jobs }, (_, index) => {
    const child = fork(import.meta.filename, [...process.argv.slice(2), '--job', String(index)])
    return new Promise<void>((done) => {
      let answered = false
      child.on('message', (part: Outcome) => {
        answered = true
        for (const key of Object.keys(outcome) as (keyof Outcome)[]) outcome[key] += part[key]
      })
      child.on('exit', (code, signal) => {
        if (!answered) {
          outcome.failed++
          console.error(`job ${index} ended without an answer (${signal ?? code})`)
        }
        done()
      })
    })
  })
  await Promise.all(parts)
}

if (jobs > 1 && job < 0) await share()
else work()
if (job < 0) console.log(JSON.stringify({ area: 'builder', seed, ...outcome, seconds: (Date.now() - started) / 1000 }))
else process.send?.(outcome)
process.exitCode = outcome.failed === 0 ? 0 : 1
