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
  imm64: bigint | undefined
  reference: Reference | undefined
  core: CoreRelocation | undefined
  site: Site
  /** Registers read and written beyond what dst and src say. */
  readonly uses: readonly number[]
  readonly defs: readonly number[]
  /** `dst = src`, 64 bits: may vanish. */
  isMove: boolean
  /** Must stay even when nobody reads its result. */
  effect: boolean
  /** `offset` (or `imm` of an add to the frame pointer) counts from this slot. */
  slot: StackSlot | undefined
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
  /** Its place among the function's blocks, as of the last {@link numberBlocks}. */
  at: number
}

export interface MachineFunction {
  readonly name: string
  readonly blocks: MachineBlock[]
  /** One more than the highest register number. */
  registers: number
  slots: StackSlot[]
  /** Slots whose address is kept in a register: they share their place with nothing. */
  pinned: Set<StackSlot>
  /** How much of the stack it takes, once its frame is laid out. */
  frameBytes: number
}

/** Gives each block its place in `fn.blocks`. */
export function numberBlocks(fn: MachineFunction): void {
  const { blocks } = fn
  for (let b = 0; b < blocks.length; b++) blocks[b].at = b
}

/** Where control goes from each block, by the blocks' places. */
export interface Flow {
  /** Two places a block, -1 for none. */
  readonly next: Int32Array
  /** Whether control comes to the block from itself or from one behind it. */
  readonly isHead: Uint8Array
}

/** Numbers the blocks, too. */
export function flowOf(fn: MachineFunction): Flow {
  numberBlocks(fn)
  const { blocks } = fn
  const next = new Int32Array(2 * blocks.length).fill(-1)
  const isHead = new Uint8Array(blocks.length)
  for (let b = 0; b < blocks.length; b++) {
    const { end } = blocks[b]
    if (end.op === 'jump') next[2 * b] = end.to.at
    else if (end.op === 'branch') {
      next[2 * b] = end.yes.at
      next[2 * b + 1] = end.no.at
    }
    if (next[2 * b] <= b && next[2 * b] >= 0) isHead[next[2 * b]] = 1
    if (next[2 * b + 1] <= b && next[2 * b + 1] >= 0) isHead[next[2 * b + 1]] = 1
  }
  return { next, isHead }
}
