import { bound, unknownScalar } from './actions-scalar.ts'
import { ALU, type Bytes, JMP } from './code.ts'
import { CAMPAIGN_MAPS, MAP } from './maps.ts'
import { NOTHING, SCALAR, SIZES, type Writer } from './writer.ts'

const LOOKUP = 1
const VALUE_MAPS = [MAP.array, MAP.hash, MAP.large, MAP.percpu, MAP.lru, MAP.rodata, MAP.byte, MAP.lpm]

/** Looks a value up and, when careful, tests it for null. Answers the register that holds the pointer. */
export function mapLookup(w: Writer, map = w.random.pick(VALUE_MAPS)): number | undefined {
  const { code, random } = w
  const spec = CAMPAIGN_MAPS[map]
  const key = -8 * random.between(1, 4) - (spec.keySize > 8 ? 8 : 0)
  if (!w.wrong()) w.fill(key, spec.keySize)
  code.movReg(2, 10)
  code.alu(ALU.add, 2, key)
  code.map(1, map)
  const readonly = map === MAP.rodata
  w.call(LOOKUP, { is: 'valueOrNull', size: spec.valueSize, readonly })
  const to = random.chance(0.6) ? random.between(6, 9) : 0
  if (to !== 0) {
    if (w.kind(to).is === 'record' || w.kind(to).is === 'recordOrNull' || w.kind(to).is === 'ctx')
      return nullCheck(w, 0)
    code.movReg(to, 0)
    w.set(to, w.kind(0))
  }
  if (w.wrong()) return to
  return nullCheck(w, to)
}

/** Tests a register for null and leaves the program when it is. */
export function nullCheck(w: Writer, register: number): number {
  const { code, random } = w
  const kind = w.kind(register)
  const fine = code.label()
  if (random.chance(0.7)) {
    code.jumpIf(JMP.jne, register, 0, fine)
    leave(w)
    code.place(fine)
  } else {
    const out = code.label()
    code.jumpIf(JMP.jeq, register, 0, out)
    code.jump(fine)
    code.place(out)
    leave(w)
    code.place(fine)
  }
  // Every copy of the pointer is known now.
  if (kind.is === 'valueOrNull')
    w.state.regs = w.state.regs.map((other) =>
      other === kind ? { is: 'value', size: kind.size, offset: 0, readonly: kind.readonly } : other,
    )
  return register
}

/** An early exit. */
export function leave(w: Writer): void {
  w.code.mov(0, w.boundedReturn() ? 1 : w.random.below(2))
  w.code.exit()
}

/** Reads or writes through a pointer to memory of a known size, in bounds when careful. */
export function accessValue(w: Writer): void {
  const { code, random } = w
  const pointer = w.find((kind) => kind.is === 'value' || kind.is === 'record')
  if (pointer === undefined) {
    mapLookup(w)
    return
  }
  const kind = w.kind(pointer)
  const limit = kind.is === 'value' ? kind.size - kind.offset : kind.is === 'record' ? kind.size : 16
  const size = random.pick(SIZES.filter((s) => s <= Math.max(1, limit)))
  const highest = Math.max(0, limit - size)
  const offset = w.wrong() ? highest + random.between(1, 9) : random.chance(0.3) ? highest : random.below(highest + 1)
  const misaligned = random.chance(0.8) ? offset - (offset % size) : offset
  const readonly = kind.is === 'value' && kind.readonly === true && !w.wrong()
  const way = random.below(4)
  if (readonly || way < 2) {
    const to = w.target()
    code.load(size, to, pointer, misaligned, size < 8 && random.chance(0.15))
    w.set(to, SCALAR)
  } else if (way === 2) code.storeImm(size, pointer, misaligned, random.edge())
  else code.store(size, pointer, misaligned, w.scalar())
}

