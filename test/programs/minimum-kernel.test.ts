// The oldest kernel that a tool names, in the list and on its page, is the one that its programs and its attachments ask for.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { refused } from '../../programs/lib/refused.ts'
import { TOOLS } from '../../programs/tools.ts'
import { collectObject, compareVersions, minimumKernel, type ObjectSpec } from '../../src/spec/index.ts'

const folder = (name: string): URL => new URL(`../../programs/${name}/`, import.meta.url)

/** Attachments that need more than what the program itself does; tracing ones go by perf events, which are older than BPF. */
const ATTACHMENTS: Readonly<Record<string, string>> = { xdp: '5.9', cgroup: '5.7', tcx: '6.6' }

function oldest(object: ObjectSpec): string {
  const versions = object.programs.flatMap((program) => [
    minimumKernel(object, program).version,
    ATTACHMENTS[program.attach?.kind ?? ''] ?? '0',
  ])
  return versions.reduce((a, b) => (compareVersions(a, b) < 0 ? b : a))
}

describe.each(TOOLS)('$name', ({ name, kernel }) => {
  test('runs on the kernel that it names, and needs it', async () => {
    const module = (await import(new URL(`${name}.bpf.ts`, folder(name)).pathname)) as object
    expect(oldest(collectObject(module, { name }))).toBe(kernel)
  })

  test('says so on its page and in the list of pages', () => {
    const page = readFileSync(new URL('README.md', folder(name)), 'utf8')
    expect(page).toContain(`**Minimum kernel:** ${kernel}`)
    expect(page).toMatch(/\*\*Privileges:\*\* /)
    const list = readFileSync(new URL('../../docs/tools.md', import.meta.url), 'utf8')
    expect(list).toMatch(new RegExp(`^\\| \\[${name}\\]\\(.*\\| ${kernel} \\|$`, 'm'))
  })
})

test('on a kernel that is too old a tool says so, on a newer one that the mistake is its own', async () => {
  const module = (await import(new URL('tc-shaper.bpf.ts', folder('tc-shaper')).pathname)) as object
  const object = collectObject(module, { name: 'tc-shaper' })
  const result = { verdict: 'reject', errno: 22, message: 'BPF_STX uses reserved fields' } as const
  const on = (kernel: string) => refused('tc-shaper', { object, spec: object.programs[0], result, kernel })
  expect(on('5.10.0-46-cloud-amd64')).toMatchObject({
    code: 'tool.kernel',
    exitCode: 3,
    message: 'tc-shaper needs Linux 6.6 or newer, this is 5.10.0-46-cloud-amd64',
  })
  expect(on('6.18.44')).toMatchObject({ code: 'tool.rejected', exitCode: 1 })
})
