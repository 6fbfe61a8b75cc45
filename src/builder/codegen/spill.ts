import { CLASS, MODE, SIZE } from '../../uapi/index.ts'
import type { StackSlot } from '../ir/ops.ts'
import { FRAME_POINTER, type MachineFunction, type MachineInstruction } from './machine.ts'

/** Gives each spilled register (and what was coalesced with it) a place in the frame; every use loads, every definition stores. */
export function rewriteSpills(fn: MachineFunction, spilled: readonly number[], unspillable: Set<number>): void {
  const slots = new Map<number, StackSlot>()
  const slotOf = new Map<number, StackSlot>()
  for (const both of spilled) {
    const register = Math.floor(both / 1e7)
    const root = both % 1e7
    let slot = slots.get(root)
    if (slot === undefined) {
      slot = { id: fn.slots.length, size: 8, align: 8, what: 'spilled value', site: -1 }
      fn.slots.push(slot)
      slots.set(root, slot)
    }
    slotOf.set(register, slot)
  }
  const access = (opcode: number, slot: StackSlot, register: number, like: { site: number }): MachineInstruction => {
    const isLoad = (opcode & 7) === CLASS.ldx
    return {
      opcode,
      dst: isLoad ? register : FRAME_POINTER,
      src: isLoad ? FRAME_POINTER : register,
      offset: 0,
      imm: 0,
      site: like.site,
      uses: isLoad ? [FRAME_POINTER] : [FRAME_POINTER, register],
      defs: isLoad ? [register] : [],
      isMove: false,
      effect: !isLoad,
      slot,
    }
  }
  const LOAD = CLASS.ldx | MODE.mem | SIZE.dw
  const STORE = CLASS.stx | MODE.mem | SIZE.dw
  for (const block of fn.blocks) {
    const code: MachineInstruction[] = []
    for (const instruction of block.code) {
      const from = instruction.isMove ? slotOf.get(instruction.src) : undefined
      const to = instruction.isMove ? slotOf.get(instruction.dst) : undefined
      if (from !== undefined && from === to) continue
      if (from !== undefined && to === undefined) {
        code.push(access(LOAD, from, instruction.dst, instruction))
        continue
      }
      if (to !== undefined && from === undefined && instruction.src !== FRAME_POINTER) {
        code.push(access(STORE, to, instruction.src, instruction))
        continue
      }
      const renamed = new Map<number, number>()
      const rename = (register: number): number => {
        if (!slotOf.has(register)) return register
        let fresh = renamed.get(register)
        if (fresh === undefined) {
          fresh = fn.registers++
          unspillable.add(fresh)
          renamed.set(register, fresh)
        }
        return fresh
      }
      const reads = instruction.uses.filter((use) => slotOf.has(use))
      const writes = instruction.defs.filter((def) => slotOf.has(def))
      if (reads.length === 0 && writes.length === 0) {
        code.push(instruction)
        continue
      }
      for (const read of new Set(reads)) code.push(access(LOAD, slotOf.get(read)!, rename(read), instruction))
      const touched = {
        ...instruction,
        uses: instruction.uses.map(rename),
        defs: instruction.defs.map(rename),
        dst: rename(instruction.dst),
        src: rename(instruction.src),
        isMove: instruction.isMove && reads.length === 0 && writes.length === 0,
      }
      code.push(touched)
      for (const write of new Set(writes)) code.push(access(STORE, slotOf.get(write)!, rename(write), instruction))
    }
    const { end } = block
    if (end.op === 'branch') {
      for (const side of ['a', 'b'] as const) {
        const slot = slotOf.get(end[side])
        if (slot === undefined) continue
        const fresh = fn.registers++
        unspillable.add(fresh)
        if (side === 'a' && end.b === end.a) end.b = fresh
        code.push(access(LOAD, slot, fresh, end))
        end[side] = fresh
      }
    }
    block.code = code
  }
}