/** Adds a bounded scalar to a value pointer and uses the sum. */
export function variableOffset(w: Writer): void {
  const { code, random } = w
  let pointer = w.find((kind) => kind.is === 'value')
  if (pointer === undefined || w.kind(pointer).is !== 'value') pointer = mapLookup(w)
  if (pointer === undefined) return
  const kind = w.kind(pointer)
  if (kind.is !== 'value') return
  const size = random.pick(SIZES.filter((s) => s <= Math.max(1, kind.size)))
  const room = kind.size - kind.offset - size
  if (room <= 0 && !w.wrong()) return
  // The scalar must not cost the pointer: calls keep registers 6 to 9 only.
  const index = pointer >= 6 ? unknownScalar(w) : w.scalar()
  if (index === pointer || index > 9) return
  const max = w.wrong() && random.chance(0.5) ? room : bound(w, index, Math.max(1, room))
  let scale = 0
  if (random.chance(0.2) && max >= 4) {
    scale = 1
    code.alu(ALU.rsh, index, 1)
    code.alu(ALU.lsh, index, 1)
  }
  const to = random.chance(0.6) ? pointer : w.target()
  if (to !== pointer) {
    if (to === index || to > 9) return
    code.movReg(to, pointer)
    w.set(to, kind)
  }
  if (random.chance(0.15)) {
    code.alu(ALU.add, to, max)
    code.aluReg(ALU.sub, to, index)
  } else code.aluReg(random.chance(0.05) ? ALU.sub : ALU.add, to, index)
  const extra = w.wrong() ? random.between(-3, 4) : Math.min(0, room - max) + Math.max(0, room - max)
  const offset = random.chance(0.7) ? Math.max(0, extra) : 0
  if (random.chance(0.5) || kind.readonly === true) {
    const result = w.target()
    if (result !== to) {
      code.load(size, result, to, offset)
      w.set(result, SCALAR)
    }
  } else code.storeImm(size, to, offset, random.edge())
  w.set(to, {
    is: 'value',
    size: kind.size,
    offset: Math.min(kind.size, kind.offset + max + scale),
    readonly: kind.readonly,
  })
}

/** Spills a register whole (or in part), perhaps overwrites a byte, and fills it again. */
export function spill(w: Writer): void {
  const { code, random } = w
  const from = w.find((kind) => kind.is !== 'nothing')
  if (from === undefined) return
  const offset = -8 * random.between(1, random.chance(0.1) ? 64 : 6)
  const kind = w.kind(from)
  const pointer = kind.is !== 'scalar'
  const size: Bytes =
    pointer && !w.wrong()
      ? 8
      : random.weighted<Bytes>([
          [5, 8],
          [2, 4],
          [1, 2],
          [1, 1],
        ])
  code.store(size, 10, offset, from)
  w.touch(offset, size)
  if (size === 8) w.state.spills.set(offset, kind)
  if (w.wrong() || (!pointer && random.chance(0.2))) {
    const part = random.pick(SIZES)
    code.storeImm(part, 10, offset + random.below(8 / part) * part, random.edge())
    w.touch(offset, 8)
  }
}

export function fill(w: Writer): void {
  const { code, random } = w
  const choices = [...w.state.spills]
  if (choices.length === 0) {
    spill(w)
    return
  }
  const [offset, kind] = random.pick(choices)
  const to = w.target()
  if (kind.is === 'scalar' && random.chance(0.4)) {
    const size = random.pick(SIZES)
    code.load(
      size,
      to,
      10,
      offset + (random.chance(0.7) ? 0 : random.below(8 / size) * size),
      size < 8 && random.chance(0.2),
    )
    w.set(to, SCALAR)
    return
  }
  if (w.wrong()) {
    code.load(random.pick(SIZES), to, 10, offset + random.pick([0, 4, -4]))
    w.set(to, NOTHING)
    return
  }
  code.load(8, to, 10, offset)
  w.set(to, kind)
}

