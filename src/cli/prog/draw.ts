import { controlFlow, controlFlowDot, decodeSlots, kernelText } from '../../asm/index.ts'
import type { Btf } from '../../btf/index.ts'
import type { ProgramDetails } from '../../syscall/index.ts'
import { LD_IMM64 } from '../../uapi/index.ts'
import { type DumpOptions, namesOf } from '../objects/dump-xlated.ts'
import type { KernelSymbols } from '../objects/kallsyms.ts'
import { functionSignature } from '../objects/signature.ts'

/** The control flow of a translated program in the DOT language: for `dot -Tpng`, as bpftool's `visual`. */
export function drawXlated(
  details: ProgramDetails,
  btf: Btf | undefined,
  symbols: KernelSymbols,
  { linum, opcodes }: DumpOptions,
): string {
  const slots = decodeSlots(details.xlated)
  const { opcode, dst, src, offset, imm } = slots
  const names = namesOf(details, symbols)
  const functions = details.funcInfo.map(({ insn, typeId }) => ({
    name: (btf === undefined ? undefined : functionSignature(btf, typeId)) ?? `func_${insn}`,
    slot: insn,
  }))
  const lines = new Map(details.lineInfo.map((record) => [record.insn, record]))
  const hex = (slot: number): string =>
    Array.from(details.xlated.subarray(slot * 8, slot * 8 + 8), (byte) => byte.toString(16).padStart(2, '0')).join(' ')
  const graphs = controlFlow(slots, { functions, entryName: details.name || 'main', range: [0, slots.length] })
  return controlFlowDot(graphs, {
    maxBlocks: Number.MAX_SAFE_INTEGER,
    maxLines: Number.MAX_SAFE_INTEGER,
    text(slot) {
      if (slot > 0 && opcode[slot - 1] === LD_IMM64 && opcode[slot] === 0) return undefined
      const high = opcode[slot] === LD_IMM64 ? (imm[slot + 1] ?? 0) : 0
      const text = kernelText(opcode[slot], dst[slot], src[slot], offset[slot], imm[slot], high, names, slot)
      return `${text}${opcodes === true ? `  ${hex(slot)}` : ''}`
    },
    source(slot) {
      const record = lines.get(slot)
      if (record === undefined || btf === undefined) return []
      const place = ` [file:${btf.string(record.fileNameOffset)} line_num:${record.line} line_col:${record.column}]`
      return [`; ${btf.string(record.lineOffset).trimStart()}${linum === true ? place : ''}`]
    },
  }).dot
}
