import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { COMMANDS } from '../../src/cli/commands.ts'
import { completionScript } from '../../src/cli/completion.ts'
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
  for (const { name } of COMMANDS) expect(names).toContain(name)
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