/** A stack pointer with an offset that is not known, read or written through. */
export function variableStack(w: Writer): void {
  const { code, random } = w
  const bytes = random.pick([16, 32, 64])
  w.fill(-bytes, bytes)
  const index = w.scalar()
  if (index > 9) return
  if (!w.wrong() || random.chance(0.5)) bound(w, index, bytes - 8)
  const to = w.target()
  if (to === index || to > 9) return
  code.movReg(to, 10)
  code.alu(ALU.add, to, -bytes)
  code.aluReg(ALU.add, to, index)
  const size = random.pick(SIZES)
  if (random.chance(0.5)) {
    const result = w.target()
    code.load(size, result, to, 0)
    w.set(result, SCALAR)
  } else {
    if (random.chance(0.5)) code.storeImm(size, to, 0, random.edge())
    else code.store(size, to, 0, w.scalar())
    w.state.spills.clear()
  }
  w.set(to, NOTHING)
}

/** Copies, moves and compares pointers; some of it is forbidden. */
export function pointerPlay(w: Writer): void {
  const { code, random } = w
  const from = w.find((kind) => kind.is !== 'nothing' && kind.is !== 'scalar')
  if (from === undefined) return
  const to = w.target()
  const kind = w.kind(from)
  switch (random.below(w.sloppy > 0 ? 8 : 4)) {
    case 0:
    case 1:
      code.movReg(to, from)
      w.set(to, kind)
      return
    case 2: {
      if (kind.is !== 'value' && kind.is !== 'stack') return
      const delta = random.between(1, 16)
      if (from > 9) return
      code.alu(ALU.add, from, delta)
      code.alu(random.chance(0.7) ? ALU.sub : ALU.add, from, random.chance(0.7) ? delta : -delta)
      return
    }
    case 3:
      if (kind.is === 'ctx' || from > 9) return
      code.alu(ALU.add, from, 0)
      return
    case 4:
      code.alu(
        random.pick([ALU.and, ALU.mul, ALU.xor, ALU.neg, ALU.rsh, ALU.or]),
        to,
        random.edge(),
        random.chance(0.7),
      )
      return
    case 5:
      code.aluReg(random.pick([ALU.add, ALU.sub]), to, from, random.chance(0.8))
      w.set(to, NOTHING)
      return
    case 6: {
      const other = random.below(11)
      w.guarded(
        (skip) => code.jumpIfReg(random.pick([JMP.jeq, JMP.jne, JMP.jgt, JMP.jslt]), from, other, skip),
        () => {},
      )
      return
    }
    default:
      code.load(random.pick(SIZES), to, from, random.between(-8, 64))
      w.set(to, SCALAR)
  }
}

/** Atomic operations on the stack, on map values, and where they are forbidden. */
export function atomic(w: Writer): void {
  const { code, random } = w
  const OPERATIONS = [0x00, 0x40, 0x50, 0xa0, 0x01, 0x41, 0x51, 0xa1, 0xe1, 0xf1]
  const BARRIERS = [0x100, 0x110]
  const barrier = random.chance(0.2)
  const operation = w.wrong() ? random.edge() & 0xfff : random.pick(barrier ? BARRIERS : OPERATIONS)
  const size: Bytes = w.wrong() || barrier ? random.pick(SIZES) : random.pick([4, 8] as const)
  const value = w.find((kind) => kind.is === 'value' && kind.readonly !== true)
  const onStack = value === undefined || random.chance(0.5)
  const base = onStack ? 10 : value
  const limit = w.kind(base)
  const offset = onStack
    ? -8 * random.between(1, 4)
    : limit.is === 'value'
      ? random.below(Math.max(1, Math.floor((limit.size - limit.offset) / 8))) * 8
      : 0
  if (limit.is === 'value' && limit.size - limit.offset < 8 && !w.wrong()) return
  if (onStack && !w.wrong()) w.fill(offset, 8)
  const from = random.chance(0.9) ? w.scalar() : random.below(10)
  if (operation === 0xf1 && w.kind(0).is !== 'scalar') {
    code.mov(0, random.edge())
    w.set(0, SCALAR)
    if (base === 0) return
  }
  if (operation === 0x100) {
    const to = w.target()
    code.atomic(size, to, offset, base, operation)
    w.set(to, SCALAR)
    return
  }
  code.atomic(size, base, w.wrong() ? offset + random.between(-4, 4) : offset, from, operation)
  if (onStack) w.touch(offset, 8)
  if (operation & 1 && operation !== 0xf1) w.set(from, SCALAR)
}
