import type { Command } from 'commander'
import { EXIT } from '../errors/index.ts'
import { diagnose, type Finding, type Status } from './doctor/checks.ts'
import { collectFacts } from './doctor/facts.ts'

const MARK: Readonly<Record<Status, string>> = {
  ok: 'ok     ',
  limited: 'limited',
  missing: 'MISSING',
  unknown: 'unknown',
}
const COLOUR: Readonly<Record<Status, string>> = { ok: '32', limited: '33', missing: '31', unknown: '2' }

function paint(status: Status, colour: boolean): string {
  return colour ? `\x1b[${COLOUR[status]}m${MARK[status]}\x1b[0m` : MARK[status]
}

function render(findings: readonly Finding[], colour: boolean): string {
  let out = ''
  let area = ''
  for (const { area: own, status, found, effect, cure } of findings) {
    if (own !== area) out += `${out === '' ? '' : '\n'}${own}\n`
    area = own
    out += `  ${paint(status, colour)}  ${found}\n`
    if (effect !== undefined) out += `           ${effect}\n`
    if (cure !== undefined) out += `           → ${cure}\n`
  }
  return out
}

export function register(program: Command): void {
  program
    .command('doctor')
    .description('what of BPF works on this machine, what does not, why, and what to do')
    .option('-j, --json', 'an array of findings on standard output')
    .option('-p, --pretty', 'indented JSON')
    .addHelpText('after', '\nExit: 0 nothing vital is missing, 1 something is.')
    .action((options: { json?: boolean; pretty?: boolean }) => {
      const findings = diagnose(collectFacts())
      if (options.json === true || options.pretty === true)
        process.stdout.write(`${JSON.stringify(findings, null, options.pretty === true ? 2 : undefined)}\n`)
      else
        process.stdout.write(render(findings, process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined))
      process.exitCode = findings.some(({ status }) => status === 'missing') ? EXIT.no : EXIT.ok
    })
}
