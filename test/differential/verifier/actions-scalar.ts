import { ALU, JMP } from './code.ts'
import { CONDITIONS, OPERATIONS, SCALAR, SIZES, type Writer } from './writer.ts'

const GET_PRANDOM_U32 = 7
const KTIME_GET_NS = 5

/** A scalar of unknown value in some register: from the context, a helper or the stack. */
export function unknownScalar(w: Writer): number {
  const { code, random } = w
  const context = w.find((kind) => kind.is === 'ctx')
  if (context !== undefined && random.chance(0.6) && FIELDS[w.choice.type] !== undefined) {
    const to = w.target()
    const [offset, size] = random.pick(FIELDS[w.choice.type] ?? [])
    code.load(size, to, context, offset)
    w.set(to, { is: 'scalar', max: size === 4 ? 0xffffffff : undefined })
    return to
  }
  w.call(random.pick([GET_PRANDOM_U32, KTIME_GET_NS]), SCALAR)
  if (random.chance(0.5)) return 0
  const to = random.between(6, 9)
  if (w.kind(to).is !== 'scalar' && w.kind(to).is !== 'nothing') return 0
  code.movReg(to, 0)
  w.set(to, SCALAR)
  return to
}

/** Scalar fields that each type may read whole. */
export const FIELDS: Readonly<Partial<Record<string, readonly (readonly [offset: number, size: 4 | 8])[]>>> = {
  socket_filter: [
    [0, 4],
    [8, 4],
    [16, 4],
    [48, 4],
  ],
  sched_cls: [
    [0, 4],
    [8, 4],
    [40, 4],
    [48, 4],
    [152, 8],
  ],
  cgroup_skb: [
    [0, 4],
    [8, 4],
    [48, 4],
  ],
  xdp: [
    [12, 4],
    [16, 4],
  ],
  kprobe: [
    [0, 8],
    [16, 8],
    [112, 8],
    [80, 4],
  ],
  tracepoint: [
    [8, 4],
    [16, 8],
    [24, 8],
  ],
  raw_tracepoint: [
    [0, 8],
    [8, 8],
  ],
  perf_event: [
    [168, 8],
    [0, 8],
  ],
}

/** One arithmetic operation on scalars, immediate or register, either width. */
export function arithmetic(w: Writer): void {
  const { code, random } = w
  const to = w.scalar()
  const wide = random.chance(0.6)
  if (random.chance(0.08)) {
    extend(w, to)
    return
  }
  const operation = random.pick(OPERATIONS)
  const signed = (operation === ALU.div || operation === ALU.mod) && random.chance(0.4) ? 1 : 0
  const shift = operation === ALU.lsh || operation === ALU.rsh || operation === ALU.arsh
  if (random.chance(0.5)) {
    let imm = random.edge()
    if (shift && !w.wrong()) imm = random.below(wide ? 64 : 32)
    if ((operation === ALU.div || operation === ALU.mod) && imm === 0 && !w.wrong()) imm = 7
    code.alu(operation, to, imm, wide, signed)
    w.set(to, operation === ALU.and && imm >= 0 ? { is: 'scalar', max: imm } : SCALAR)
    return
  }
  const from = w.scalar()
  code.aluReg(operation, to, from, wide, signed)
  w.set(to, operation === ALU.mov && wide ? w.kind(from) : SCALAR)
}

/** Byte swaps, negation and sign extension. */
function extend(w: Writer, to: number): void {
  const { code, random } = w
  switch (random.below(4)) {
    case 0:
      code.emit(random.pick([0xd4, 0xdc, 0xd7]), to, 0, 0, w.wrong() ? random.edge() : random.pick([16, 32, 64]))
      break
    case 1:
      code.emit(random.pick([0x84, 0x87]), to)
      break
    case 2:
      code.emit(0xbf, to, w.scalar(), random.pick([8, 16, 32]))
      break
    default:
      code.emit(0xbc, to, w.scalar(), random.pick([8, 16]))
  }
  w.set(to, SCALAR)
}

