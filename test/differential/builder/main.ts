import fc from 'fast-check'
import { check } from './check.ts'
import { generated } from './language.ts'

// npm run fuzz:builder -- --programs N --seed S [--seconds N] [--json]
const argument = (name: string, otherwise: number): number => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const programs = argument('programs', 1000)
const seed = argument('seed', 1)
/** A campaign that has no more time than this says how far it came. */
const seconds = argument('seconds', Number.POSITIVE_INFINITY)
const counts = {
  area: 'builder',
  seed,
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

const started = Date.now()
let problem: string | undefined
const CHUNK = 100
const late = (): boolean => (Date.now() - started) / 1000 > seconds
for (let done = 0; done < programs && problem === undefined && !late(); done += CHUNK) {
  const result = fc.check(
    fc.property(generated, (program) => {
      counts.programs++
      const answer = check(program, counts)
      if (answer !== undefined) throw new Error(answer)
    }),
    { numRuns: Math.min(CHUNK, programs - done), seed: seed + done, endOnFailure: false },
  )
  if (result.failed) {
    problem = `seed ${result.seed}: ${result.errorInstance instanceof Error ? result.errorInstance.stack : String(result.errorInstance)}\n${JSON.stringify(
      result.counterexample?.[0].statements,
      (_, value) => (typeof value === 'bigint' ? `${value}n` : value),
    )}`
    counts.failed++
  }
}
if (problem !== undefined) console.error(problem)
console.log(JSON.stringify({ ...counts, seconds: (Date.now() - started) / 1000 }))
process.exitCode = problem === undefined ? 0 : 1
