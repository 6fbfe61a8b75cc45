import type { CoreRelocation } from '../../asm/index.ts'

/**
 * The builder's intermediate form: a control-flow graph over virtual registers of 64 bits. It knows nothing of the front
 * end that made it: another front end can emit the same operations.
 */

/** A virtual register. Temporaries are defined once; variables may be defined often. */
export type Reg = number

/** A constant; `value` is the 64-bit pattern as an unsigned number. */
export interface Constant {
  readonly kind: 'const'
  readonly value: bigint
}
/** An address or a handle that a relocation or the frame decides. */
export type Symbolic =
  | { readonly kind: 'map'; readonly name: string }
  | { readonly kind: 'mapValue'; readonly name: string; readonly offset: number }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'ksym'; readonly name: string; readonly typed: boolean; readonly weak?: boolean }
  | { readonly kind: 'frame'; readonly slot: StackSlot; readonly offset: number }
export type Operand = Reg | Constant | Symbolic

/** An area of a function's stack frame; its place is chosen when the function is laid out. */
export interface StackSlot {
  readonly id: number
  readonly size: number
  readonly align: number
  /** What it holds, for the ledger and errors. */
  readonly what: string
  /** The line that asked for it. */
  readonly site: Site
}

export type Width = 32 | 64
export type LoadSize = 1 | 2 | 4 | 8
export type AluOperation =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'mod'
  | 'sdiv'
  | 'smod'
  | 'or'
  | 'and'
  | 'xor'
  | 'lsh'
  | 'rsh'
  | 'arsh'
export type Comparison = 'eq' | 'ne' | 'gt' | 'ge' | 'lt' | 'le' | 'sgt' | 'sge' | 'slt' | 'sle' | 'set'

/** Where in the user's source an operation comes from: an index into the unit's site table, -1 for none. */
export type Site = number

interface Common {
  site: Site
}
export type Op = Common &
  (
    | { op: 'mov'; dst: Reg; a: Operand }
    | { op: 'alu'; dst: Reg; alu: AluOperation; width: Width; a: Operand; b: Operand }
    | { op: 'neg'; dst: Reg; width: Width; a: Operand }
    /** Reverses the byte order of the low `bits`, zero-extends. */
    | { op: 'swap'; dst: Reg; bits: 16 | 32 | 64; a: Operand }
    /** Sign extension of the low `bits` to `width`. */
    | { op: 'sext'; dst: Reg; bits: 8 | 16 | 32; width: Width; a: Operand }
    | { op: 'load'; dst: Reg; size: LoadSize; base: Operand; offset: number; core?: CoreRelocation }
    | { op: 'store'; size: LoadSize; base: Operand; offset: number; value: Operand }
    | {
        op: 'atomic'
        /** The imm of the instruction. */
        imm: number
        size: 4 | 8
        base: Operand
        offset: number
        value: Operand
        /** Receives the old value (fetch variants). */
        dst?: Reg
        /** The expected value of a compare-and-exchange. */
        expected?: Operand
      }
    | {
        op: 'call'
        dst?: Reg
        target: CallTarget
        args: Operand[]
        /** Memory that the call writes whole. */
        fills?: { readonly base: Operand; readonly offset: number; readonly size: number }
      }
    /** A value CO-RE decides: mov of an immediate with a relocation. */
    | { op: 'core'; dst: Reg; core: CoreRelocation; initial: number }
    | { op: 'raw'; lines: RawInstruction[]; dst?: Reg; inputs: Operand[] }
  )

/** An instruction of inline assembly; registers are physical. */
export interface RawInstruction {
  readonly opcode: number
  readonly dst: number
  readonly src: number
  readonly offset: number
  readonly imm: number
}

export type CallTarget =
  | { readonly kind: 'helper'; readonly id: number; readonly name: string }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'kfunc'; readonly name: string; readonly weak?: boolean }

export type Terminator = Common &
  (
    | { op: 'jump'; to: Block }
    | { op: 'branch'; cmp: Comparison; width: Width; a: Operand; b: Operand; yes: Block; no: Block }
    | { op: 'exit'; value: Operand | undefined }
    | { op: 'open' }
  )

export interface Block {
  readonly id: number
  ops: Op[]
  end: Terminator
  /** Left by an early return: laid out behind the main path. */
  cold: boolean
  loopDepth: number
}

/** One function of the unit: the program itself or a subprogram. */
export interface FunctionIr {
  readonly name: string
  readonly blocks: Block[]
  regCount: number
  readonly params: Reg[]
  readonly slots: StackSlot[]
  /** Where memory is zeroed as a whole and then filled. */
  readonly zeroed: { readonly block: Block; readonly from: number; readonly base: Operand }[]
}

export const constant = (value: bigint | number): Constant => ({
  kind: 'const',
  value: BigInt.asUintN(64, typeof value === 'bigint' ? value : BigInt(value)),
})
export const isConst = (operand: Operand): operand is Constant =>
  typeof operand === 'object' && operand.kind === 'const'

/** An operand as a key of the value table. */
export function operandKey(operand: Operand): string {
  if (typeof operand === 'number') return `v${operand}`
  switch (operand.kind) {
    case 'const':
      return `c${operand.value}`
    case 'map':
      return `m${operand.name}`
    case 'mapValue':
      return `mv${operand.name}+${operand.offset}`
    case 'function':
      return `fn${operand.name}`
    case 'ksym':
      return `k${operand.name}`
    case 'frame':
      return `s${operand.slot.id}+${operand.offset}`
  }
}
