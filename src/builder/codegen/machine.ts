import type { CoreRelocation, Reference } from '../../asm/index.ts'
import type { Comparison, Site, StackSlot } from '../ir/ops.ts'

/** Registers of the machine form: 0 to 10 are the machine's, a virtual register v is FIRST_VIRTUAL + v. */
export const FIRST_VIRTUAL = 16
export const FRAME_POINTER = 10

/** One instruction over machine or virtual registers. `dst` and `src` are -1 when absent. */
export interface MachineInstruction {
  opcode: number
  dst: number
  src: number
  offset: number
  imm: number
  imm64?: bigint
  reference?: Reference
  core?: CoreRelocation
  site: Site
  /** Registers read and written beyond what dst and src say. */
  uses: number[]
  defs: number[]
  /** `dst = src`, 64 bits: may vanish. */
  isMove: boolean
  /** Must stay even when nobody reads its result. */
  effect: boolean
  /** `offset` (or `imm` of an add to the frame pointer) counts from this slot. */
  slot?: StackSlot
}

export type MachineEnd =
  | { readonly op: 'jump'; to: MachineBlock }
  | {
      readonly op: 'branch'
      readonly cmp: Comparison
      readonly wide: boolean
      a: number
      /** A register, or -1: compare with imm. */
      b: number
      readonly imm: number
      yes: MachineBlock
      no: MachineBlock
      readonly site: Site
    }
  | { readonly op: 'exit'; readonly site: Site }

export interface MachineBlock {
  readonly id: number
  code: MachineInstruction[]
  end: MachineEnd
  cold: boolean
  loopDepth: number
}

export interface MachineFunction {
  readonly name: string
  blocks: MachineBlock[]
  /** One more than the highest register number. */
  registers: number
  slots: StackSlot[]
  /** Slots whose address is kept in a register: they share their place with nothing. */
  pinned: Set<StackSlot>
  /** How much of the stack it takes, once its frame is laid out. */
  frameBytes?: number
}

export function successors(block: MachineBlock): MachineBlock[] {
  const { end } = block
  if (end.op === 'jump') return [end.to]
  if (end.op === 'branch') return [end.yes, end.no]
  return []
}

/** Calls `visit` for every register an instruction reads. */
export function eachUse(instruction: MachineInstruction, visit: (register: number) => void): void {
  for (const register of instruction.uses) if (register !== FRAME_POINTER) visit(register)
}
