import { basename } from 'node:path'
import { xlatedListing } from 'typebpf/asm'
import { Btf } from 'typebpf/btf'
import type { ProgramDetails } from 'typebpf/kernel'

/** The program as the kernel keeps it, each TypeScript line above the instructions that it became. */
export function xlatedWithSource(program: ProgramDetails, programBtf: Uint8Array | undefined): string {
  const btf = programBtf === undefined ? undefined : new Btf(programBtf)
  const lines = new Map(program.lineInfo.map((record) => [record.insn, record]))
  let last = ''
  const before = (slot: number): readonly string[] => {
    const record = lines.get(slot)
    if (record === undefined || btf === undefined) return []
    const place = `${basename(btf.string(record.fileNameOffset))}:${record.line}`
    const text = `; ${btf.string(record.lineOffset).trim()}  // ${place}`
    if (text === last) return []
    last = text
    return [text]
  }
  return xlatedListing(program.xlated, { before })
}
