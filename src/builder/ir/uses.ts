import type { FunctionIr, Op, Operand } from './ops.ts'

/** How often each virtual register is read: decides which operand of a commutative operation is overwritten. */
export function countUses(ir: FunctionIr): Uint32Array {
  const counts = new Uint32Array(ir.regCount)
  const see = (operand: Operand | undefined): void => {
    if (typeof operand === 'number') counts[operand]++
  }
  for (const block of ir.blocks) {
    for (const op of block.ops) for (const operand of operandsOf(op)) see(operand)
    const { end } = block
    if (end.op === 'branch') {
      see(end.a)
      see(end.b)
    } else if (end.op === 'exit') see(end.value)
  }
  return counts
}

function operandsOf(op: Op): Operand[] {
  switch (op.op) {
    case 'mov':
    case 'neg':
    case 'swap':
    case 'sext':
      return [op.a]
    case 'alu':
      return [op.a, op.b]
    case 'load':
      return [op.base]
    case 'store':
      return [op.base, op.value]
    case 'atomic':
      return op.expected === undefined ? [op.base, op.value] : [op.base, op.value, op.expected]
    case 'call':
      return op.args
    case 'raw':
      return op.inputs
    case 'core':
      return []
  }
}
