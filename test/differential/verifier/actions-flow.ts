import { accessValue, mapLookup } from './actions-memory.ts'
import { arithmetic, branch, scalarMix, unknownScalar } from './actions-scalar.ts'
import { ALU, JMP } from './code.ts'
import { MAP } from './maps.ts'
import { NOTHING, SCALAR, type State, type Writer } from './writer.ts'

const LOOP_HELPER = 181
const FOR_EACH_MAP_ELEM = 164

/** A counted loop: fixed or unknown bound, forwards or backwards, small bodies; some never end. */
export function countedLoop(w: Writer): void {
  const { code, random } = w
  const counter = random.between(6, 9)
  if (w.kind(counter).is !== 'nothing' && w.kind(counter).is !== 'scalar') return
  const turns = random.pick([1, 2, 3, 4, 7, 16, 40])
  const before = w.copyState()
  const down = random.chance(0.3)
  code.mov(counter, down ? turns : 0)
  w.set(counter, NOTHING) // the body must not touch it
  const start = code.label()
  code.place(start)
  w.depth++
  loopBody(w, counter)
  w.depth--
  const step = w.wrong() ? random.pick([0, -1, 2]) : 1
  if (w.wrong() && random.chance(0.3)) code.jump(start)
  else if (down) {
    code.alu(ALU.sub, counter, step)
    code.jumpIf(random.pick([JMP.jne, JMP.jsgt, JMP.jgt]), counter, 0, start)
  } else {
    code.alu(ALU.add, counter, step, random.chance(0.8))
    code.jumpIf(random.pick([JMP.jne, JMP.jlt, JMP.jslt]), counter, turns, start, random.chance(0.7))
  }
  w.join(before)
  w.set(counter, SCALAR)
}

function loopBody(w: Writer, counter: number): void {
  const { random } = w
  for (let i = random.between(0, 3); i > 0; i--) {
    if (w.kind(counter).is !== 'nothing') w.set(counter, NOTHING)
    random.weighted<() => void>([
      [5, () => arithmetic(w)],
      [1, () => (w.random.chance(0.4) ? branch(w, () => arithmetic(w)) : arithmetic(w))],
      [2, () => (w.state.regs.some((kind) => kind.is === 'value') ? accessValue(w) : arithmetic(w))],
    ])()
  }
}

/** A loop whose bound is not known but checked against a limit each turn. */
export function unknownLoop(w: Writer): void {
  const { code, random } = w
  const limit = w.state.regs.findIndex((kind, i) => i >= 6 && kind.is === 'scalar')
  if (limit < 6) {
    const from = unknownScalar(w)
    if (from < 6 && w.kind(9).is === 'nothing') {
      code.movReg(9, from)
      w.set(9, SCALAR)
    }
    return
  }
  const counter = [6, 7, 8, 9].find((r) => r !== limit && (w.kind(r).is === 'nothing' || w.kind(r).is === 'scalar'))
  if (counter === undefined) return
  const before = w.copyState()
  code.mov(counter, 0)
  w.set(counter, NOTHING)
  const kept = w.kind(limit)
  w.set(limit, NOTHING)
  const start = code.label()
  const out = code.label()
  code.place(start)
  if (!w.wrong()) code.jumpIf(JMP.jge, counter, random.pick([2, 4, 8, 20]), out)
  code.jumpIfReg(JMP.jge, counter, limit, out)
  if (random.chance(0.2)) code.mayGoto(out)
  w.depth++
  loopBody(w, counter)
  w.depth--
  code.alu(ALU.add, counter, 1)
  code.jump(start)
  code.place(out)
  w.join(before)
  w.set(counter, SCALAR)
  w.set(limit, kept)
}

/** A may_goto loop: the kernel bounds it itself. */
export function mayGotoLoop(w: Writer): void {
  const { code, random } = w
  const out = code.label()
  const start = code.label()
  const before = w.copyState()
  const counter = random.between(6, 9)
  if (w.kind(counter).is !== 'nothing' && w.kind(counter).is !== 'scalar') return
  code.mov(counter, 0)
  w.set(counter, NOTHING)
  code.place(start)
  code.mayGoto(out)
  loopBody(w, counter)
  if (random.chance(0.05)) code.alu(ALU.add, counter, 1)
  code.jump(start)
  code.place(out)
  w.join(before)
  w.set(counter, SCALAR)
}

/** Writes a function after the main one; its state starts with arguments only. */
function functionBody(
  w: Writer,
  label: { at: number },
  argumentsKnown: State['regs'],
  steps: number,
  returns?: () => void,
): void {
  w.later.push(() => {
    w.code.place(label)
    w.state = w.fresh()
    w.state.regs[1] = NOTHING
    argumentsKnown.forEach((kind, i) => {
      w.state.regs[i + 1] = kind
    })
    w.depth = 2
    for (let i = 0; i < steps; i++) scalarMix(w)
    if (w.wrong() && w.random.chance(0.2)) w.code.load(8, 0, w.random.pick([1, 2, 10]), w.random.pick([0, -8]))
    if (returns !== undefined) returns()
    else {
      if (w.kind(0).is !== 'scalar') w.code.mov(0, w.random.below(2))
      w.code.exit()
    }
  })
}

