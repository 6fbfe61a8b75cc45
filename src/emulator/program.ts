import { InputError } from '../errors/index.ts'
import type { ProgramImage } from '../spec/index.ts'
import { LD_IMM64, PSEUDO_LD } from '../uapi/index.ts'
import { type Code, decodeCode } from './decode.ts'
import { type LinearMemory, REGISTERS, SHADOW } from './memory.ts'

/** High half of the value of a function pointer (a callback): 0x4600 + the program's index; the low half is the slot. */
export const FUNCTION_HIGH = 0x46000000

/** What a program needs to know of a map when it is linked. */
export interface LinkedMap {
  /** What a program's map pointer is: the address of a piece that no access may touch. */
  readonly handle: number
  /** Address of the first value, for references into it; 0 when the type has none. */
  readonly directValue: number
  /** The high half of that address: of arenas, whose pointers are the user's. */
  readonly directHigh?: number
}

/**
 * A program placed in memory: operand columns hold indices of 32-bit words of linear memory, so that registers and immediates
 * read alike.
 */
export interface LinkedProgram {
  readonly index: number
  readonly image: ProgramImage
  readonly code: Code
  /** Word index of the destination register. */
  readonly d: Int32Array
  /** Word index of the second operand: a register, or the immediate in this program's pool. */
  readonly s: Int32Array
  /** Address of the pool: eight bytes a slot with the sign-extended or linked immediate. */
  readonly pool: number
}

/** @throws InputError `emulator.image` for relocations that point nowhere */
export function linkProgram(
  image: ProgramImage,
  index: number,
  memory: LinearMemory,
  maps: readonly LinkedMap[],
  externals: (slot: number) => bigint | undefined = () => undefined,
): LinkedProgram {
  const code = decodeCode(image)
  const pool = memory.mustAllocate(code.length * 8, SHADOW.none, `immediates of ${image.name}`)
  const words = memory.i32
  const d = new Int32Array(code.length)
  const s = new Int32Array(code.length)
  const fail = (slot: number, why: string): never => {
    throw new InputError('emulator.image', `${image.name}: instruction ${slot}: ${why}`)
  }
  const mapAt = (slot: number, number: number): LinkedMap => maps[number] ?? fail(slot, `there is no map ${number}`)
  const relocated = new Set(image.relocations.map(({ insn }) => insn))
  for (let i = 0; i < code.length; i++) {
    d[i] = REGISTERS / 4 + 2 * code.dst[i]
    s[i] = code.immediate[i] === 1 ? pool / 4 + 2 * i : REGISTERS / 4 + 2 * code.src[i]
    words[pool / 4 + 2 * i] = code.imm[i]
    words[pool / 4 + 2 * i + 1] = code.immHigh[i]
    if (code.operation[i] !== LD_IMM64) continue
    s[i] = pool / 4 + 2 * i
    const put = (low: number, high: number): void => {
      words[pool / 4 + 2 * i] = low
      words[pool / 4 + 2 * i + 1] = high
    }
    if (relocated.has(i)) continue
    switch (code.src[i]) {
      case PSEUDO_LD.constant:
        break
      case PSEUDO_LD.func:
        put(i + 1 + code.imm[i], FUNCTION_HIGH + index)
        break
      case PSEUDO_LD.mapIdx:
      case PSEUDO_LD.mapFd:
        put(mapAt(i, code.imm[i]).handle, 0)
        break
      case PSEUDO_LD.mapIdxValue:
      case PSEUDO_LD.mapValue:
        put(mapAt(i, code.imm[i]).directValue + code.immHigh[i], mapAt(i, code.imm[i]).directHigh ?? 0)
        break
      default: {
        const value = externals(i) ?? 0n
        put(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)))
      }
    }
  }
  for (const { insn, map, kind, offset } of image.relocations) {
    if (!Number.isInteger(insn) || insn < 0 || insn >= code.length || code.operation[insn] !== LD_IMM64)
      fail(insn, 'the relocation is not on a 64-bit immediate load')
    const target = mapAt(insn, map)
    if (kind === 'value' && target.directValue === 0 && target.directHigh === undefined)
      fail(insn, 'this map has no direct values')
    words[pool / 4 + 2 * insn] = kind === 'fd' ? target.handle : target.directValue + (offset ?? 0)
    words[pool / 4 + 2 * insn + 1] = kind === 'fd' ? 0 : (target.directHigh ?? 0)
  }
  return { index, image, code, d, s, pool }
}
