import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { slotsOf } from '../../src/asm/index.ts'
import { Btf } from '../../src/btf/index.ts'
import { readElf, sectionNamed } from '../../src/elf/container/index.ts'
import { readObject, writeObject } from '../../src/elf/index.ts'
import { InputError } from '../../src/errors/index.ts'
import { linkProgram, type ObjectSpec } from '../../src/spec/index.ts'
import { corporaFolder, testWith } from '../requirements.ts'

interface Row {
  readonly object: string
  readonly section: string | null
  readonly program: string | null
  readonly insns: number
  readonly prog_type: number
  readonly type_guessed: boolean
  readonly verdict: string
}

const KERNEL = '/sys/kernel/btf/vmlinux'
const files = (folder: string): string[] =>
  readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isDirectory() ? files(path) : [path]
  })

describe('objects of other projects', () => {
  testWith('corpora')('every program that a kernel was asked about has the same number of instructions', () => {
    const kernelBtf = existsSync(KERNEL) ? new Btf(readFileSync(KERNEL)) : undefined
    const rows = readFileSync(`${corporaFolder}/programs.jsonl`, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Row)
      .filter(({ verdict }) => verdict === 'ACCEPT' || verdict === 'REJECT')
    const objects = new Map<string, { spec: ObjectSpec; bytes: Uint8Array }>()
    const wrong: string[] = []
    for (const row of rows) {
      let found = objects.get(row.object)
      if (found === undefined) {
        const bytes = readFileSync(`${corporaFolder}/objects/${row.object}`)
        objects.set(row.object, (found = { bytes, spec: readObject(bytes, { what: row.object }) }))
      }
      const { spec, bytes } = found
      const inSection = spec.programs.filter(({ section }) => section === row.section)
      const program = row.program === null ? inSection[0] : inSection.find(({ name }) => name === row.program)
      const key = `${row.object} ${row.section} ${row.program}`
      if (program === undefined) {
        // a plain loader took a section of functions as one program
        const section = sectionNamed(readElf(bytes), row.section ?? '')
        if (row.program !== null || section === undefined || section.size !== row.insns * 8)
          wrong.push(`${key}: not found`)
        continue
      }
      const { insns } = linkProgram(spec, program.name, { kernelBtf })
      if (insns.length / 8 !== row.insns) wrong.push(`${key}: ${insns.length / 8} instructions, ${row.insns} expected`)
      if (!row.type_guessed && program.type !== row.prog_type)
        wrong.push(`${key}: type ${program.type}, ${row.prog_type} expected`)
    }
    expect(rows.length).toBeGreaterThan(200)
    expect(wrong).toEqual([])
  })

  testWith('corpora')(
    'every object opens or gives a typed reason, and what opens is written and read again alike',
    () => {
      let opened = 0
      const refused: string[] = []
      for (const path of files(`${corporaFolder}/objects`)) {
        const what = path.slice(corporaFolder.length + 1)
        let spec: ObjectSpec
        try {
          spec = readObject(readFileSync(path), { what })
          opened++
        } catch (error) {
          expect(error, what).toBeInstanceOf(InputError)
          refused.push(what)
          continue
        }
        const once = writeObject(spec)
        const again = readObject(once, { what })
        expect(Buffer.compare(writeObject(again), once), what).toBe(0)
        const count = ({ programs }: ObjectSpec) =>
          programs.map(({ name, instructions }) => [name, instructions.reduce((sum, i) => sum + slotsOf(i), 0)])
        expect(count(again), what).toEqual(count(spec))
      }
      expect(opened).toBeGreaterThan(130)
      expect(refused.length, refused.join('\n')).toBeLessThanOrEqual(7)
    },
  )
})