/** A condition over scalars that skips or takes a short block. */
export function branch(w: Writer, body: () => void): void {
  const { code, random } = w
  const left = w.scalar()
  const wide = random.chance(0.6)
  const operation = random.pick(CONDITIONS)
  const useRegister = random.chance(0.4)
  const right = useRegister ? w.scalar() : 0
  const imm = random.edge()
  w.guarded((skip) => {
    if (useRegister) code.jumpIfReg(operation, left, right, skip, wide)
    else code.jumpIf(operation, left, imm, skip, wide)
  }, body)
}

/** Gives a scalar an upper bound by one of the ways programs do it; answers the bound. */
export function bound(w: Writer, register: number, limit: number): number {
  const { code, random } = w
  // Around the limit: sometimes exactly, sometimes one too much.
  const near = w.wrong() ? limit + random.between(-1, 2) : limit
  const max = Math.max(1, near)
  switch (random.below(6)) {
    case 0: {
      const mask = 2 ** Math.floor(Math.log2(max + 1)) - 1
      code.alu(ALU.and, register, mask, random.chance(0.7))
      w.set(register, { is: 'scalar', max: mask })
      return mask
    }
    case 1:
      code.alu(ALU.mod, register, max + 1, random.chance(0.6))
      w.set(register, { is: 'scalar', max })
      return max
    case 2: {
      const out = code.label()
      const wide = random.chance(0.6)
      if (!wide) code.aluReg(ALU.mov, register, register, false)
      code.jumpIf(JMP.jle, register, max, out, wide)
      code.mov(0, 0)
      code.exit()
      code.place(out)
      w.set(register, { is: 'scalar', max })
      if (!w.boundedReturn()) w.set(0, w.kind(0))
      return max
    }
    case 3: {
      const bits = Math.max(1, Math.floor(Math.log2(max + 1)))
      code.alu(ALU.rsh, register, 64 - bits)
      w.set(register, { is: 'scalar', max: 2 ** bits - 1 })
      return 2 ** bits - 1
    }
    case 4: {
      // Both signed bounds.
      const out = code.label()
      const fine = code.label()
      code.jumpIf(JMP.jslt, register, 0, out)
      code.jumpIf(JMP.jsle, register, max, fine)
      code.place(out)
      code.mov(0, 1)
      code.exit()
      code.place(fine)
      w.set(register, { is: 'scalar', max })
      return max
    }
    default: {
      const fine = code.label()
      code.jumpIf(JMP.jlt, register, max + 1, fine)
      code.mov(register, 0)
      code.place(fine)
      w.set(register, { is: 'scalar', max })
      return max
    }
  }
}

/** A few arithmetic steps and branches. */
export function scalarMix(w: Writer): void {
  const { random } = w
  if (random.chance(0.2)) unknownScalar(w)
  if (w.depth < 3 && random.chance(0.3))
    branch(w, () => {
      for (let i = random.between(1, 3); i > 0; i--) arithmetic(w)
    })
  else arithmetic(w)
}

/** A 64-bit constant. */
export function constant64(w: Writer): void {
  const to = w.target()
  w.code.imm64(to, w.random.edge(), w.random.edge())
  w.set(to, SCALAR)
}

/** Stores and loads of scalars on the stack, any size, overlapping as they come. */
export function stackScalar(w: Writer): void {
  const { code, random } = w
  const size = random.pick(SIZES)
  const slot = random.between(1, w.wrong() ? 66 : random.chance(0.1) ? 64 : 8) * 8
  const offset = -slot + (random.chance(0.7) ? 0 : random.below(8 / size) * size)
  if (random.chance(0.5)) {
    if (random.chance(0.3)) code.storeImm(size, 10, offset, random.edge())
    else code.store(size, 10, offset, w.scalar())
    w.touch(offset, size)
    return
  }
  const whole = Array.from({ length: size }, (_, i) => w.state.stack.has(-(offset + i))).every(Boolean)
  const spilled = [...w.state.spills.keys()].some((at) => at < offset + size && offset < at + 8)
  if ((!whole || spilled) && !w.wrong()) return
  const to = w.target()
  code.load(size, to, 10, offset, size < 8 && random.chance(0.2))
  w.set(to, SCALAR)
}
