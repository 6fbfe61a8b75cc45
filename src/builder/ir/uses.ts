import type { FunctionIr, Op, Operand } from './ops.ts'

/** How often each virtual register is read: decides which operand of a commutative operation is overwritten. */
export function countUses(ir: FunctionIr): Uint32Array {
  const counts = new Uint32Array(ir.regCount)
  const see = (operand: Operand | undefined): void => {
    if (typeof operand === 'number') counts[operand]++
  }
  for (const { ops, end } of ir.blocks) {
    for (let i = 0; i < ops.length; i++) eachOperand(ops[i], see)
    if (end.op === 'branch') {
      see(end.a)
      see(end.b)
    } else if (end.op === 'exit') see(end.value)
  }
  return counts
}

function eachOperand(op: Op, see: (operand: Operand | undefined) => void): void {
  switch (op.op) {
    case 'mov':
    case 'neg':
    case 'swap':
    case 'sext':
      see(op.a)
      return
    case 'alu':
      see(op.a)
      see(op.b)
      return
    case 'load':
      see(op.base)
      return
    case 'store':
      see(op.base)
      see(op.value)
      return
    case 'atomic':
      see(op.base)
      see(op.value)
      see(op.expected)
      return
    case 'call':
      for (let i = 0; i < op.args.length; i++) see(op.args[i])
      return
    case 'raw':
      for (let i = 0; i < op.inputs.length; i++) see(op.inputs[i])
      return
    case 'core':
  }
}
