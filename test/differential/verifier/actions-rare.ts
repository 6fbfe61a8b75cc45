import { helperNumber } from '../../../src/uapi/index.ts'
import { leave } from './actions-memory.ts'
import { ALU, type Bytes, JMP } from './code.ts'
import { kernelTypes } from './kernel-types.ts'
import { MAP } from './maps.ts'
import { NOTHING, SCALAR, type Writer } from './writer.ts'

const LD_ABS = 0x20
const LD_IND = 0x40
const SIZE_BITS: Readonly<Record<1 | 2 | 4, number>> = { 1: 0x10, 2: 0x08, 4: 0x00 }

/** The packet loads of classic BPF: r6 is the context, r0 the result, r1 to r5 are lost. */
export function legacyLoad(w: Writer): void {
  const { code, random } = w
  const context = w.state.regs.findIndex((kind) => kind.is === 'ctx')
  if (context !== 6 && !w.wrong()) {
    if (context < 0) return
    code.movReg(6, context)
    w.set(6, { is: 'ctx' })
  }
  const size = random.pick([1, 2, 4] as const)
  if (random.chance(0.5)) code.emit(LD_ABS | SIZE_BITS[size], w.wrong() ? 1 : 0, 0, 0, random.between(0, 60))
  else code.emit(LD_IND | SIZE_BITS[size], 0, w.scalar(), w.wrong() ? 1 : 0, random.between(-4, 60))
  w.clobber()
  w.set(0, SCALAR)
}

/** A jump with a 32-bit distance over a few instructions. */
export function longJump(w: Writer): void {
  const { code, random } = w
  const end = code.label()
  const left = w.find((kind) => kind.is === 'scalar')
  if (left === undefined) return
  const other = code.label()
  code.jumpIf(JMP.jgt, left, random.edge(), other)
  code.longJump(end)
  code.place(other)
  code.alu(ALU.add, left <= 9 ? left : 0, 1)
  if (left > 9) return
  code.place(end)
  w.set(left, SCALAR)
}

/** Addresses of a map's first value, read and written at constant and bounded offsets. */
export function directValue(w: Writer): void {
  const { code, random } = w
  const to = random.between(6, 9)
  if (w.kind(to).is === 'ctx' || w.kind(to).is === 'record') return
  const map = w.wrong()
    ? random.pick([MAP.array, MAP.hash, MAP.ring, MAP.percpu])
    : random.pick([MAP.large, MAP.rodata, MAP.byte])
  const size = map === MAP.large ? 1320 : map === MAP.rodata ? 32 : 1
  const offset = w.wrong() ? size + random.between(-1, 1) : random.below(size)
  code.mapValue(to, map, offset)
  w.set(to, { is: 'value', size, offset, readonly: map === MAP.rodata })
}

/** A lookup in a map of maps, then in the map that it gave. */
export function mapInMap(w: Writer): void {
  const { code } = w
  const lookup = helperNumber('map_lookup_elem') ?? 1
  w.fill(-8, 8)
  code.movReg(2, 10).alu(ALU.add, 2, -8).map(1, MAP.outer)
  w.call(lookup, NOTHING)
  if (!w.wrong()) {
    const fine = code.label()
    code.jumpIf(JMP.jne, 0, 0, fine)
    leave(w)
    code.place(fine)
  }
  code.movReg(1, 0).movReg(2, 10).alu(ALU.add, 2, -8)
  w.call(lookup, { is: 'valueOrNull', size: 40 })
  const fine = code.label()
  if (!w.wrong()) {
    code.jumpIf(JMP.jne, 0, 0, fine)
    leave(w)
    code.place(fine)
  }
  code.load(w.random.pick([1, 2, 4, 8] as const), 3, 0, w.wrong() ? 40 : 32)
  w.set(0, NOTHING)
  w.set(3, SCALAR)
}

let kfuncs: Readonly<Record<'new' | 'next' | 'destroy', number>> | undefined | null

function iteratorKfuncs(): typeof kfuncs {
  if (kfuncs === undefined) {
    const btf = kernelTypes()
    const id = (name: string): number => btf?.idByName(name, 'func') ?? 0
    const found = { new: id('bpf_iter_num_new'), next: id('bpf_iter_num_next'), destroy: id('bpf_iter_num_destroy') }
    kfuncs = found.new > 0 && found.next > 0 && found.destroy > 0 ? found : null
  }
  return kfuncs
}

/** The open-coded number iterator on the stack: new, next until null, destroy; each step may be forgotten. */
export function numberIterator(w: Writer): void {
  const { code, random } = w
  const ids = iteratorKfuncs()
  if (ids === null || ids === undefined) return
  const at = -8 * random.between(1, 6)
  const pointer = (): void => {
    code.movReg(1, 10).alu(ALU.add, 1, w.wrong() ? at + random.pick([-8, 4, 8]) : at)
  }
  w.touch(at, 8)
  w.state.stack.clear()
  pointer()
  code.mov(2, random.between(-2, 4))
  code.mov(3, random.pick([0, 3, 10, 1000]))
  code.callKfunc(ids.new)
  w.clobber()
  const loop = code.label()
  const out = code.label()
  code.place(loop)
  if (!w.wrong()) pointer()
  code.callKfunc(ids.next)
  if (!w.wrong()) code.jumpIf(JMP.jeq, 0, 0, out)
  code.load(4, 2, 0, w.wrong() ? 4 : 0)
  if (random.chance(0.4)) {
    const sum = random.between(7, 9)
    if (w.kind(sum).is === 'scalar') code.aluReg(ALU.add, sum, 2)
  }
  if (random.chance(0.2)) code.jumpIf(JMP.jgt, 2, 5, out)
  code.jump(loop)
  code.place(out)
  if (!w.wrong()) {
    pointer()
    code.callKfunc(ids.destroy)
  }
  w.clobber()
}

/** Loads of 32-bit halves and sign-extending loads of bounded values, used as offsets. */
export function signedLoads(w: Writer): void {
  const { code, random } = w
  const to = random.between(2, 5)
  const size = random.pick([1, 2, 4] as const satisfies readonly Bytes[])
  w.fill(-8, 8)
  code.load(size, to, 10, -8, true)
  w.set(to, SCALAR)
  if (random.chance(0.5)) code.aluReg(ALU.mov, to, to, false, random.pick([8, 16]))
}
