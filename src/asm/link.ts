import { InputError } from '../errors/index.ts'
import { CLASS, JMP, LD_IMM64, PSEUDO_CALL, PSEUDO_LD, SOURCE } from '../uapi/index.ts'
import type { Instruction, Reference, SymbolResolver } from './instruction.ts'
import { slotsOf } from './instruction.ts'

/** A function before linking: jumps and calls may refer to labels and functions by name. */
export interface FunctionCode {
  readonly name: string
  readonly instructions: readonly Instruction[]
}

/** A function's place in linked code. */
export interface LinkedFunction {
  readonly name: string
  /** First slot (the kernel's instruction number). */
  readonly slot: number
  readonly slots: number
}

/** A reference that linking left to a loader: a map, a variable, a kernel symbol, a kfunc without a resolver. */
export interface OpenReference {
  /** Slot of the (first half of the) instruction. */
  readonly slot: number
  /** Index into `instructions`. */
  readonly index: number
  readonly reference: Reference
}

export interface LinkedCode {
  /** All functions, one after the other; targets and calls are numbers now. Metadata is kept. */
  readonly instructions: readonly Instruction[]
  readonly functions: readonly LinkedFunction[]
  readonly open: readonly OpenReference[]
  /** Slots in total. */
  readonly slots: number
}

export interface LinkOptions {
  readonly resolver?: SymbolResolver
  /** Turn a `goto` whose target is more than 32,767 slots away into `gotol` (ISA v4, Linux 6.6). Default false: an error. */
  readonly relaxJumps?: boolean
}

const JA = CLASS.jmp | JMP.ja
const JA_LONG = CLASS.jmp32 | JMP.ja
const CALL = CLASS.jmp | JMP.call

/** True for goto, gotol, may_goto and conditional jumps: instructions with a target. */
export function isJump(opcode: number): boolean {
  const cls = opcode & 7
  if (cls !== CLASS.jmp && cls !== CLASS.jmp32) return false
  const op = opcode & 0xf0
  if (op === JMP.ja) return opcode === JA || opcode === JA_LONG
  return op !== JMP.call && op !== JMP.exit && op !== 0xf0
}

/** The distance in slots that a jump adds to the number of its next slot. */
export function jumpDistance(opcode: number, offset: number, imm: number): number {
  return opcode === JA_LONG ? imm : offset
}

/**
 * Puts functions one after the other and resolves labels (within a function), calls and function addresses (across
 * functions). The first one is the program's entry; functions are kept in the order given, used or not.
 * @throws InputError `asm.duplicate-function`, `asm.duplicate-label`, `asm.unknown-label`, `asm.unknown-function`,
 *   `asm.jump-too-far`
 */
export function linkFunctions(functions: readonly FunctionCode[], options: LinkOptions = {}): LinkedCode {
  const starts = new Map<string, number>()
  const linked: LinkedFunction[] = []
  let slot = 0
  for (const { name, instructions } of functions) {
    if (starts.has(name)) throw new InputError('asm.duplicate-function', `function ${name} is defined twice`)
    starts.set(name, slot)
    let slots = 0
    for (const instruction of instructions) slots += slotsOf(instruction)
    linked.push({ name, slot, slots })
    slot += slots
  }
  const out: Instruction[] = []
  const open: OpenReference[] = []
  for (let f = 0; f < functions.length; f++) {
    const { name, instructions } = functions[f]
    const labels = labelSlots(name, instructions, linked[f].slot)
    let at = linked[f].slot
    for (const instruction of instructions) {
      const resolved = resolve(instruction, at, name, labels, starts, options)
      const reference = resolved === instruction ? instruction.reference : undefined
      if (reference !== undefined) open.push({ slot: at, index: out.length, reference })
      out.push(resolved)
      at += slotsOf(instruction)
    }
  }
  return { instructions: out, functions: linked, open, slots: slot }
}

/**
 * Links the program `entry` with the functions it needs, in the order in which a loader meets them: each callee follows
 * at the first call that names it, then what it calls itself. Functions of `also` come last, called or not.
 * @throws InputError as {@link linkFunctions}
 */
