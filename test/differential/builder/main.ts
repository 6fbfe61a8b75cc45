import fc from 'fast-check'
import { loadImage, realSys, testRun } from 'typebpf/kernel'
import { collectObject, linkProgram } from 'typebpf/spec'
import { construct } from './construct.ts'
import { evaluate } from './evaluate.ts'
import { type GeneratedProgram, generated } from './language.ts'

// npm run fuzz:builder -- --programs N --seed S [--json]
const argument = (name: string, otherwise: number): number => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const programs = argument('programs', 1000)
const seed = argument('seed', 1)
const sys = realSys()
const counts = {
  area: 'builder',
  seed,
  programs: 0,
  runs: 0,
  rejected: 0,
  tooLarge: 0,
  different: 0,
  failed: 0,
  instructions: 0,
}

/** undefined: agrees. */
function check(program: GeneratedProgram): string | undefined {
  const made = construct(program)
  let object: ReturnType<typeof collectObject>
  try {
    object = collectObject({ made })
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'build.stack') {
      counts.tooLarge++
      return undefined
    }
    throw error
  }
  const image = linkProgram(object, 'generated')
  counts.instructions += image.insns.length / 8
  using loaded = loadImage(sys, image, { logLevel: 0 })
  if (loaded.verdict !== 'accept' || loaded.program === undefined) {
    using again = loadImage(sys, image, { logLevel: 1 })
    if (/too large|too complex/.test(`${again.message} ${again.log}`)) {
      counts.tooLarge++
      return undefined
    }
    counts.rejected++
    return `the kernel rejects it: ${again.message}\n${again.log.slice(-1500)}`
  }
  for (const input of program.inputs) {
    const expected = evaluate(program, input)
    const out = testRun(sys, loaded.program.fd, { data: input })
    counts.runs++
    const got = new DataView(out.data.buffer, out.data.byteOffset).getBigUint64(56, true)
    if (out.retval !== 2 || got !== expected) {
      counts.different++
      return `returns ${out.retval}, result ${got}, expected ${expected}, input ${Buffer.from(input).toString('hex')}`
    }
  }
  return undefined
}

const started = Date.now()
let problem: string | undefined
const CHUNK = 500
for (let done = 0; done < programs && problem === undefined; done += CHUNK) {
  const result = fc.check(
    fc.property(generated, (program) => {
      counts.programs++
      const answer = check(program)
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
