// The lessons of docs/tutorial as programs: every block that has a file name is written, every command is run, every output compared.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * A piece of a lesson. Files stand in a block after `<!-- example: NAME -->`, commands in `console` blocks: `$ COMMAND` and what it
 * prints. `<!-- needs: root -->` before a block: only with the privilege to load programs. `<!-- exits: 1 -->`: the exit code.
 */
export type Step =
  | { readonly kind: 'file'; readonly name: string; readonly text: string }
  | {
      readonly kind: 'command'
      readonly command: string
      readonly output: string
      readonly root: boolean
      readonly exits: number
      /** Where the output stands in the lesson. */
      readonly from: number
      readonly to: number
    }

const BLOCK = /((?:<!-- [^>]* -->\s*)*)```(\w+)\n([\s\S]*?)```/g

export function stepsOf(lesson: string): Step[] {
  const steps: Step[] = []
  for (const match of lesson.matchAll(BLOCK)) {
    const [whole, marks, language, text] = match
    const mark = (name: string): string | undefined => new RegExp(`<!-- ${name}: (\\S+) -->`).exec(marks)?.[1]
    const name = mark('example')
    if (name !== undefined) steps.push({ kind: 'file', name, text })
    if (language !== 'console') continue
    const start = match.index + whole.length - text.length - 3
    const commands = [...text.matchAll(/^\$ (.*)\n/gm)]
    commands.forEach((found, i) => {
      const begin = found.index + found[0].length
      const end = commands[i + 1]?.index ?? text.length
      steps.push({
        kind: 'command',
        command: found[1],
        output: text.slice(begin, end),
        root: mark('needs') === 'root',
        exits: Number(mark('exits') ?? 0),
        from: start + begin,
        to: start + end,
      })
    })
  }
  return steps
}

const COLORS = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g')

/** Without what differs from run to run and place to place: times, versions, sizes, npm's remarks. */
const plain = (text: string): string =>
  text
    .replace(COLORS, '')
    .replace(/^npm warn .*\n/gm, '')
    .replace(/\b\d+\.\d+\.\d+(-[\w.-]+)?\b/g, 'VERSION')
    .replace(/[\d,.]+ ?(µs|us|ms|ns|s)\b/g, 'TIME')
    // sizes and the model's effort; what they are about is compared
    .replace(/\b\d+ instructions\b(?! processed)/g, 'N instructions')
    .replace(/\.o: \d+ bytes/g, '.o: SIZE')
    .replace(/\d+ instructions processed, \d+ states/g, 'EFFORT')
    .replace(/[ \t]+$/gm, '')
    .trimEnd()

/** Whether an output is as the lesson shows it: `…` stands for the rest of a line, alone on a line for any lines. */
export function matches(shown: string, real: string): boolean {
  const pattern = plain(shown)
    .split('\n')
    .map((line) =>
      line.trim() === '…'
        ? '(?:.*\\n)*?.*'
        : line
            .split('…')
            .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
            .join('.*'),
    )
    .join('\\n')
  return new RegExp(`^${pattern}$`).test(plain(real))
}

export interface Place {
  /** An empty folder. */
  readonly folder: string
  /** Environment of the commands. */
  readonly env: Readonly<Record<string, string | undefined>>
}

export function writeStep({ folder }: Place, step: Extract<Step, { kind: 'file' }>): void {
  const path = join(folder, step.name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, step.text)
}
export function runStep(
  place: Place,
  step: Extract<Step, { kind: 'command' }>,
): { text: string; status: number | null } {
  const { stdout, stderr, status } = spawnSync('sh', ['-c', step.command], {
    cwd: place.folder,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, VITEST: undefined, ...place.env },
    timeout: 120_000,
  })
  return { text: stdout + stderr, status }
}

/** Commands that stand for others in a folder of their own: `shims(folder, { sudo: 'exec "$@"' })`. @returns a PATH with them first */
export function shims(folder: string, scripts: Readonly<Record<string, string>>): string {
  mkdirSync(folder, { recursive: true })
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(folder, name), 0o755)
  }
  return `${folder}:${process.env['PATH']}`
}

/** Writes into a lesson what its commands really print, where that is something else. */
export function updateLesson(
  path: string,
  outputs: readonly { readonly from: number; readonly to: number; readonly text: string }[],
): void {
  let lesson = readFileSync(path, 'utf8')
  for (const { from, to, text } of [...outputs].reverse())
    lesson = `${lesson.slice(0, from)}${text.replace(COLORS, '').trimEnd()}\n${lesson.slice(to)}`
  writeFileSync(path, lesson)
}