export function linkProgram(
  entry: string,
  functions: readonly FunctionCode[],
  options: LinkOptions & { readonly also?: readonly string[] } = {},
): LinkedCode {
  const byName = new Map(functions.map((code) => [code.name, code]))
  const ordered: FunctionCode[] = []
  const seen = new Set<string>()
  const pending: { readonly code: FunctionCode; next: number }[] = []
  const enter = (name: string, from: string): void => {
    if (seen.has(name)) return
    const code = byName.get(name)
    if (code === undefined)
      throw new InputError('asm.unknown-function', `${from} refers to the function ${name}, which is not defined`)
    seen.add(name)
    ordered.push(code)
    pending.push({ code, next: 0 })
  }
  for (const name of [entry, ...(options.also ?? [])]) {
    enter(name, 'the link')
    while (pending.length > 0) {
      const top = pending[pending.length - 1]
      const instruction = top.code.instructions[top.next++]
      if (instruction === undefined) pending.pop()
      else if (instruction.reference?.kind === 'function') enter(instruction.reference.name, top.code.name)
    }
  }
  return linkFunctions(ordered, options)
}

function labelSlots(name: string, instructions: readonly Instruction[], start: number): Map<string, number> {
  const labels = new Map<string, number>()
  let at = start
  for (const instruction of instructions) {
    if (instruction.label !== undefined) {
      if (labels.has(instruction.label))
        throw new InputError('asm.duplicate-label', `function ${name}: label ${instruction.label} is defined twice`)
      labels.set(instruction.label, at)
    }
    at += slotsOf(instruction)
  }
  return labels
}

function resolve(
  instruction: Instruction,
  at: number,
  inFunction: string,
  labels: ReadonlyMap<string, number>,
  starts: ReadonlyMap<string, number>,
  options: LinkOptions,
): Instruction {
  const { reference, opcode } = instruction
  if (reference === undefined) return instruction
  switch (reference.kind) {
    case 'label': {
      const target = labels.get(reference.name)
      if (target === undefined)
        throw new InputError('asm.unknown-label', `function ${inFunction}: label ${reference.name} is not defined`)
      const distance = target - at - 1
      if (opcode === LD_IMM64) return addressOf(instruction, distance)
      return opcode === CALL ? callTo(instruction, distance) : jumpTo(instruction, distance, inFunction, options)
    }
    case 'function': {
      const target = starts.get(reference.name)
      if (target === undefined)
        throw new InputError(
          'asm.unknown-function',
          `function ${inFunction} refers to the function ${reference.name}, which is not defined`,
        )
      const distance = target - at - 1
      if (opcode === LD_IMM64) return addressOf(instruction, distance)
      return callTo(instruction, distance)
    }
    case 'kfunc': {
      const id = options.resolver?.kfunc?.(reference.name)
      return id === undefined ? instruction : { ...instruction, src: PSEUDO_CALL.kfunc, imm: id }
    }
    case 'map':
    case 'mapValue':
    case 'ksym':
    case 'kconfig':
      return instruction
    default:
      return reference satisfies never
  }
}

function addressOf(instruction: Instruction, distance: number): Instruction {
  return { ...instruction, src: PSEUDO_LD.func, imm: distance, imm64: BigInt(distance >>> 0) }
}

function callTo(instruction: Instruction, distance: number): Instruction {
  return { ...instruction, src: PSEUDO_CALL.local, imm: distance }
}

function jumpTo(instruction: Instruction, distance: number, inFunction: string, options: LinkOptions): Instruction {
  if (instruction.opcode === JA_LONG) return { ...instruction, imm: distance }
  if (distance === (distance << 16) >> 16) return { ...instruction, offset: distance }
  if (instruction.opcode === JA && options.relaxJumps === true)
    return { ...instruction, opcode: JA_LONG, offset: 0, imm: distance }
  const label = instruction.reference?.kind === 'label' ? instruction.reference.name : ''
  const cure =
    (instruction.opcode & ~SOURCE.x) === JA ? 'use gotol (ISA v4, Linux 6.6)' : 'jump to a gotol (ISA v4, Linux 6.6)'
  throw new InputError(
    'asm.jump-too-far',
    `function ${inFunction}: the jump to ${label} spans ${distance} slots, offsets end at -32768 and 32767`,
    { details: [cure] },
  )
}
