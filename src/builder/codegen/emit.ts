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

/** A jump before it is known how far. */
interface JumpLine {
  readonly opcode: number
  readonly dst: number
  readonly src: number
  readonly imm: number
  readonly to: MachineBlock
  readonly site: number
}
interface ExitLine {
  readonly exit: true
  readonly site: number
}
type Line = MachineInstruction | JumpLine | ExitLine

const isExit = (line: Line): line is ExitLine => 'exit' in line
const isJump = (line: Line): line is JumpLine => 'to' in line

/** Whether two lines do the same, and only their places in the source differ. */
function sameLine(a: Line, b: Line): boolean {
  if (isExit(a) || isExit(b)) return isExit(a) && isExit(b)
  if (a.opcode !== b.opcode || a.dst !== b.dst || a.src !== b.src || a.imm !== b.imm) return false
  if (isJump(a) || isJump(b)) return isJump(a) && isJump(b) && a.to.id === b.to.id
  return (
    a.offset === b.offset &&
    a.imm64 === b.imm64 &&
    a.slot?.id === b.slot?.id &&
    (a.reference === b.reference || JSON.stringify(a.reference) === JSON.stringify(b.reference)) &&
    (a.core === b.core || JSON.stringify(a.core) === JSON.stringify(b.core))
  )
}
const BUCKETS = 1024
/** Below BUCKETS, and the same for lines that do the same. */
const bucketOf = (line: Line): number =>
  isExit(line) ? 0 : (line.opcode * 31 + line.dst * 7 + line.src * 13 + line.imm * 5) & (BUCKETS - 1)

/** Lines in their order, found again by what they do. */
class Lines {
  readonly all: Line[] = []
  /** The first and the last line of each bucket, and the one behind each line in its bucket. */
  readonly #first = new Int32Array(BUCKETS).fill(-1)
  readonly #last = new Int32Array(BUCKETS).fill(-1)
  readonly #next: number[] = []

  add(line: Line): void {
    const bucket = bucketOf(line)
    const at = this.all.length
    const last = this.#last[bucket]
    if (last < 0) this.#first[bucket] = at
    else this.#next[last] = at
    this.#last[bucket] = at
    this.#next.push(-1)
    this.all.push(line)
  }
  /** Where these lines stand already, the first place; -1 for nowhere. */
  find(lines: readonly Line[]): number {
    for (let at = this.#first[bucketOf(lines[0])]; at >= 0; at = this.#next[at]) {
      let same = 0
      while (same < lines.length && at + same < this.all.length && sameLine(lines[same], this.all[at + same])) same++
      if (same === lines.length) return at
    }
    return -1
  }
}

/** Lays the blocks out (main path first, early returns behind, equal endings shared) and makes instructions. */
export function emitInstructions(
  fn: MachineFunction,
  sourceOf: (site: number) => SourceLocation | undefined,
): Instruction[] {
  const { offsets, sizeBytes } = layoutFrame(fn, sourceOf)
  fn.frameBytes = sizeBytes
  const order: MachineBlock[] = []
  for (const block of fn.blocks) if (!block.cold) order.push(block)
  for (const block of fn.blocks) if (block.cold) order.push(block)
  const known = new Lines()
  const lines = known.all
  const places = new Map<MachineBlock, number>()
  let falls = false
  for (let i = 0; i < order.length; i++) {
    const block = order[i]
    const next: MachineBlock | undefined = order[i + 1]
    const ending = endLines(block, next)
    const fallsThrough =
      block.end.op !== 'exit' && (ending.length === 0 || (block.end.op === 'branch' && ending.length === 1))
    if (!fallsThrough && !falls && i > 0) {
      const found = known.find([...block.code, ...ending])
      if (found >= 0) {
        places.set(block, found)
        continue
      }
    }
    places.set(block, lines.length)
    const { code } = block
    for (let k = 0; k < code.length; k++) known.add(code[k])
    for (let k = 0; k < ending.length; k++) known.add(ending[k])
    falls = fallsThrough
  }

  const labels = new Map<number, string>()
  for (const line of lines)
    if (isJump(line)) {
      const at = places.get(line.to)!
      if (!labels.has(at)) labels.set(at, `L${labels.size}`)
    }
  const instruction = (line: Line, i: number): Instruction => {
    const label = i === 0 ? fn.name : labels.get(i)
    const named = label === undefined ? {} : i === 0 ? { label, functionStart: true } : { label }
    if (isExit(line))
      return { opcode: CLASS.jmp | JMP.exit, dst: 0, src: 0, offset: 0, imm: 0, source: sourceOf(line.site), ...named }
    if (isJump(line)) {
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
    const it: MachineInstruction = line
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
  }
  const out: Instruction[] = []
  for (let i = 0; i < lines.length; i++) out.push(instruction(lines[i], i))
  // the kernel wants a line for a function's first instruction: moves of the arguments have the first statement's
  const first = out.find(({ source }) => source !== undefined)?.source
  for (let i = 0; first !== undefined && i < out.length && out[i].source === undefined; i++)
    out[i] = { ...out[i], source: first }
  return out
}

function jump(opcode: number, to: MachineBlock, site: number, dst: number, src: number, imm: number): JumpLine {
  return { opcode, dst, src, imm, to, site }
}
const NOTHING: readonly Line[] = []

/** The jumps that end a block which `next` follows; a block with fewer than it needs goes on there. */
function endLines(block: MachineBlock, next: MachineBlock | undefined): readonly Line[] {
  const { end } = block
  if (end.op === 'exit') return [{ exit: true, site: end.site }]
  if (end.op === 'jump')
    return end.to === next ? NOTHING : [jump(CLASS.jmp | JMP.ja, end.to, block.code.at(-1)?.site ?? -1, 0, 0, 0)]
  const unit = end.wide ? CLASS.jmp : CLASS.jmp32
  const source = end.b >= 0 ? SOURCE.x : SOURCE.k
  const src = Math.max(end.b, 0)
  if (end.yes === next && end.cmp !== 'set')
    return [jump(unit | source | JUMPS[OPPOSITE[end.cmp]], end.no, end.site, end.a, src, end.imm)]
  const taken = jump(unit | source | JUMPS[end.cmp], end.yes, end.site, end.a, src, end.imm)
  return end.no === next ? [taken] : [taken, jump(CLASS.jmp | JMP.ja, end.no, end.site, 0, 0, 0)]
}
