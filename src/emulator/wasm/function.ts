import { LD_IMM64 } from '../../uapi/index.ts'
import { OPERATION } from '../decode.ts'
import { MAY_GOTO_LIMIT } from '../interpreter.ts'
import { FRAME_STRIDE, MAX_FRAMES, STACK_BYTES } from '../machine.ts'
import { SHADOW } from '../memory.ts'
import { emitArithmetic, emitCondition, isArithmetic } from './arithmetic.ts'
import type { Block, FunctionGraph } from './cfg.ts'
import { OP, VOID } from './encoder.ts'
import { FAULT_KIND, FUEL_ADDRESS, LOCAL, LOCAL_GROUPS } from './layout.ts'
import { emitAtomic, emitLoad, emitStore, isMemoryAccess } from './memory-access.ts'
import { findSpans } from './spans.ts'
import { type CompileContext, FunctionWriter } from './writer.ts'

type Label = { readonly kind: 'loop' | 'after' | 'if'; readonly block: number }

/** Compiles one function: structured control flow from the dominator tree (Ramsey, "Beyond Relooper", 2022). */
export class FunctionCompiler extends FunctionWriter {
  readonly graph: FunctionGraph
  readonly #children: number[][]
  readonly #labels: Label[] = []
  readonly usesStack: boolean

  constructor(context: CompileContext, graph: FunctionGraph) {
    super(context)
    this.graph = graph
    this.#children = graph.blocks.map(() => [])
    for (let node = 1; node < graph.blocks.length; node++) this.#children[graph.dominator[node]].push(node)
    this.usesStack = this.#findStackUse()
  }

