import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { collectObject, compareVersions, minimumKernel, type ObjectSpec } from '../../src/spec/index.ts'
import { unmet } from '../requirements.ts'
import { matches, type Place, runStep, shims, stepsOf, updateLesson, writeStep } from './lessons.ts'

// TYPEBPF_UPDATE_LESSONS=1 writes what the commands print into the lessons.
// TYPEBPF_LESSONS_PACKAGE=FOLDER runs them with a package that was packed and unpacked there, as users have it.
const installed = process.env['TYPEBPF_LESSONS_PACKAGE']
const update = process.env['TYPEBPF_UPDATE_LESSONS'] === '1'
const root = fileURLToPath(new URL('../..', import.meta.url))
const tutorial = join(root, 'docs/tutorial')
const lessons = readdirSync(tutorial).filter((name) => /^\d\d-.*\.md$/.test(name))
// outside the project, or vitest would find the project's tests again behind the link
const all = mkdtempSync(join(tmpdir(), 'typebpf-lessons-'))
afterAll(() => rmSync(all, { recursive: true, force: true }))

writeFileSync(join(all, 'package.json'), JSON.stringify({ type: 'module' }))
// where npm install puts it
mkdirSync(join(all, 'node_modules'))
symlinkSync(installed ?? root, join(all, 'node_modules/typebpf'))
for (const name of ['vitest', '@types']) symlinkSync(join(root, 'node_modules', name), join(all, 'node_modules', name))

const tsx = import.meta.resolve('tsx')
const condition = installed === undefined ? '--conditions=typebpf-source ' : ''
const run = `exec ${process.execPath} ${condition}--import ${tsx}`
const command =
  installed === undefined
    ? `${run} ${join(root, 'src/cli/bin.ts')}`
    : `exec ${process.execPath} ${join(installed, 'dist/src/cli/bin.js')}`
const PATH = shims(join(all, 'bin'), {
  // what an installed package and its dependencies bring
  npx: `name=$1; shift; case $name in
typebpf) ${command} "$@";;
tsx) ${run} "$@";;
tsc) exec ${process.execPath} ${join(root, 'node_modules/typescript/bin/tsc')} ${installed === undefined ? '--customConditions typebpf-source ' : ''}"$@";;
*) echo "npx $name: not part of the lessons" >&2; exit 127;; esac`,
  node: `${run} "$@"`,
  sudo: 'exec "$@"',
})

function placeOf(lesson: string): Place {
  const folder = mkdtempSync(join(all, `${lesson.slice(0, 2)}-`))
  writeFileSync(join(folder, 'package.json'), '{ "name": "lessons", "private": true, "type": "module" }\n')
  writeFileSync(
    join(folder, 'vitest.config.ts'),
    installed === undefined
      ? "const resolve = { conditions: ['typebpf-source', 'node'] }\nexport default { resolve, ssr: { resolve } }\n"
      : 'export default {}\n',
  )
  return { folder, env: { PATH } }
}

describe('the tutorial', () => {
  test('has twelve lessons; each is in the list and says its kernel and its privileges', () => {
    const list = readFileSync(join(tutorial, 'README.md'), 'utf8')
    expect(lessons).toHaveLength(12)
    for (const name of lessons) {
      expect(list).toContain(`](${name})`)
      const text = readFileSync(join(tutorial, name), 'utf8')
      expect(text, name).toMatch(/^\*\*Minimum kernel:\*\* .+ \*\*Privileges:\*\* .+$/m)
      expect(
        stepsOf(text).some(({ kind }) => kind === 'command'),
        `${name} runs something`,
      ).toBe(true)
    }
  })

  test('the kernel that a lesson names is new enough for its programs', async () => {
    let checked = 0
    for (const name of lessons) {
      const text = readFileSync(join(tutorial, name), 'utf8')
      const line = /^\*\*Minimum kernel:\*\* (.*?) \*\*/m.exec(text)?.[1] ?? ''
      const said = [...line.matchAll(/\b\d\.\d+\b/g)].map(([version]) => version)
      const place = placeOf(name)
      for (const step of stepsOf(text)) {
        if (step.kind !== 'file' || !step.name.endsWith('.bpf.ts')) continue
        writeStep(place, step)
        let object: ObjectSpec
        try {
          object = collectObject((await import(join(place.folder, step.name))) as object, { name: step.name })
        } catch {
          continue // a mistake that the lesson is about
        }
        for (const program of object.programs) {
          const { version } = minimumKernel(object, program)
          checked++
          expect(
            said.some((other) => compareVersions(other, version) >= 0),
            `${name}, ${program.name}: ${version}`,
          ).toBe(true)
        }
      }
    }
    expect(checked).toBeGreaterThan(12)
  }, 60_000)

  test('every example compiles with strict types', () => {
    const folder = mkdtempSync(join(all, 'types-'))
    for (const name of lessons)
      for (const step of stepsOf(readFileSync(join(tutorial, name), 'utf8')))
        if (step.kind === 'file') writeStep({ folder: join(folder, name), env: {} }, step)
    const options = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8')) as { compilerOptions: object }
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: { ...options.compilerOptions, rootDir: '/' },
        include: ['**/*.ts'],
      }),
    )
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' })
    const own = stdout.split('\n').filter((line) => /^[^ ]*\d\d-[^/]*\.md\//.test(line))
    expect(own).toEqual([])
  }, 120_000)

  for (const name of lessons)
    test(`${name}: every file and every output is as it is shown`, (context) => {
      const path = join(tutorial, name)
      const text = readFileSync(path, 'utf8')
      const place = placeOf(name)
      const outputs: { from: number; to: number; text: string }[] = []
      const noRoot = unmet('bpf')
      let left = 0
      for (const step of stepsOf(text)) {
        if (step.kind === 'file') {
          writeStep(place, step)
          continue
        }
        if (step.root && noRoot !== undefined) {
          left++
          continue
        }
        const real = runStep(place, step)
        if (update && !matches(step.output, real.text))
          outputs.push({ from: step.from, to: step.to, text: real.text.replaceAll(place.folder, '…') })
        if (update) continue
        expect(real.status, `${name}: ${step.command}\n${real.text}`).toBe(step.exits)
        if (!matches(step.output, real.text)) expect(real.text, `${name}: ${step.command}`).toBe(step.output)
      }
      if (update) updateLesson(path, outputs)
      if (left > 0) context.annotate(`${left} commands were not run: ${noRoot}`)
    }, 120_000)
})
