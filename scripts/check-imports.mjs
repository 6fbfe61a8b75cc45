// Imports go one way: each room of src/ may import the rooms named here and whatever those may import (docs/architecture.md),
// and no files import each other in a circle, but for types.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const MAY = {
  errors: [],
  bytes: ['errors'],
  uapi: [],
  asm: ['uapi', 'bytes'],
  btf: ['uapi', 'asm'],
  layout: ['btf'],
  spec: ['asm', 'btf', 'layout'],
  'elf/container': ['uapi', 'bytes'],
  elf: ['spec', 'elf/container'],
  builder: ['spec'],
  verifier: ['spec'],
  emulator: ['spec'],
  syscall: ['spec', 'elf/container'],
  progrun: ['emulator', 'syscall', 'verifier', 'elf', 'builder'],
  trace: ['builder', 'syscall'],
  cli: ['progrun', 'trace'],
  index: ['builder', 'layout'],
}
/** Rooms that also run in a browser: no Node built-in, no native addon. elfy (Node's Buffer) stays behind src/elf. */
const PORTABLE = new Set([
  'errors',
  'bytes',
  'uapi',
  'asm',
  'btf',
  'layout',
  'spec',
  'elf/container',
  'elf',
  'builder',
  'verifier',
  'emulator',
  'index',
])
const PACKAGES = {
  elf: ['elfy'],
  syscall: ['ffi-rs'],
  cli: ['commander', 'tsx', 'iced-x86', '@viz-js/viz', '@resvg/resvg-wasm'],
  progrun: ['vitest', 'fast-check', 'tsx'],
}

const closure = (room, seen = new Set()) => {
  if (!seen.has(room)) {
    seen.add(room)
    for (const next of MAY[room] ?? []) closure(next, seen)
  }
  return seen
}
const roomOf = (file) => {
  const parts = relative(join(root, 'src'), file).split('/')
  if (parts.length === 1) return 'index'
  return parts[0] === 'elf' && parts[1] === 'container' ? 'elf/container' : parts[0]
}
const files = (folder) =>
  readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isDirectory() ? files(path) : path.endsWith('.ts') ? [path] : []
  })

const faults = []
/** Files of src/ that each one needs when it is run: imports of types are none. */
const needs = new Map()
const onlyTypes = (statement) =>
  /^\s*(?:import|export)\s+type\b/.test(statement) ||
  /^\s*(?:import|export)\s*\{(?:\s*type\s[^,}]+,?)+\s*\}\s*from/.test(statement)
const IMPORT =
  /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g
for (const file of files(join(root, 'src'))) {
  const room = roomOf(file)
  // the text of generated modules stands in template literals: those import nothing
  const text = readFileSync(file, 'utf8').replace(/`(?:\\[\s\S]|[^`\\])*`/g, '``')
  if (MAY[room] === undefined) faults.push(`${relative(root, file)}: no rule for the room ${room}`)
  for (const match of text.matchAll(IMPORT)) {
    const target = match[1] ?? match[2] ?? match[3]
    const say = (why) => faults.push(`${relative(root, file)}: imports ${target}: ${why}`)
    if (target.startsWith('.')) {
      const to = roomOf(resolve(dirname(file), target))
      if (target.includes('/programs/')) say('src must not import programs')
      else if (to !== room && !closure(room).has(to)) say(`${room} may not import ${to}`)
      if (match[3] === undefined && !onlyTypes(match[0]))
        needs.set(file, [...(needs.get(file) ?? []), resolve(dirname(file), target)])
    } else if (target.startsWith('node:') || builtinModules.includes(target)) {
      if (PORTABLE.has(room)) say(`${room} also runs in a browser: no Node built-in`)
    } else {
      const name = target.startsWith('@') ? target.split('/').slice(0, 2).join('/') : target.split('/')[0]
      if (!(PACKAGES[room] ?? []).includes(name)) say(`${room} may not use the package ${name}`)
    }
  }
}
for (const file of files(join(root, 'programs')).filter((name) => !name.endsWith('.test.ts'))) {
  for (const match of readFileSync(file, 'utf8').matchAll(IMPORT)) {
    const target = match[1] ?? match[2] ?? match[3]
    if (target.startsWith('.') && !resolve(dirname(file), target).startsWith(join(root, 'programs')))
      faults.push(`${relative(root, file)}: imports ${target}: programs use the public API only (typebpf, typebpf/…)`)
  }
}
const done = new Set()
const circle = (file, path) => {
  if (path.includes(file)) {
    const names = [...path.slice(path.indexOf(file)), file].map((name) => relative(root, name))
    faults.push(`files import each other in a circle: ${names.join(' > ')}`)
  } else if (!done.has(file)) {
    for (const next of needs.get(file) ?? []) circle(next, [...path, file])
    done.add(file)
  }
}
for (const file of needs.keys()) circle(file, [])
for (const fault of faults) console.error(fault)
console.log(faults.length === 0 ? 'imports: one direction, no fault' : `imports: ${faults.length} faults`)
process.exitCode = faults.length === 0 ? 0 : 1
