import type { Instruction, SourceLocation } from '../../asm/index.ts'
import { CLASS, JMP, SOURCE } from '../../uapi/index.ts'
import type { Comparison } from '../ir/ops.ts'
import { layoutFrame } from './frame.ts'
import { FRAME_POINTER, type MachineBlock, type MachineFunction, type MachineInstruction } from './machine.ts'

const JUMPS: Record<Comparison, number> = {
  eq: JMP.jeq,
  ne: JMP.jne,
  gt: JMP.jgt,
  ge: JMP.jge,
  lt: JMP.jlt,
  le: JMP.jle,
  sgt: JMP.jsgt,
  sge: JMP.jsge,
  slt: JMP.jslt,
  sle: JMP.jsle,
  set: JMP.jset,
}
const OPPOSITE: Record<Exclude<Comparison, 'set'>, Comparison> = {
  eq: 'ne',
  ne: 'eq',
  gt: 'le',
  le: 'gt',
  ge: 'lt',
  lt: 'ge',
  sgt: 'sle',
  sle: 'sgt',
  sge: 'slt',
  slt: 'sge',
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

type Line =
  | { readonly kind: 'code'; readonly it: MachineInstruction }
  | {
      readonly kind: 'jump'
      readonly opcode: number
      readonly dst: number
      readonly src: number
      readonly imm: number
      to: MachineBlock
      readonly site: number
    }
  | { readonly kind: 'exit'; readonly site: number }

function lineKey(line: Line): string {
  if (line.kind === 'exit') return 'exit'
  if (line.kind === 'jump') return `j${line.opcode},${line.dst},${line.src},${line.imm},${line.to.id}`
  const { it } = line
  const plain = `${it.opcode},${it.dst},${it.src},${it.offset},${it.imm}`
  if (it.imm64 === undefined && it.slot === undefined && it.reference === undefined && it.core === undefined)
    return plain
  return `${plain},${it.imm64 ?? ''},${it.slot?.id ?? ''},${it.reference ? JSON.stringify(it.reference) : ''},${
    it.core ? JSON.stringify(it.core) : ''
  }`
}

/** Lays the blocks out (main path first, early returns behind, equal endings shared) and makes instructions. */
export function emitInstructions(
  fn: MachineFunction,
  sourceOf: (site: number) => SourceLocation | undefined,
): Instruction[] {
  const { offsets, sizeBytes } = layoutFrame(fn, sourceOf)
  fn.frameBytes = sizeBytes
  const order = [...fn.blocks.filter((b) => !b.cold), ...fn.blocks.filter((b) => b.cold)]
  const lines: Line[] = []
  const places = new Map<MachineBlock, number>()
  const index = new Map<string, number[]>()
  const allKeys: string[] = []
  let falls = false
  order.forEach((block, i) => {
    const next: MachineBlock | undefined = order[i + 1]
    const own: Line[] = block.code.map((it) => ({ kind: 'code', it }))
    const { end } = block
    const jump = (opcode: number, to: MachineBlock, site: number, dst = 0, src = 0, imm = 0): void => {
      own.push({ kind: 'jump', opcode, dst, src, imm, to, site })
    }
    let fallsThrough = false
    if (end.op === 'exit') own.push({ kind: 'exit', site: end.site })
    else if (end.op === 'jump') {
      const site = block.code.at(-1)?.site ?? -1
      if (end.to === next) fallsThrough = true
      else jump(CLASS.jmp | JMP.ja, end.to, site)
    } else {
      const unit = end.wide ? CLASS.jmp : CLASS.jmp32
      const source = end.b >= 0 ? SOURCE.x : SOURCE.k
      const src = Math.max(end.b, 0)
      if (end.yes === next && end.cmp !== 'set') {
        jump(unit | source | JUMPS[OPPOSITE[end.cmp]], end.no, end.site, end.a, src, end.imm)
        fallsThrough = true
      } else {
        jump(unit | source | JUMPS[end.cmp], end.yes, end.site, end.a, src, end.imm)
        if (end.no === next) fallsThrough = true
        else jump(CLASS.jmp | JMP.ja, end.no, end.site)
      }
    }
    const keys = own.map(lineKey)
    if (!fallsThrough && !falls && i > 0) {
      const found = (index.get(keys[0]) ?? []).find((at) => keys.every((key, k) => allKeys[at + k] === key))
      if (found !== undefined) {
        places.set(block, found)
        return
      }
    }
    places.set(block, lines.length)
    own.forEach((line, k) => {
      const at = index.get(keys[k])
      if (at === undefined) index.set(keys[k], [lines.length])
      else at.push(lines.length)
      lines.push(line)
      allKeys.push(keys[k])
    })
    falls = fallsThrough
  })

  const labels = new Map<number, string>()
  for (const line of lines)
    if (line.kind === 'jump') {
      const at = places.get(line.to)!
      if (!labels.has(at)) labels.set(at, `L${labels.size}`)
    }
  const out = lines.map((line, i): Instruction => {
    const label = i === 0 ? fn.name : labels.get(i)
    const named = label === undefined ? {} : i === 0 ? { label, functionStart: true } : { label }
    if (line.kind === 'exit')
      return { opcode: CLASS.jmp | JMP.exit, dst: 0, src: 0, offset: 0, imm: 0, source: sourceOf(line.site), ...named }
    if (line.kind === 'jump') {
      const at = places.get(line.to)!
      return {
        opcode: line.opcode,
        dst: line.dst,
        src: line.src,
        offset: 0,
        imm: line.imm,
        reference: { kind: 'label', name: at === 0 ? fn.name : labels.get(at)! },
        source: sourceOf(line.site),
        ...named,
      }
    }
    const { it } = line
    const frame = it.slot === undefined ? 0 : offsets.get(it.slot)!
    const isAdd = it.slot !== undefined && (it.opcode & 7) === CLASS.alu64
    if (it.dst > FRAME_POINTER || it.src > FRAME_POINTER) throw new Error(`${fn.name}: unallocated register`)
    const made: Mutable<Instruction> = {
      opcode: it.opcode,
      dst: it.dst,
      src: Math.max(it.src, 0),
      offset: isAdd ? it.offset : it.offset + frame,
      imm: isAdd ? it.imm + frame : it.imm,
      source: sourceOf(it.site),
    }
    if (it.imm64 !== undefined) made.imm64 = it.imm64
    if (it.reference !== undefined) made.reference = it.reference
    if (it.core !== undefined) made.core = it.core
    if (label !== undefined) made.label = label
    if (i === 0) made.functionStart = true
    return made
  })
  // the kernel wants a line for a function's first instruction: moves of the arguments have the first statement's
  const first = out.find(({ source }) => source !== undefined)?.source
  for (let i = 0; first !== undefined && i < out.length && out[i].source === undefined; i++)
    out[i] = { ...out[i], source: first }
  return out
}
