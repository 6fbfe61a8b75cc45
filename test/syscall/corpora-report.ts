// Loads the corpora's objects through our reader and loader and compares with the recorded verdicts. Prints a JSON summary.
import { readFileSync } from 'node:fs'
import { readObject } from '../../src/elf/index.ts'
import { BpfError } from '../../src/errors/index.ts'
import type { ObjectSpec, ProgramSpec } from '../../src/spec/index.ts'
import { type LoadedProgram, loadObject, realSys } from '../../src/syscall/index.ts'
import { corporaFolder } from '../requirements.ts'

interface Row {
  readonly object: string
  readonly section: string
  readonly program: string | null
  readonly prog_type: number
  readonly expected_attach_type: number | null
  readonly type_guessed?: boolean
  readonly verdict: string
  readonly errno: number
  readonly processed?: number
  readonly reason?: readonly string[]
}

const rows = readFileSync(`${corporaFolder}/programs.jsonl`, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Row)
const counts: Record<string, number> = {}
const count = (what: string): void => {
  counts[what] = (counts[what] ?? 0) + 1
}
const sys = realSys()
const verbose = process.argv.includes('--verbose')
/** With --small, rows that cost the kernel's verifier much are left out. */
const most = process.argv.includes('--small') ? 3000 : Number.POSITIVE_INFINITY
const objects = new Map<string, ObjectSpec | BpfError>()

function open(path: string): ObjectSpec | BpfError {
  let object = objects.get(path)
  if (object === undefined) {
    try {
      object = readObject(readFileSync(`${corporaFolder}/objects/${path}`), { what: path })
    } catch (error) {
      if (!(error instanceof BpfError)) throw error
      object = error
    }
    objects.set(path, object)
  }
  return object
}

/** libbpf rewrites the lines around a poisoned instruction; the raw log has the poison's number. */
function sameReason(row: Row, log: string): boolean {
  let at = 0
  for (const line of row.reason ?? []) {
    if (/<invalid /.test(line)) return /invalid func unknown#/.test(log)
    const found = log.indexOf(line.trim(), at)
    if (found < 0) return false
    at = found + line.trim().length
  }
  return true
}

for (const row of rows) {
  if (row.verdict !== 'ACCEPT' && row.verdict !== 'REJECT') {
    count(`${row.verdict} rows (not compared)`)
    continue
  }
  if ((row.processed ?? 0) > most) {
    count('large rows (left out)')
    continue
  }
  const object = open(row.object)
  const say = (what: string, why = ''): void => {
    count(what)
    if (verbose && !what.startsWith('same'))
      console.error(`${what}: ${row.object} ${row.section} ${row.program}: ${why}`)
  }
  if (object instanceof BpfError) {
    say(`${row.verdict}: our reader refuses the object`, object.message)
    continue
  }
  const found = object.programs.find(
    ({ name, section }) => (row.program === null || name === row.program) && section === row.section,
  )
  // Rows without a program are whole sections as a plain loader took them: of .text the first function.
  const first = row.program === null ? object.functions[0] : undefined
  const base =
    found ?? (first === undefined ? undefined : { ...first, section: row.section, expectedAttachType: 0, flags: 0 })
  if (base === undefined) {
    say(`${row.verdict}: our reader has no such program`)
    continue
  }
  const expectedAttachType = row.expected_attach_type ?? 0
  // A guessed type is not the section's: then its target does not count either.
  const spec: ProgramSpec =
    row.type_guessed === true
      ? { ...base, type: row.prog_type, expectedAttachType, attachTo: undefined, attach: undefined }
      : { ...base, type: row.prog_type, expectedAttachType: expectedAttachType || base.expectedAttachType }
  const typed: ObjectSpec = { ...object, programs: [...object.programs.filter(({ name }) => name !== spec.name), spec] }
  let loaded: LoadedProgram
  let log = ''
  try {
    using all = loadObject(sys, typed, { programs: [spec.name], logLevel: 1 })
    loaded = all.programs[0]
    log = loaded.result.log
  } catch (error) {
    say(`${row.verdict}: error`, error instanceof Error ? error.message : String(error))
    continue
  }
  const { verdict, message } = loaded.result
  if (row.verdict === 'ACCEPT') {
    if (verdict === 'accept') say('same: accepted')
    else say(`ACCEPT: ours ${verdict}`, message)
  } else if (verdict === 'reject' && sameReason(row, log)) say('same: rejected for the same reason')
  else if (verdict === 'reject') say('REJECT: another reason', `${message} | ${row.reason?.join(' / ')}`)
  else say(`REJECT: ours ${verdict}`, `${message} | ${row.reason?.join(' / ')}`)
}
console.log(JSON.stringify(counts))
