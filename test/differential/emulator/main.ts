// npm run fuzz:emulator -- --programs N --seed S [--inputs K] [--json]: random programs in the running kernel and in both engines.
import { parseArgs } from 'node:util'
import { realSys } from '../../../src/syscall/index.ts'
import { programTypeName } from '../../../src/uapi/index.ts'
import { difference, emulatorAnswers, kernelAnswers } from './compare.ts'
import { Generator } from './generate.ts'
import { kindOf } from './kinds.ts'
import { onlyCpu, runPinned } from './pin.ts'
import { Random } from './random.ts'

const { values } = parseArgs({
  options: {
    programs: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    inputs: { type: 'string', default: '4' },
    json: { type: 'boolean', default: false },
  },
})
const programs = Number(values.programs)
const firstSeed = Number(values.seed)
const inputs = Number(values.inputs)
if (![programs, firstSeed, inputs].every((value) => Number.isInteger(value) && value >= 0)) {
  process.stderr.write('--programs, --seed and --inputs are whole numbers\n')
  process.exit(2)
}

runPinned()
const sys = realSys()
const pinned = onlyCpu() !== undefined
const count = { accepted: 0, refused: 0, runs: 0, differences: 0 }
const types: Record<string, number> = {}
const refusals = new Map<string, number>()
for (let seed = firstSeed; seed < firstSeed + programs; seed++) {
  const image = new Generator(seed, pinned).generate()
  const random = new Random(seed ^ 0x5bd1e995)
  const kind = kindOf(programTypeName(image.type))
  const given = Array.from({ length: inputs }, () => kind?.input(random) ?? {})
  const kernel = kernelAnswers(image, given, sys)
  if ('refused' in kernel) {
    count.refused++
    const reason = kernel.refused.replace(/\d+/g, 'N')
    refusals.set(reason, (refusals.get(reason) ?? 0) + 1)
    continue
  }
  count.accepted++
  const type = programTypeName(image.type) ?? String(image.type)
  types[type] = (types[type] ?? 0) + 1
  for (const engine of ['interpreter', 'wasm'] as const) {
    count.runs += inputs
    const wrong = difference(kernel, emulatorAnswers(image, given, engine))
    if (wrong === undefined) continue
    count.differences++
    process.stderr.write(`seed ${seed} (${type}, ${engine}): ${wrong}\n`)
  }
}
if (!values.json)
  for (const [reason, times] of [...refusals].sort((a, b) => b[1] - a[1]).slice(0, 10))
    process.stdout.write(`refused ${times} times: ${reason}\n`)
process.stdout.write(`${JSON.stringify({ seed: firstSeed, programs, ...count, pinned, types })}\n`)
process.exitCode = count.differences === 0 && count.accepted > 0 ? 0 : 1
