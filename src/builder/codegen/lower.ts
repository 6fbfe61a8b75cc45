import { ALU, CLASS, JMP, MODE, PSEUDO_CALL, SIZE, SOURCE } from '../../uapi/index.ts'
import { type Block, type FunctionIr, isConst, type Op, type Terminator } from '../ir/ops.ts'
import { ALU_CODE, COMMUTES, MIRRORED, SIZES } from './codes.ts'
import { FIRST_VIRTUAL, type MachineBlock, type MachineEnd, type MachineFunction } from './machine.ts'
import { fitsSigned32, InstructionWriter } from './writer.ts'

/** Turns the intermediate form into two-address machine instructions over virtual registers. */
export function lower(ir: FunctionIr, features: { readonly signExtend: boolean }): MachineFunction {
  return new Lowering(ir, features).run()
}

/** Registers that a call with so many arguments reads, and those that it leaves with something else. */
const ARGUMENTS: readonly (readonly number[])[] = [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5]]
const CLOBBERED: readonly number[] = [0, 1, 2, 3, 4, 5]

class Lowering extends InstructionWriter {
  readonly features: { readonly signExtend: boolean }

  constructor(ir: FunctionIr, features: { readonly signExtend: boolean }) {
    super(ir)
    this.features = features
  }

  run(): MachineFunction {
    const blocks = new Map<Block, MachineBlock>()
    const shell = (block: Block): MachineBlock => {
      let made = blocks.get(block)
      if (made === undefined) {
        made = {
          id: block.id,
          code: [],
          end: { op: 'exit', site: -1 },
          cold: block.cold,
          loopDepth: block.loopDepth,
          at: -1,
        }
        blocks.set(block, made)
      }
      return made
    }
    const inOrder: MachineBlock[] = []
    for (const block of this.ir.blocks) {
      const made = shell(block)
      inOrder.push(made)
      this.code = made.code
      if (block === this.ir.blocks[0])
        this.ir.params.forEach((param, i) => {
          this.move(FIRST_VIRTUAL + param, i + 1)
        })
      const { ops } = block
      for (let i = 0; i < ops.length; i++) {
        this.site = ops[i].site
        this.#lower(ops[i])
      }
      this.site = block.end.site
      made.end = this.#end(block.end, shell)
    }
    return {
      name: this.ir.name,
      blocks: inOrder,
      registers: this.next,
      slots: [...this.ir.slots],
      pinned: this.pinned,
      frameBytes: 0,
    }
  }

