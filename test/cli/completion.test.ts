import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { COMMANDS } from '../../src/cli/commands.ts'
import { completionScript } from '../../src/cli/completion.ts'
import { NOUNS } from '../../src/cli/words/nouns.ts'
import { testWith } from '../requirements.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'typebpf-completion-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const complete = async (...words: string[]): Promise<string[]> => {
  const file = join(folder, 'typebpf.bash')
  writeFileSync(file, await completionScript('bash'))
  const array = ['typebpf', ...words].map((word) => `'${word}'`).join(' ')
  const script = `source ${file}; COMP_WORDS=(${array}); COMP_CWORD=${words.length}; _typebpf; printf '%s\\n' "\${COMPREPLY[@]}"`
  return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split('\n')
}

testWith('program:bash')('bash completes the commands', async () => {
  const names = await complete('')
  for (const { name } of [...COMMANDS, ...NOUNS]) expect(names).toContain(name)
})

/** Lines that each shell is asked to complete, and words that must be among its answers. */
const LINES: readonly (readonly [line: readonly string[], among: readonly string[], not: readonly string[]])[] = [
  [['pro'], ['prog'], ['map']],
  [['prog', ''], ['show', 'list', 'dump', 'loadall', 'tracelog'], ['event_pipe']],
  [['prog', 'dump', ''], ['xlated', 'jited', 'opcodes', 'visual'], ['recursive']],
  [['map', 'dump', ''], ['id', 'name', 'pinned'], ['tag']],
  [['net', 'attach', 'tcx_'], ['tcx_ingress', 'tcx_egress'], ['xdp']],
  [['-j', 'link', 'de'], ['detach'], ['dump']],
  [['gen', ''], ['object', 'skeleton', 'min_core_btf'], []],
  [['struct_ops', 'un'], ['unregister'], ['register']],
]

testWith('program:bash')('bash completes subcommands and their words', async () => {
  for (const [line, among, not] of LINES) {
    const found = await complete(...line)
    for (const word of among) expect(found, line.join(' ')).toContain(word)
    for (const word of not) expect(found, line.join(' ')).not.toContain(word)
  }
})

testWith('program:fish')('fish completes the same', async () => {
  const file = join(folder, 'typebpf.fish')
  writeFileSync(file, await completionScript('fish'))
  for (const [line, among, not] of LINES) {
    const asked = ['typebpf', ...line].join(' ')
    const out = execFileSync('fish', ['--no-config', '-c', `source ${file}; complete -C '${asked}'`], {
      encoding: 'utf8',
    })
    const found = out.split('\n').map((row) => row.split('\t')[0])
    for (const word of among) expect(found, asked).toContain(word)
    for (const word of not) expect(found, asked).not.toContain(word)
  }
})

testWith('program:zsh')('zsh completes the same', async () => {
  const file = join(folder, '_typebpf')
  writeFileSync(file, await completionScript('zsh'))
  for (const [line, among, not] of LINES) {
    const words = ['typebpf', ...line].map((word) => `'${word}'`).join(' ')
    // the function with the shell's own completion helpers in place: what it offers is what it describes
    const script = `
      compdef() { : }
      _describe() { print -l -- \${(P)2} }
      _files() { : }
      source ${file}
      words=(${words}); CURRENT=\${#words}
      _typebpf`
    const out = execFileSync('zsh', ['-f', '-c', script], { encoding: 'utf8' })
    const typed = line.at(-1) ?? ''
    const found = out
      .split('\n')
      .map((row) => row.split(':')[0])
      .filter((word) => word.startsWith(typed))
    for (const word of among) expect(found, line.join(' ')).toContain(word)
    for (const word of not) expect(found, line.join(' ')).not.toContain(word)
  }
})

testWith('program:bash')('bash completes the options of a command', async () => {
  expect(await complete('doctor', '--j')).toEqual(['--json'])
})

test('every shell gets every command', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const script = await completionScript(shell)
    for (const { name } of COMMANDS) expect(script, shell).toContain(name)
  }
})

test('an unknown shell is one clear error', async () => {
  await expect(completionScript('tcsh')).rejects.toThrow('no completion for "tcsh": one of bash, zsh, fish')
})
