import { decodeSlots, type KernelNames, kernelText, xlatedListing, xlatedNames } from '../../asm/index.ts'
import type { Btf } from '../../btf/index.ts'
import type { ProgramDetails } from '../../syscall/index.ts'
import { LD_IMM64 } from '../../uapi/index.ts'
import type { Json } from './json.ts'
import type { KernelSymbols } from './kallsyms.ts'
import { hexList } from './options.ts'
import { functionSignature } from './signature.ts'

export interface DumpOptions {
  readonly opcodes?: boolean
  /** File, line and column behind each source line. */
  readonly linum?: boolean
}

interface SourceLine {
  readonly text: string
  readonly file: string
  readonly line: number
  readonly column: number
}

/** What stands before an instruction: a function's head, a source line. */
interface Heads {
  readonly proto?: string
  readonly line?: SourceLine
}

/**
 * The heads of a program's instructions, asked for slot by slot. A line stands before the first instruction at or behind
 * its record: the verifier may have removed those that it was made for.
 */
function heads(details: ProgramDetails, btf: Btf | undefined): (slot: number) => Heads {
  if (btf === undefined) return () => ({})
  const functions = new Map(details.funcInfo.map(({ insn, typeId }) => [insn, typeId]))
  const records = details.lineInfo
  let used = 0
  const lineAt = (slot: number): SourceLine | undefined => {
    if (used >= records.length || records[used].insn > slot) return undefined
    let last = used
    while (last + 1 < records.length && records[last + 1].insn <= slot) last++
    used++
    const { fileNameOffset, lineOffset, line, column } = records[last]
    return { text: btf.string(lineOffset).trimStart(), file: btf.string(fileNameOffset), line, column }
  }
  return (slot) => {
    const typeId = functions.get(slot)
    return { proto: typeId === undefined ? undefined : functionSignature(btf, typeId), line: lineAt(slot) }
  }
}

export const namesOf = (details: ProgramDetails, symbols: KernelSymbols): KernelNames =>
  xlatedNames({ callBase: symbols.callBase, symbolAt: symbols.nameAt, jitedAddresses: details.ksyms })

/** The translated program as `bpftool prog dump xlated` prints it. */
export function xlatedText(
  details: ProgramDetails,
  btf: Btf | undefined,
  symbols: KernelSymbols,
  { opcodes, linum }: DumpOptions,
): string {
  const headsAt = heads(details, btf)
  return xlatedListing(details.xlated, {
    names: namesOf(details, symbols),
    opcodes,
    before: (slot) => {
      const out: string[] = []
      const { proto, line } = headsAt(slot)
      if (proto !== undefined) out.push(`${proto}:`)
      if (line !== undefined)
        out.push(
          linum === true
            ? `; ${line.text} [file:${line.file} line_num:${line.line} line_col:${line.column}]`
            : `; ${line.text}`,
        )
      return out
    },
  })
}

/** A place without what is not known of it. */
export const placeJson = ({ file, line, column }: Omit<SourceLine, 'text'>): Json & object => ({
  file: file === '' ? undefined : file,
  line_num: line === 0 ? undefined : line,
  line_col: column === 0 ? undefined : column,
})

/** The same as bpftool's JSON: an object an instruction. */
export function xlatedJson(
  details: ProgramDetails,
  btf: Btf | undefined,
  symbols: KernelSymbols,
  { opcodes, linum }: DumpOptions,
): Json {
  const headsAt = heads(details, btf)
  const names = namesOf(details, symbols)
  const { xlated } = details
  const { opcode, dst, src, offset, imm, length } = decodeSlots(xlated)
  const rows: Json[] = []
  for (let slot = 0; slot < length; slot++) {
    const wide = opcode[slot] === LD_IMM64 && slot + 1 < length
    const at = slot * 8
    const { proto, line } = headsAt(slot)
    rows.push({
      proto,
      src: line?.text,
      ...(linum === true && line !== undefined && placeJson(line)),
      disasm: kernelText(
        opcode[slot],
        dst[slot],
        src[slot],
        offset[slot],
        imm[slot],
        wide ? imm[slot + 1] : 0,
        names,
        slot,
      ),
      ...(opcodes === true && {
        opcodes: {
          code: `0x${opcode[slot].toString(16).padStart(2, '0')}`,
          src_reg: `0x${src[slot].toString(16)}`,
          dst_reg: `0x${dst[slot].toString(16)}`,
          off: hexList(xlated.subarray(at + 2, at + 4)),
          imm: hexList(xlated.subarray(at + 4, at + (wide ? 16 : 8))),
        },
      }),
    })
    if (wide) slot++
  }
  return rows
}
