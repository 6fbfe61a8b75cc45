import { existsSync } from 'node:fs'
import type { Figure } from './figure.ts'

/** `npm run bench -- AREA [--json]`: a line a figure. An area is a file of this folder that exports `figures()`. */
const AREAS = [
  'asm',
  'object',
  'kernel',
  'verifier',
  'emulator',
  'builder',
  'progrun',
  'vm',
  'cli',
  'programs',
  'net',
  'tools',
] as const

const args = process.argv.slice(2)
const json = args.includes('--json')
const wanted = args.filter((arg) => !arg.startsWith('-'))
const known = AREAS.filter((area) => existsSync(new URL(`./${area}.ts`, import.meta.url)))
const unknown = wanted.filter((area) => !(known as readonly string[]).includes(area))
if (wanted.length === 0 || unknown.length > 0) {
  if (unknown.length > 0) process.stderr.write(`bench: no area ${unknown.join(', ')}\n`)
  process.stderr.write(`usage: npm run bench -- AREA… [--json]; areas: ${known.join(' ')}\n`)
  process.exit(2)
}

const round = (value: number): string => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3))

for (const area of wanted) {
  const module = (await import(`./${area}.ts`)) as { figures(): Promise<readonly Figure[]> }
  for (const figure of await module.figures()) {
    if (json) process.stdout.write(`${JSON.stringify(figure)}\n`)
    else {
      const peer =
        figure.peer === undefined
          ? ''
          : figure.peerValue === undefined
            ? `  (${figure.peer})`
            : `  ${figure.peer} ${round(figure.peerValue)} ${figure.unit}, ratio ${round(figure.ratio ?? Number.NaN)}`
      const goal = figure.goal === undefined ? '' : `  goal ${figure.goal}: ${figure.met === true ? 'met' : 'not met'}`
      process.stdout.write(`${figure.area}  ${figure.name}: ${round(figure.value)} ${figure.unit}${peer}${goal}\n`)
    }
  }
}