  #lower(op: Op): void {
    switch (op.op) {
      case 'mov':
        this.set(FIRST_VIRTUAL + op.dst, op.a)
        return
      case 'alu':
        this.#alu(op)
        return
      case 'neg': {
        const dst = FIRST_VIRTUAL + op.dst
        this.set(dst, op.a)
        this.put((op.width === 64 ? CLASS.alu64 : CLASS.alu) | ALU.neg, dst, 0, 0, 0, [dst], [dst])
        return
      }
      case 'swap': {
        const dst = FIRST_VIRTUAL + op.dst
        this.set(dst, op.a)
        this.put(CLASS.alu | ALU.end | SOURCE.x, dst, 0, 0, op.bits, [dst], [dst])
        return
      }
      case 'sext': {
        const dst = FIRST_VIRTUAL + op.dst
        const unit = op.width === 64 ? CLASS.alu64 : CLASS.alu
        if (this.features.signExtend) {
          const src = this.register(op.a)
          this.put(unit | SOURCE.x | ALU.mov, dst, src, op.bits, 0, [src], [dst])
          return
        }
        this.set(dst, op.a)
        const by = op.width - op.bits
        if (by === 0) return
        this.put(unit | SOURCE.k | ALU.lsh, dst, 0, 0, by, [dst], [dst])
        this.put(unit | SOURCE.k | ALU.arsh, dst, 0, 0, by, [dst], [dst])
        return
      }
      case 'load': {
        const base = this.base(op.base)
        const dst = FIRST_VIRTUAL + op.dst
        this.put(
          CLASS.ldx | MODE.mem | SIZES[op.size],
          dst,
          base.register,
          op.offset + base.add,
          0,
          [base.register],
          [dst],
          {
            slot: base.slot,
            core: op.core,
          },
        )
        return
      }
      case 'store': {
        const base = this.base(op.base)
        const small = isConst(op.value)
          ? op.size === 8
            ? fitsSigned32(op.value.value)
              ? BigInt.asIntN(32, op.value.value)
              : undefined
            : BigInt.asIntN(8 * op.size, op.value.value)
          : undefined
        const more = { effect: true, slot: base.slot }
        if (small !== undefined) {
          this.put(
            CLASS.st | MODE.mem | SIZES[op.size],
            base.register,
            0,
            op.offset + base.add,
            Number(small),
            [base.register],
            [],
            more,
          )
          return
        }
        const value = this.register(op.value)
        this.put(
          CLASS.stx | MODE.mem | SIZES[op.size],
          base.register,
          value,
          op.offset + base.add,
          0,
          [base.register, value],
          [],
          more,
        )
        return
      }
      case 'atomic':
        this.#atomic(op)
        return
      case 'core': {
        const dst = FIRST_VIRTUAL + op.dst
        this.put(CLASS.alu64 | SOURCE.k | ALU.mov, dst, 0, 0, op.initial, [], [dst], { core: op.core })
        return
      }
      case 'call':
        this.#call(op)
        return
      case 'raw': {
        op.inputs.forEach((input, i) => {
          this.set(i + 1, input)
        })
        const all = [0, 1, 2, 3, 4, 5]
        const inputs = op.inputs.map((_, i) => i + 1)
        for (const [i, line] of op.lines.entries())
          this.put(
            line.opcode,
            line.dst,
            line.src,
            line.offset,
            line.imm,
            i === 0 ? inputs : all.slice(),
            all.slice(),
            {
              effect: true,
            },
          )
        if (op.dst !== undefined) this.move(FIRST_VIRTUAL + op.dst, 0)
      }
    }
  }

  #alu(op: Op & { op: 'alu' }): void {
    const dst = FIRST_VIRTUAL + op.dst
    let { a, b } = op
    const { alu, width } = op
    const unit = width === 64 ? CLASS.alu64 : CLASS.alu
    if (alu === 'or' && width === 32 && isConst(b) && b.value === 0n && typeof a === 'number') {
      const src = FIRST_VIRTUAL + a
      this.put(CLASS.alu | SOURCE.x | ALU.mov, dst, src, 0, 0, [src], [dst])
      return
    }
    if (COMMUTES.has(alu) && typeof a === 'number' && typeof b === 'number' && this.uses[a] > 1 && this.uses[b] === 1)
      [a, b] = [b, a]
    const signed = alu === 'sdiv' || alu === 'smod' ? 1 : 0
    const code = unit | ALU_CODE[alu]
    if (isConst(b) && (width === 32 || fitsSigned32(b.value))) {
      this.set(dst, a)
      this.put(code | SOURCE.k, dst, 0, signed, Number(BigInt.asIntN(32, b.value)), [dst], [dst])
      return
    }
    const right = this.register(b)
    this.set(dst, a)
    this.put(code | SOURCE.x, dst, right, signed, 0, [dst, right], [dst])
  }

  #atomic(op: Op & { op: 'atomic' }): void {
    const base = this.base(op.base)
    const opcode = CLASS.stx | MODE.atomic | (op.size === 8 ? SIZE.dw : SIZE.w)
    const offset = op.offset + base.add
    const more = { effect: true, slot: base.slot }
    if (op.expected !== undefined) {
      const value = this.register(op.value)
      this.set(0, op.expected)
      this.put(opcode, base.register, value, offset, op.imm, [base.register, value, 0], [0], more)
      if (op.dst !== undefined) this.move(FIRST_VIRTUAL + op.dst, 0)
      return
    }
    if (op.dst !== undefined) {
      const dst = FIRST_VIRTUAL + op.dst
      this.set(dst, op.value)
      this.put(opcode, base.register, dst, offset, op.imm, [base.register, dst], [dst], more)
      return
    }
    const value = this.register(op.value)
    this.put(opcode, base.register, value, offset, op.imm, [base.register, value], [], more)
  }

  #call(op: Op & { op: 'call' }): void {
    const { target } = op
    for (let i = 0; i < op.args.length; i++) this.set(i + 1, op.args[i])
    const uses = ARGUMENTS[op.args.length]
    const pseudo = { helper: 0, function: PSEUDO_CALL.local, kfunc: PSEUDO_CALL.kfunc }[target.kind]
    this.put(CLASS.jmp | JMP.call, 0, pseudo, 0, target.kind === 'helper' ? target.id : -1, uses, CLOBBERED, {
      effect: true,
      reference:
        target.kind === 'helper'
          ? undefined
          : target.kind === 'function'
            ? { kind: 'function', name: target.name }
            : { kind: 'kfunc', name: target.name, weak: target.weak },
    })
    if (op.dst !== undefined) this.move(FIRST_VIRTUAL + op.dst, 0)
  }

  #end(end: Terminator, shell: (block: Block) => MachineBlock): MachineEnd {
    switch (end.op) {
      case 'jump':
        return { op: 'jump', to: shell(end.to) }
      case 'open':
      case 'exit': {
        this.set(0, end.op === 'exit' && end.value !== undefined ? end.value : { kind: 'const', value: 0n })
        return { op: 'exit', site: end.site }
      }
      case 'branch': {
        let { a, b, cmp } = end
        if (isConst(a)) {
          ;[a, b] = [b, a]
          cmp = MIRRORED[cmp]
        }
        const wide = end.width === 64
        const left = this.register(a)
        const small = isConst(b) && (!wide || fitsSigned32(b.value)) ? b : undefined
        const imm = small === undefined ? 0 : Number(BigInt.asIntN(32, small.value))
        const right = small === undefined ? this.register(b) : -1
        const { site } = end
        return { op: 'branch', cmp, wide, a: left, b: right, imm, yes: shell(end.yes), no: shell(end.no), site }
      }
    }
  }
}
