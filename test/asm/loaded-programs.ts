import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Btf } from '../../src/btf/index.ts'
import { readObject } from '../../src/elf/index.ts'
import { linkProgram, type ProgramImage } from '../../src/spec/index.ts'
import {
  btfBytes,
  kernelBtf,
  openById,
  type ProgramDetails,
  programDetails,
  type Sys,
} from '../../src/syscall/index.ts'
import { corporaFolder } from '../requirements.ts'

/** A program of the corpora that the running kernel accepted when the corpora were recorded. */
export interface AcceptedProgram {
  readonly object: string
  readonly section: string
  readonly program: string
  /** What it was loaded as; the section's name does not always tell. */
  readonly type: number
  readonly expectedAttachType: number
}

interface Row {
  readonly object: string
  readonly section: string
  readonly program: string | null
  readonly verdict: string
  readonly prog_type: number
  readonly expected_attach_type: number
}

/** All accepted programs whose name is known, in the corpora's order. */
export function acceptedPrograms(): AcceptedProgram[] {
  return readFileSync(join(corporaFolder, 'programs.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Row)
    .flatMap((row) =>
      row.verdict === 'ACCEPT' && row.program !== null
        ? [
            {
              object: row.object,
              section: row.section,
              program: row.program,
              type: row.prog_type,
              expectedAttachType: row.expected_attach_type,
            },
          ]
        : [],
    )
}

/** The image of a program of the corpora; undefined when this project cannot read or link it (other tests look at that). */
export function imageOf({ object, program, type, expectedAttachType }: AcceptedProgram): ProgramImage | undefined {
  try {
    const spec = readObject(readFileSync(join(corporaFolder, 'objects', object)), { name: object })
    return { ...linkProgram(spec, program, { kernelBtf: kernelBtf() }), type, expectedAttachType }
  } catch {
    return undefined
  }
}

/** A live program's details with its BTF. */
export function detailsOf(sys: Sys, fd: number): { readonly details: ProgramDetails; readonly btf: Btf | undefined } {
  const details = programDetails(sys, fd)
  if (details.btfId === 0) return { details, btf: undefined }
  using live = openById(sys, 'btf', details.btfId)
  return { details, btf: live === undefined ? undefined : new Btf(btfBytes(sys, live.fd)) }
}
