import { ALU, CLASS, LD_IMM64, PSEUDO_LD, SOURCE } from '../../uapi/index.ts'
import type { FunctionIr, Operand, StackSlot } from '../ir/ops.ts'
import { countUses } from '../ir/uses.ts'
import { FIRST_VIRTUAL, FRAME_POINTER, type MachineInstruction } from './machine.ts'

/** Whether an immediate can hold it. */
export const fitsSigned32 = (value: bigint): boolean => {
  const signed = BigInt.asIntN(64, value)
  return signed >= -0x8000_0000n && signed <= 0x7fff_ffffn
}

type More = Partial<Pick<MachineInstruction, 'imm64' | 'reference' | 'core' | 'isMove' | 'effect' | 'slot'>>
const NO_MORE: More = {}
const MOVE: More = { isMove: true }

/** Writes machine instructions: moves, constants, addresses, operands into registers. */
export class InstructionWriter {
  readonly ir: FunctionIr
  readonly uses: Uint32Array
  next: number
  code: MachineInstruction[] = []
  site = -1
  readonly pinned = new Set<StackSlot>()

  constructor(ir: FunctionIr) {
    this.ir = ir
    this.uses = countUses(ir)
    this.next = FIRST_VIRTUAL + ir.regCount
  }

  protected temp(): number {
    return this.next++
  }

  protected put(
    opcode: number,
    dst: number,
    src: number,
    offset: number,
    imm: number,
    uses: readonly number[],
    defs: readonly number[],
    more: More = NO_MORE,
  ): MachineInstruction {
    const made: MachineInstruction = {
      opcode,
      dst,
      src,
      offset,
      imm,
      imm64: more.imm64,
      reference: more.reference,
      core: more.core,
      site: this.site,
      uses,
      defs,
      isMove: more.isMove === true,
      effect: more.effect === true,
      slot: more.slot,
    }
    this.code.push(made)
    return made
  }

  protected move(dst: number, src: number): void {
    this.put(CLASS.alu64 | SOURCE.x | ALU.mov, dst, src, 0, 0, [src], [dst], MOVE)
  }

  /** dst = operand */
  protected set(dst: number, operand: Operand): void {
    if (typeof operand === 'number') {
      this.move(dst, FIRST_VIRTUAL + operand)
      return
    }
    switch (operand.kind) {
      case 'const': {
        const { value } = operand
        if (fitsSigned32(value))
          this.put(CLASS.alu64 | SOURCE.k | ALU.mov, dst, 0, 0, Number(BigInt.asIntN(32, value)), [], [dst])
        else if (value <= 0xffff_ffffn)
          this.put(CLASS.alu | SOURCE.k | ALU.mov, dst, 0, 0, Number(BigInt.asIntN(32, value)), [], [dst])
        else
          this.put(LD_IMM64, dst, 0, 0, Number(BigInt.asIntN(32, value)), [], [dst], {
            imm64: BigInt.asUintN(64, value),
          })
        return
      }
      case 'map':
        this.put(LD_IMM64, dst, PSEUDO_LD.mapFd, 0, 0, [], [dst], {
          imm64: 0n,
          reference: { kind: 'map', name: operand.name },
        })
        return
      case 'mapValue':
        this.put(LD_IMM64, dst, PSEUDO_LD.mapValue, 0, 0, [], [dst], {
          imm64: 0n,
          reference: { kind: 'mapValue', name: operand.name, offset: operand.offset },
        })
        return
      case 'function':
        this.put(LD_IMM64, dst, PSEUDO_LD.func, 0, 0, [], [dst], {
          imm64: 0n,
          reference: { kind: 'function', name: operand.name },
        })
        return
      case 'ksym':
        this.put(LD_IMM64, dst, PSEUDO_LD.btfId, 0, 0, [], [dst], {
          imm64: 0n,
          reference: { kind: 'ksym', name: operand.name, typed: operand.typed, weak: operand.weak },
        })
        return
      case 'frame':
        if (dst >= FIRST_VIRTUAL) this.pinned.add(operand.slot)
        this.move(dst, FRAME_POINTER)
        this.put(CLASS.alu64 | SOURCE.k | ALU.add, dst, 0, 0, operand.offset, [dst], [dst], { slot: operand.slot })
    }
  }

  protected register(operand: Operand): number {
    if (typeof operand === 'number') return FIRST_VIRTUAL + operand
    const temp = this.temp()
    this.set(temp, operand)
    return temp
  }

  /** A memory base: the frame pointer with its slot, or a register. */
  protected base(operand: Operand): { register: number; slot?: StackSlot; add: number } {
    if (typeof operand === 'object' && operand.kind === 'frame')
      return { register: FRAME_POINTER, slot: operand.slot, add: operand.offset }
    return { register: this.register(operand), add: 0 }
  }
}
