// The packed package installs into an empty project; the README's example and the lessons of docs/tutorial run there.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { register } from 'tsx/esm/api'

const root = resolve(import.meta.dirname, '../..')
const work = mkdtempSync(join(tmpdir(), 'typebpf-package-'))
let passed = 0
let failed = 0
const check = (name, body) => {
  try {
    body()
    passed++
    console.log(`ok   ${name}`)
  } catch (error) {
    failed++
    console.log(`FAIL ${name}\n${error.stdout ?? ''}${error.stderr ?? ''}${error.message}`)
  }
}
const run = (command, args, options = {}) =>
  execFileSync(command, args, { cwd: work, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options })

try {
  const packed = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work, root]))
  const list = Array.isArray(packed) ? packed : Object.values(packed)
  const { filename, files } = list[0]
  check('the package holds no test and no fixture', () => {
    const bad = files
      .map((file) => file.path)
      .filter((path) => /(^|\/)(test|fixtures)\//.test(path) || path.endsWith('.test.ts') || path.endsWith('.test.js'))
    if (bad.length > 0) throw new Error(`in the package: ${bad.slice(0, 5).join(', ')}`)
  })
  writeFileSync(join(work, 'package.json'), '{ "name": "empty", "private": true }\n')
  check('installs into an empty project', () => run('npm', ['install', '--no-audit', '--no-fund', `./${filename}`]))
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const blocks = [...readme.matchAll(/<!-- example: (\S+) -->\s*```\w+\n([\s\S]*?)```/g)]
  check('the rooms that run in a browser import nothing of Node', () => {
    const dist = join(work, 'node_modules/typebpf/dist/src')
    const faults = []
    for (const room of ['asm', 'btf', 'layout', 'spec', 'elf', 'builder', 'verifier', 'emulator']) {
      const seen = new Set()
      const visit = (file) => {
        if (seen.has(file)) return
        seen.add(file)
        for (const [, name] of readFileSync(file, 'utf8').matchAll(
          /^(?:import|export.*? from|import.*? from|\} from)\s*['"]([\w@./:-]+)['"];$/gm,
        ))
          if (name.startsWith('.')) visit(join(dirname(file), name))
          // names of this package stand in code that it writes
          else if (name !== 'elfy' && !/^typebpf(\/|$)/.test(name))
            faults.push(`${room}: ${name} by ${file.slice(dist.length + 1)}`)
      }
      visit(join(dist, room, 'index.js'))
    }
    if (faults.length > 0) throw new Error(faults.join(', '))
  })
  check('the README has examples with file names', () => {
    if (blocks.length === 0) throw new Error('no block after an example comment')
  })
  for (const [, name, text] of blocks) writeFileSync(join(work, name), text)
  for (const [, name] of blocks.filter(([, name]) => name.endsWith('.mjs'))) {
    check(`README example ${name} runs`, () => {
      const output = run(process.execPath, [name])
      if (output.trim() === '') throw new Error('it printed nothing')
      console.log(output.trimEnd().replace(/^/gm, '     '))
    })
  }
  check('typebpf --version', () => {
    const version = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version
    const answer = run('npx', ['--no-install', 'typebpf', '--version']).trim()
    if (answer.split('\n')[0].replace(/^typebpf v/, '') !== version) throw new Error(`${answer} instead of ${version}`)
  })
  for (const [, name] of blocks.filter(([, name]) => name.endsWith('.bpf.ts'))) {
    check(`typebpf build and verify ${name}`, () => {
      const shown = run('npx', ['--no-install', 'typebpf', 'build', name, '-o', 'out.o', '--show'])
      const places = [...shown.matchAll(/ @ (\S+):\d+$/gm)].map((match) => match[1])
      if (places.length === 0 || places.some((place) => place !== name))
        throw new Error(`not the user's lines:\n${shown}`)
      const rows = JSON.parse(run('npx', ['--no-install', 'typebpf', 'verify', 'out.o', '--json']))
      if (rows.length === 0 || rows.some((row) => row.verdict !== 'accept')) throw new Error(JSON.stringify(rows))
    })
  }

  register()
  const { matches, runStep, shims, stepsOf, writeStep } = await import('../docs/lessons.ts')
  run('npm', ['pkg', 'set', 'type=module'])
  const isRoot = process.getuid?.() === 0
  const place = { folder: work, env: { PATH: shims(join(work, 'bin'), { sudo: 'exec "$@"' }) } }
  const tutorial = join(root, 'docs/tutorial')
  for (const name of readdirSync(tutorial).filter((file) => /^\d\d-.*\.md$/.test(file))) {
    check(`lesson ${name}`, () => {
      for (const step of stepsOf(readFileSync(join(tutorial, name), 'utf8'))) {
        if (step.kind === 'file') writeStep(place, step)
        // vitest, which lesson 8 installs, is not fetched here
        if (step.kind === 'file' || (step.root && !isRoot) || step.command === 'npx typebpf test') continue
        const real = runStep(place, step)
        if (real.status !== step.exits || !matches(step.output, real.text))
          throw new Error(`${step.command} (exit ${real.status}) printed:\n${real.text}`)
      }
    })
  }
} finally {
  rmSync(work, { recursive: true, force: true })
}
console.log(`${passed} passed, ${failed} failed, 0 skipped`)
process.exitCode = failed === 0 ? 0 : 1
