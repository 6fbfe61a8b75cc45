import type { CoreRelocation, Instruction } from '../asm/index.ts'
import { InputError } from '../errors/index.ts'
import { CLASS, JMP, LD_IMM64, SIZE, SOURCE } from '../uapi/index.ts'
import type { CoreResolver } from './core.ts'
import { describe } from './core-access.ts'
import type { CoreResult } from './core-values.ts'

/** The helper number of a call that stands where a relocation failed: the verifier names it when it is reached. */
export const POISON_CALL = 0xbad2310

const SIZE_BITS = 0x18
const BYTES_OF: Readonly<Record<number, number>> = { [SIZE.b]: 1, [SIZE.h]: 2, [SIZE.w]: 4, [SIZE.dw]: 8 }
const BITS_OF: Readonly<Record<number, number>> = { 1: SIZE.b, 2: SIZE.h, 4: SIZE.w, 8: SIZE.dw }

/** An instruction after its relocation: one, or two calls where a 64-bit load was poisoned. */
export interface AppliedCore {
  readonly instructions: readonly Instruction[]
  /** Why the instruction was poisoned. */
  readonly reason?: string
}

/**
 * The instruction with its CO-RE relocation applied.
 * @throws InputError `core.instruction` when the instruction does not have the form or value that the relocation expects
 */
export function applyCore(resolver: CoreResolver, instruction: Instruction, where: string): AppliedCore {
  const { core } = instruction
  if (core === undefined) return { instructions: [instruction] }
  const result = resolver.resolve(core)
  const fail = (why: string): never => {
    throw new InputError('core.instruction', `${where}: ${describe(resolver.local, core)}: ${why}`)
  }
  const { opcode } = instruction
  if (opcode === LD_IMM64) {
    if (instruction.src !== 0) fail('the 64-bit load is a reference')
    if (result.poison) return poison(instruction, core, result.reason)
    const imm64 = instruction.imm64 ?? BigInt.asUintN(64, BigInt(instruction.imm))
    expect(result, imm64, fail)
    return done({ ...instruction, imm: Number(BigInt.asIntN(32, result.value)), imm64: result.value })
  }
  switch (opcode & 7) {
    case CLASS.alu:
    case CLASS.alu64:
      if ((opcode & SOURCE.x) !== 0) fail('the instruction has no immediate')
      if (result.poison) return poison(instruction, core, result.reason)
      expect(result, BigInt.asUintN(64, BigInt(instruction.imm)), fail)
      return done({ ...instruction, imm: Number(BigInt.asIntN(32, result.value)) })
    case CLASS.ldx:
    case CLASS.st:
    case CLASS.stx: {
      if (result.poison) return poison(instruction, core, result.reason)
      expect(result, BigInt.asUintN(64, BigInt(instruction.offset)), fail)
      if (result.value > 0x7fffn) fail(`the offset ${result.value} does not fit the instruction`)
      if (result.badSize)
        return poison(
          instruction,
          core,
          `the field has ${result.size} bytes on this kernel, the program was compiled for ${result.originalSize}, and only pointers and unsigned integers may differ`,
        )
      const moved = { ...instruction, offset: Number(result.value) }
      if (result.size === result.originalSize) return done(moved)
      if (BYTES_OF[opcode & SIZE_BITS] !== result.originalSize)
        fail(`a load or store of ${BYTES_OF[opcode & SIZE_BITS]} bytes, ${result.originalSize} expected`)
      const bits = BITS_OF[result.size]
      if (bits === undefined) fail(`a field of ${result.size} bytes cannot be loaded at once`)
      return done({ ...moved, opcode: (opcode & ~SIZE_BITS) | bits })
    }
    default:
      return fail(`opcode 0x${opcode.toString(16)} takes no relocation`)
  }
}

function done(instruction: Instruction): AppliedCore {
  return { instructions: [instruction] }
}

function expect(result: CoreResult, actual: bigint, fail: (why: string) => never): void {
  if (result.validate && actual !== result.original)
    fail(`the instruction holds ${BigInt.asIntN(64, actual)}, ${BigInt.asIntN(64, result.original)} expected`)
}

function poison(instruction: Instruction, core: CoreRelocation, reason: string | undefined): AppliedCore {
  const { label, functionStart, source } = instruction
  const call: Instruction = {
    opcode: CLASS.jmp | JMP.call,
    dst: 0,
    src: 0,
    offset: 0,
    imm: POISON_CALL,
    core,
    ...(source === undefined ? {} : { source }),
  }
  const first: Instruction = {
    ...call,
    ...(label === undefined ? {} : { label }),
    ...(functionStart === undefined ? {} : { functionStart }),
  }
  const instructions = instruction.opcode === LD_IMM64 ? [first, call] : [first]
  return reason === undefined ? { instructions } : { instructions, reason }
}
