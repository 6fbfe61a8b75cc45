import { kernelText } from '../asm/index.ts'
import type { RunResult, TraceStep } from '../emulator/index.ts'
import type { ProgramImage } from '../spec/index.ts'

function textOf(image: ProgramImage, slot: number): string {
  const { insns } = image
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength)
  const at = slot * 8
  if (at + 8 > insns.length) return '(outside the program)'
  const high = at + 16 <= insns.length ? view.getInt32(at + 12, true) : 0
  const registers = insns[at + 1]
  return kernelText(
    insns[at],
    registers & 15,
    registers >> 4,
    view.getInt16(at + 2, true),
    view.getInt32(at + 4, true),
    high,
  )
}

function signed(offset: number): string {
  return offset < 0 ? `${offset}` : `+${offset}`
}

/** What an instruction changed: registers and stack words, from the states before it and after it. */
function changes(before: TraceStep, after: TraceStep | undefined, result: RunResult): string {
  if (after === undefined) return result.fault === undefined ? `r0=0x${result.r0.toString(16)}` : result.fault.message
  const parts: string[] = []
  after.registers.forEach((value, register) => {
    if (value !== before.registers[register]) parts.push(`r${register}=0x${value.toString(16)}`)
  })
  if (after.frame === before.frame)
    for (const [offset, value] of after.stack) parts.push(`[r10${signed(offset)}]=0x${value.toString(16)}`)
  return parts.join(' ')
}

/** One line a step: slot, instruction, what it changed, and the user's source line where it is known and new. */
export function traceLines(images: readonly ProgramImage[], result: RunResult): string[] {
  const steps = result.trace ?? []
  const lines: string[] = []
  let shown = ''
  steps.forEach((step, i) => {
    const image = images[step.program]
    const source = image.sources?.get(step.insn)
    const where = source === undefined ? '' : `${source.file}:${source.line}`
    if (where !== '' && where !== shown) {
      lines.push(`; ${where}${source?.text === undefined ? '' : `  ${source.text.trim()}`}`)
      shown = where
    }
    const indent = '  '.repeat(step.frame)
    const text = `${String(step.insn).padStart(5)}: ${indent}${textOf(image, step.insn)}`
    lines.push(`${text.padEnd(52)} ${changes(step, steps[i + 1], result)}`.trimEnd())
  })
  return lines
}
