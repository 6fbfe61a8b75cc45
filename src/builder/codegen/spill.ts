import { CLASS, MODE, SIZE } from '../../uapi/index.ts'
import type { StackSlot } from '../ir/ops.ts'
import { FRAME_POINTER, type MachineFunction, type MachineInstruction } from './machine.ts'

/** A register that found no place, and what it was coalesced into. */
export interface Spilled {
  readonly register: number
  readonly root: number
}

/** Gives each spilled register (and what was coalesced with it) a place in the frame; every use loads, every definition stores. */
export function rewriteSpills(fn: MachineFunction, spilled: readonly Spilled[], unspillable: Set<number>): void {
  const slots = new Map<number, StackSlot>()
  const slotOf = new Array<StackSlot | undefined>(fn.registers).fill(undefined)
  for (const { register, root } of spilled) {
    let slot = slots.get(root)
    if (slot === undefined) {
      slot = { id: fn.slots.length, size: 8, align: 8, what: 'spilled value', site: -1 }
      fn.slots.push(slot)
      slots.set(root, slot)
    }
    slotOf[register] = slot
  }
  const isSpilled = (register: number): boolean => slotOf[register] !== undefined
  const renamed = new Map<number, number>()
  const fresh = (): number => {
    const register = fn.registers++
    unspillable.add(register)
    return register
  }
  const rename = (register: number): number => {
    if (slotOf[register] === undefined) return register
    let other = renamed.get(register)
    if (other === undefined) {
      other = fresh()
      renamed.set(register, other)
    }
    return other
  }
  // arrays of one kind everywhere: those that .map() makes are of another
  const renamedAll = (registers: readonly number[]): number[] => {
    const out: number[] = []
    for (let i = 0; i < registers.length; i++) out.push(rename(registers[i]))
    return out
  }
  for (const block of fn.blocks) {
    const code: MachineInstruction[] = []
    const before = block.code
    for (let i = 0; i < before.length; i++) {
      const instruction = before[i]
      const { uses, defs } = instruction
      if (!uses.some(isSpilled) && !defs.some(isSpilled)) {
        code.push(instruction)
        continue
      }
      if (instruction.isMove) {
        const from = slotOf[instruction.src]
        const to = slotOf[instruction.dst]
        if (from !== undefined && from === to) continue
        if (from !== undefined && to === undefined) {
          code.push(access(LOAD, from, instruction.dst, instruction))
          continue
        }
        if (to !== undefined && from === undefined && instruction.src !== FRAME_POINTER) {
          code.push(access(STORE, to, instruction.src, instruction))
          continue
        }
      }
      renamed.clear()
      for (const read of new Set(uses.filter(isSpilled)))
        code.push(access(LOAD, slotOf[read]!, rename(read), instruction))
      code.push({
        opcode: instruction.opcode,
        dst: rename(instruction.dst),
        src: rename(instruction.src),
        offset: instruction.offset,
        imm: instruction.imm,
        imm64: instruction.imm64,
        reference: instruction.reference,
        core: instruction.core,
        site: instruction.site,
        uses: renamedAll(uses),
        defs: renamedAll(defs),
        isMove: false,
        effect: instruction.effect,
        slot: instruction.slot,
      })
      for (const write of new Set(defs.filter(isSpilled)))
        code.push(access(STORE, slotOf[write]!, rename(write), instruction))
    }
    const { end } = block
    if (end.op === 'branch') {
      for (const side of ['a', 'b'] as const) {
        const slot = end[side] < 0 ? undefined : slotOf[end[side]]
        if (slot === undefined) continue
        const register = fresh()
        if (side === 'a' && end.b === end.a) end.b = register
        code.push(access(LOAD, slot, register, end))
        end[side] = register
      }
    }
    block.code = code
  }
}

const LOAD = CLASS.ldx | MODE.mem | SIZE.dw
const STORE = CLASS.stx | MODE.mem | SIZE.dw

function access(
  opcode: number,
  slot: StackSlot,
  register: number,
  like: { readonly site: number },
): MachineInstruction {
  const isLoad = opcode === LOAD
  return {
    opcode,
    dst: isLoad ? register : FRAME_POINTER,
    src: isLoad ? FRAME_POINTER : register,
    offset: 0,
    imm: 0,
    imm64: undefined,
    reference: undefined,
    core: undefined,
    site: like.site,
    uses: isLoad ? [FRAME_POINTER] : [FRAME_POINTER, register],
    defs: isLoad ? [register] : [],
    isMove: false,
    effect: !isLoad,
    slot,
  }
}