  #findStackUse(): boolean {
    const { code } = this.context.program
    return this.graph.blocks.some((block) => {
      for (let slot = block.start; slot <= block.last; slot = code.next[slot])
        if (code.dst[slot] === 10 || (code.src[slot] === 10 && code.operation[slot] !== LD_IMM64)) return true
      return false
    })
  }

  compile(): Uint8Array {
    const { out } = this
    out.u32(LOCAL_GROUPS.length)
    for (const [count, type] of LOCAL_GROUPS) out.u32(count).byte(type)
    this.#prologue()
    this.#tree(0)
    out.byte(OP.unreachable).byte(OP.end)
    return out.toBytes()
  }

  #prologue(): void {
    const { out } = this
    const { machine } = this.context
    this.reloadFuel(0)
    this.get(LOCAL.frame).i32(MAX_FRAMES).out.byte(OP.i32GeU).byte(OP.if).byte(VOID)
    this.fault(this.graph.entry, FAULT_KIND.callDepth)
    out.byte(OP.end)
    this.i32(MAY_GOTO_LIMIT).set(LOCAL.goes)
    if (!this.usesStack) return
    this.get(LOCAL.frame).i32(FRAME_STRIDE).out.byte(OP.i32Mul)
    this.i32(machine.framePointer(0) - STACK_BYTES).out.byte(OP.i32Add)
    this.set(LOCAL.stack)
    const fresh = machine.sanitizer.uninitialisedStack === 'off' ? SHADOW.readWrite : SHADOW.uninitialised
    this.#fillShadow(fresh)
    this.get(LOCAL.stack).i32(0).i32(STACK_BYTES).#memoryFill()
  }

  #fillShadow(value: number): void {
    this.get(LOCAL.stack).i32(this.context.machine.memory.size).out.byte(OP.i32Add)
    this.i32(value).i32(STACK_BYTES).#memoryFill()
  }
  #memoryFill(): void {
    this.out.bytes(0xfc, 0x0b, 0x00)
  }

  // Control flow ----------------------------------------------------------------------------------------------------

  #tree(node: number): void {
    const { out, graph } = this
    const loop = graph.loops.has(node)
    if (loop) {
      out.byte(OP.loop).byte(VOID)
      this.#labels.push({ kind: 'loop', block: node })
    }
    const merges = this.#children[node].filter((child) => graph.merges.has(child)).sort((a, b) => b - a)
    for (const merge of merges) {
      out.byte(OP.block).byte(VOID)
      this.#labels.push({ kind: 'after', block: merge })
    }
    this.#block(node)
    for (const merge of merges.reverse()) {
      out.byte(OP.end)
      this.#labels.pop()
      this.#tree(merge)
    }
    if (loop) {
      out.byte(OP.end)
      this.#labels.pop()
    }
  }

  #depth(node: number): number {
    for (let i = this.#labels.length - 1; i >= 0; i--)
      if (this.#labels[i].kind !== 'if' && this.#labels[i].block === node) return this.#labels.length - 1 - i
    throw new Error(`no label for block ${node}`)
  }

  #isLabel(from: number, node: number): boolean {
    return node <= from || this.graph.merges.has(node)
  }

  /** Goes to the block at a slot: by a branch, or by writing it here. */
  #go(from: number, slot: number, at: number): void {
    this.unpaid = 0
    const node = slot < 0 ? undefined : this.graph.index.get(slot)
    if (node === undefined) {
      this.fault(at, FAULT_KIND.invalidJump)
      return
    }
    if (this.#isLabel(from, node)) this.out.byte(OP.br).u32(this.#depth(node))
    else this.#tree(node)
  }

  #block(node: number): void {
    const { out } = this
    const block = this.graph.blocks[node]
    const { code } = this.context.program
    this.unpaid = 0
    this.spans = findSpans(this.context.program, block)
    this.get(LOCAL.fuel).i32(block.count).op(OP.i32Sub)
    out.byte(OP.localTee).u32(LOCAL.fuel)
    this.i32(0).op(OP.i32LtS)
    out.byte(OP.if).byte(VOID)
    this.fault(block.start, FAULT_KIND.stepLimit)
    out.byte(OP.end)
    let left = block.count
    for (let slot = block.start; slot <= block.last; slot = code.next[slot]) {
      this.unpaid = --left
      if (slot === block.last && block.ending !== 'fall') this.#ending(node, block)
      else this.#instruction(slot)
    }
    if (block.ending === 'fall') this.#go(node, block.successors[0] ?? code.next[block.last], code.next[block.last])
    if (block.ending === 'fall' && block.successors.length === 0) out.byte(OP.unreachable)
  }

  #ending(node: number, block: Block): void {
    const { out } = this
    const slot = block.last
    const { code } = this.context.program
    switch (block.ending) {
      case 'jump':
        this.#go(node, block.successors[0], slot)
        break
      case 'exit':
        this.#leave()
        break
      case 'stop':
        this.fault(slot, FAULT_KIND.invalidInstruction)
        break
      default: {
        if (code.operation[slot] === OPERATION.mayGoto) {
          this.get(LOCAL.goes).op(OP.i32Eqz)
        } else emitCondition(this, slot)
        const [taken, next] = block.successors
        const target = taken < 0 ? undefined : this.graph.index.get(taken)
        if (target !== undefined && this.#isLabel(node, target)) {
          out.byte(OP.brIf).u32(this.#depth(target))
          this.#countGoto(slot)
          this.#go(node, next, slot)
          break
        }
        out.byte(OP.if).byte(VOID)
        this.#labels.push({ kind: 'if', block: -1 })
        this.#go(node, taken, slot)
        out.byte(OP.else)
        this.#countGoto(slot)
        this.#go(node, next, slot)
        out.byte(OP.end)
        this.#labels.pop()
      }
    }
  }

  #countGoto(slot: number): void {
    if (this.context.program.code.operation[slot] !== OPERATION.mayGoto) return
    this.get(LOCAL.goes).i32(1).op(OP.i32Sub).set(LOCAL.goes)
  }

  #leave(): void {
    this.i32(0).get(LOCAL.fuel).memory(OP.i32Store, FUEL_ADDRESS)
    if (this.usesStack) this.#fillShadow(SHADOW.none)
    this.register(0).op(OP.return)
  }

  // Instructions ----------------------------------------------------------------------------------------------------

  #instruction(slot: number): void {
    const { code } = this.context.program
    const operation = code.operation[slot]
    if (operation === LD_IMM64) {
      const { view } = this.context.machine.memory
      this.i64(view.getBigInt64(this.context.program.pool + 8 * slot, true)).setRegister(code.dst[slot])
    } else if (isArithmetic(operation)) emitArithmetic(this, slot)
    else if (isMemoryAccess(operation)) {
      if (operation === OPERATION.atomic32 || operation === OPERATION.atomic64) emitAtomic(this, slot)
      else if ((operation & 7) === 1 || operation === OPERATION.loadAcquire) emitLoad(this, slot)
      else emitStore(this, slot)
    } else this.#call(slot, operation)
  }

  #call(slot: number, operation: number): void {
    const { code } = this.context.program
    const { out } = this
    switch (operation) {
      case OPERATION.callHelper:
        for (let register = 0; register <= 5; register++) this.spill(register)
        this.i32(code.imm[slot]).i32(slot).get(LOCAL.frame).paidFuel().callImport('helper')
        this.reload(0).reloadFuel(this.unpaid)
        if (code.imm[slot] !== 12) {
          out.byte(OP.drop)
          break
        }
        out.byte(OP.if).byte(VOID)
        this.#leaveEarly()
        out.byte(OP.end)
        break
      case OPERATION.callKfunc:
        for (let register = 0; register <= 5; register++) this.spill(register)
        this.i32(slot).get(LOCAL.frame).paidFuel().callImport('kfunc')
        this.reload(0).reloadFuel(this.unpaid)
        break
      case OPERATION.callRegister:
        for (let register = 0; register <= 5; register++) this.spill(register)
        this.spill(code.dst[slot])
        this.i32(slot).get(LOCAL.frame).paidFuel().callImport('callRegister')
        this.reload(0).reloadFuel(this.unpaid)
        break
      case OPERATION.callLocal: {
        const target = this.context.functions.get(code.target[slot])
        if (target === undefined) {
          this.fault(slot, FAULT_KIND.invalidJump)
          break
        }
        this.i32(0).paidFuel().memory(OP.i32Store, FUEL_ADDRESS)
        this.get(LOCAL.frame).i32(1).op(OP.i32Add)
        for (let register = 1; register <= 5; register++) this.register(register)
        out.byte(OP.call).u32(target)
        this.setRegister(0).reloadFuel(this.unpaid)
        break
      }
      case OPERATION.castAddress:
        this.spill(code.src[slot])
        this.i32(slot).get(LOCAL.frame).paidFuel().callImport('cast').reload(code.dst[slot])
        break
      default:
        // ld_abs and ld_ind: r6 is the context, the index register may be any
        this.spill(6)
        if ((operation & 0xe0) === 0x40) this.spill(code.src[slot])
        this.i32(slot).i32(0).get(LOCAL.frame).paidFuel().callImport('loadPacket')
        out.byte(OP.i32Eqz).byte(OP.if).byte(VOID)
        this.i64(0n).setRegister(0)
        this.#leaveEarly()
        out.byte(OP.end)
        this.reload(0)
    }
  }

  /** Leaves in the middle of a block: what the block paid for and did not run is given back. */
  #leaveEarly(): void {
    this.paidFuel().set(LOCAL.fuel)
    this.#leave()
  }
}