/** A call of a function of this program with scalars, the context or a stack pointer. */
export function localCall(w: Writer): void {
  const { code, random } = w
  const label = code.label()
  const count = random.below(4)
  const known: State['regs'] = []
  for (let i = 1; i <= count; i++) {
    const what = random.below(4)
    if (what === 0) {
      code.mov(i, random.edge())
      known.push(SCALAR)
    } else if (what === 1) {
      const kept = w.state.regs.findIndex((kind, r) => r >= 6 && kind.is === 'scalar')
      if (kept < 0) code.mov(i, 3)
      else code.movReg(i, kept)
      known.push(SCALAR)
    } else if (what === 2) {
      const pointer = w.state.regs.findIndex((kind, r) => r >= 6 && (kind.is === 'value' || kind.is === 'ctx'))
      if (pointer < 0) code.mov(i, 1)
      else code.movReg(i, pointer)
      known.push(pointer < 0 ? SCALAR : w.kind(pointer))
    } else {
      w.fill(-16, 16)
      code.movReg(i, 10)
      code.alu(ALU.add, i, -16)
      known.push(NOTHING)
    }
  }
  code.callLocal(label)
  w.clobber()
  w.set(0, SCALAR)
  const depth = w.depth
  functionBody(w, label, known, random.between(1, 4))
  if (depth < 2 && random.chance(0.3)) {
    const deeper = code.label()
    w.later.push(() => {
      // A function that calls on: frames grow until the limits.
      code.place(deeper)
      w.state = w.fresh()
      w.state.regs[1] = SCALAR
      if (random.chance(0.5)) w.fill(-random.pick([64, 200, 256]), 8)
      code.mov(1, 1)
      code.callLocal(w.wrong() && random.chance(0.4) ? deeper : label)
      code.mov(0, 0)
      code.exit()
    })
    code.mov(1, 1)
    code.mov(2, 1)
    code.mov(3, 1)
    code.callLocal(deeper)
    w.clobber()
    w.set(0, SCALAR)
  }
}

/** bpf_loop or bpf_for_each_map_elem with a callback of this program. */
export function callback(w: Writer): void {
  const { code, random } = w
  const label = code.label()
  w.fill(-16, 16)
  const each = random.chance(0.4)
  if (each) {
    code.map(1, random.pick([MAP.array, MAP.hash, MAP.lru]))
    code.functionPointer(2, label)
    code.movReg(3, 10)
    code.alu(ALU.add, 3, -16)
    code.mov(4, w.wrong() ? 1 : 0)
  } else {
    if (random.chance(0.5)) code.mov(1, random.pick([1, 10, 1000, random.edge()]))
    else {
      const kept = w.state.regs.findIndex((kind, r) => r >= 6 && kind.is === 'scalar')
      if (kept < 0) code.mov(1, 5)
      else code.movReg(1, kept)
    }
    code.functionPointer(2, label)
    if (random.chance(0.6)) {
      code.movReg(3, 10)
      code.alu(ALU.add, 3, -16)
    } else code.mov(3, w.wrong() ? 1 : 0)
    code.mov(4, w.wrong() ? 1 : 0)
  }
  w.call(each ? FOR_EACH_MAP_ELEM : LOOP_HELPER, SCALAR)
  w.touch(-16, 16)
  functionBody(w, label, each ? [NOTHING, NOTHING, NOTHING, NOTHING] : [SCALAR, NOTHING], random.between(0, 3), () => {
    if (random.chance(0.3) && each) code.load(4, 2, 3, w.wrong() ? 62 : 0)
    const value = w.wrong() ? random.edge() : random.below(2)
    code.mov(0, value)
    code.exit()
  })
}

/** A chain of functions with large frames around the limits: 512 bytes together, 256 below a tail call, eight frames. */
export function deepStack(w: Writer): void {
  const { code, random } = w
  const frames = random.between(1, 9)
  const bytes = random.pick([8, 32, 64, 128, 176, 256])
  const tail = random.chance(0.4)
  const labels = Array.from({ length: frames }, () => code.label())
  code.movReg(
    1,
    w.state.regs.findIndex((kind) => kind.is === 'ctx') < 0 ? 10 : w.state.regs.findIndex((kind) => kind.is === 'ctx'),
  )
  code.callLocal(labels[0])
  w.clobber()
  w.set(0, SCALAR)
  labels.forEach((label, i) => {
    w.later.push(() => {
      code.place(label)
      w.state = w.fresh()
      code.movReg(6, 1)
      if (random.chance(0.8)) code.storeImm(8, 10, -bytes, i)
      if (i + 1 < frames) {
        code.movReg(1, random.chance(0.1) ? 10 : 6)
        code.callLocal(labels[i + 1])
      }
      if (tail && random.chance(0.5)) code.movReg(1, 6).map(2, MAP.progs).mov(3, 0).call(12)
      if (random.chance(0.1)) code.movReg(0, random.pick([6, 10]))
      else code.mov(0, 0)
      code.exit()
    })
  })
}

/** A tail call: never comes back when it works. */
export function tailCall(w: Writer): void {
  const { code, random } = w
  const context = w.state.regs.findIndex((kind) => kind.is === 'ctx')
  if (context < 0) return
  code.movReg(1, context)
  code.map(2, w.wrong() ? MAP.array : MAP.progs)
  code.mov(3, random.between(0, 5))
  w.call(12, SCALAR)
}

export { mapLookup }
