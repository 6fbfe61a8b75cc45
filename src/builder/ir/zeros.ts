import { type Block, type FunctionIr, isConst, type Op, type Operand, operandKey } from './ops.ts'
import { countUses } from './uses.ts'

/** Where a helper writes all bytes: memory behind a pointer. */
export interface Filled {
  readonly base: Operand
  readonly offset: number
  readonly size: number
}
type Store = Op & { op: 'store' }

/**
 * Takes out stores of zeros whose bytes are all written again further down in the same block, before anything could read
 * them: memory that was zeroed as a whole costs only what stays zero.
 */
export function dropOverwrittenZeros(ir: FunctionIr): void {
  if (ir.zeroed.length === 0) return
  const uses = countUses(ir)
  for (let i = ir.zeroed.length - 1; i >= 0; i--) {
    const { block, from, base } = ir.zeroed[i]
    dropIn(block, from, base, uses)
  }
}

function dropIn(block: Block, from: number, base: Operand, uses: Uint32Array): void {
  const key = operandKey(base)
  const isZero = (op: Op): op is Store =>
    op.op === 'store' && isConst(op.value) && op.value.value === 0n && sameMemory(op.base, key, base)
  const zeros: { readonly op: Store; readonly missing: Set<number> }[] = []
  const { ops } = block
  const write = (offset: number, size: number): void => {
    for (const { missing } of zeros) for (let at = offset; at < offset + size; at++) missing.delete(at)
  }
  for (let i = from; i < ops.length; i++) {
    const op = ops[i]
    if (isZero(op) && !zeros.some(({ op: other }) => overlaps(other, op))) {
      const missing = new Set<number>()
      for (let at = 0; at < op.size; at++) missing.add(placeOf(op.base, op.offset) + at)
      zeros.push({ op, missing })
    } else if (op.op === 'store' && sameMemory(op.base, key, base)) write(placeOf(op.base, op.offset), op.size)
    else if (op.op === 'call' && op.fills !== undefined && sameMemory(op.fills.base, key, base))
      write(placeOf(op.fills.base, op.fills.offset), op.fills.size)
    else if (!(op.op === 'load' && uses[op.dst] === 0) && mayRead(op, key, base, ops)) break
  }
  const gone = new Set<Op>(zeros.filter(({ missing }) => missing.size === 0).map(({ op }) => op))
  if (gone.size === 0) return
  for (let i = ops.length - 1; i >= from; i--) if (gone.has(ops[i])) ops.splice(i, 1)
}

const placeOf = (base: Operand, offset: number): number =>
  typeof base === 'object' && base.kind === 'frame' ? base.offset + offset : offset
const overlaps = (a: Store, b: Store): boolean => {
  const [x, y] = [placeOf(a.base, a.offset), placeOf(b.base, b.offset)]
  return x < y + b.size && y < x + a.size
}
function sameMemory(other: Operand, key: string, base: Operand): boolean {
  if (typeof base === 'object' && base.kind === 'frame')
    return typeof other === 'object' && other.kind === 'frame' && other.slot === base.slot
  return operandKey(other) === key
}
/** Whether an operation may see the memory: by its pointer, or by one that was made from it in this block. */
function mayRead(op: Op, key: string, base: Operand, ops: readonly Op[]): boolean {
  const seen = new Set<number>()
  const reaches = (operand: Operand | undefined): boolean => {
    if (operand === undefined) return false
    if (sameMemory(operand, key, base)) return true
    if (typeof operand !== 'number' || seen.has(operand)) return false
    seen.add(operand)
    // variables are written more than once
    return ops.some(
      (it) =>
        'dst' in it &&
        it.dst === operand &&
        ((it.op === 'alu' && (reaches(it.a) || reaches(it.b))) || (it.op === 'mov' && reaches(it.a))),
    )
  }
  switch (op.op) {
    case 'load':
      return reaches(op.base)
    case 'store':
      return reaches(op.base) || reaches(op.value)
    case 'atomic':
      return reaches(op.base) || reaches(op.value)
    case 'call':
      return op.fills === undefined ? op.args.some(reaches) : false
    case 'mov':
      return reaches(op.a)
    case 'raw':
      return true
    default:
      return false
  }
}
