/** Steps of arena programs that stay in one function: casts, arithmetic, accesses, atomics, the stack, branches and loops. */
import type { Btf } from '../../../../src/btf/index.ts'
import { helperNumber } from '../../../../src/uapi/index.ts'
import { ALU, type Bytes, Code, JMP, type Label } from '../code.ts'
import { ARENA_PAGES, MAP } from '../maps.ts'
import type { Random } from '../random.ts'
import { type FunctionType, type Types, types } from './typed.ts'

const SIZES: readonly Bytes[] = [1, 2, 4, 8]
const OPERATIONS = Object.values(ALU).filter((op) => op !== ALU.mov && op !== ALU.neg && op !== ALU.end)
const CONDITIONS = Object.values(JMP).filter((op) => op !== 0 && op !== JMP.call && op !== JMP.exit && op !== JMP.jcond)
const ARENA_BYTES = ARENA_PAGES * 4096
const TO_ARENA = 1
const TO_USER = 1 << 16
const ATOMICS = [0x00, 0x01, 0x40, 0x50, 0xa0, 0xe1, 0xf1]
const LOOPING = [0x41, 0x51, 0xa1]
const LOAD_ACQUIRE = 0x100
const STORE_RELEASE = 0x110
const VALUE_BYTES = 64

/** A function beside the program. */
interface Part {
  readonly label: Label
  readonly type: Omit<FunctionType, 'start'>
  readonly write: () => void
}

export class Sketch {
  readonly c = new Code()
  readonly random: Random
  readonly btf: Btf
  readonly types: Types
  readonly parts: Part[] = []
  readonly wrongness: number
  readonly sleepable: boolean
  #slot = 0

  constructor(random: Random, btf: Btf) {
    this.random = random
    this.btf = btf
    this.types = types()
    this.wrongness = random.chance(0.4) ? 0 : 0.06
    this.sleepable = random.chance(0.6)
  }

  wrong(): boolean {
    return this.wrongness > 0 && this.random.chance(this.wrongness)
  }

  helper(name: string): void {
    this.c.call(helperNumber(name) ?? 0)
  }

  kfunc(name: string): void {
    this.c.callKfunc(this.btf.idByName(name, 'func') ?? 0)
  }

  place(): number {
    this.#slot = (this.#slot + 1) % 20
    return -8 - 8 * this.#slot
  }

  /** The arena pointer, or something else. */
  arena(): number {
    return this.wrong() ? this.random.pick([7, 8, 9, 10]) : 6
  }

  any(): number {
    return this.random.pick([6, 7, 8, 9, 10])
  }

  size(): Bytes {
    return this.random.pick(SIZES)
  }

  offset(): number {
    return this.random.chance(0.6) ? 8 * this.random.below(8) : this.random.between(-0x8000, 0x7fff)
  }

  part(type: Part['type'], write: () => void): Label {
    const label = this.c.label()
    this.parts.push({ label, type, write })
    return label
  }
}

export function cast(s: Sketch, dst: number, src: number, imm = TO_ARENA): void {
  const odd = s.wrong()
  const wrongImm = odd ? s.random.pick([2, 0, 1 << 17, 0x10001, -1, TO_USER]) : imm
  s.c.emit(odd && s.random.chance(0.2) ? 0xbc : 0xbf, dst, src, odd ? s.random.pick([1, 1, 2]) : 1, wrongImm)
}

/** Reads or writes through a register that should be an arena pointer. */
export function use(s: Sketch, register: number): void {
  const { c, random } = s
  switch (random.below(5)) {
    case 0:
      c.storeImm(s.size(), register, s.offset(), random.edge())
      break
    case 1:
      c.store(s.size(), register, s.offset(), s.any())
      break
    case 2:
      c.load(random.pick([1, 2, 4]), random.pick([0, 3, register < 6 ? register : 4]), register, s.offset(), true)
      break
    default:
      c.load(s.size(), random.pick([0, 3, register < 6 ? register : 4]), register, s.offset())
  }
}

/** A copy of the arena pointer through any operation, in either operand. */
export function arithmetic(s: Sketch): void {
  const { c, random } = s
  const operation = random.pick(OPERATIONS)
  const wide = random.chance(0.6)
  const signed = (operation === ALU.div || operation === ALU.mod) && random.chance(0.3) ? 1 : 0
  const shifts = operation === ALU.lsh || operation === ALU.rsh || operation === ALU.arsh
  const [first, second] = random.pick([
    [6, 0],
    [6, 8],
    [8, 6],
    [6, 6],
    [6, s.any()],
    [s.any(), 6],
  ])
  c.movReg(2, s.wrong() ? s.any() : first)
  if (second === 0) {
    const imm = shifts ? random.below(wide ? 64 : 32) : random.edge() || 1
    c.alu(operation, 2, s.wrong() ? random.pick([0, 64, -1]) : imm, wide, signed)
  } else c.aluReg(operation, 2, s.wrong() ? s.any() : second, wide, signed)
  if (random.chance(0.3)) c.movReg(6, 2)
  use(s, 2)
}

/** What makes a number of the pointer, which then bounds an index. */
export function toNumber(s: Sketch): void {
  const { c, random } = s
  switch (random.below(6)) {
    case 0:
      c.movReg(2, 6).alu(ALU.neg, 2, 0, random.chance(0.5))
      break
    case 1:
      c.movReg(2, 6).emit(random.pick([0xd4, 0xdc, 0xd7]), 2, 0, 0, random.pick([16, 32, 64]))
      break
    case 2:
      c.aluReg(ALU.mov, 2, 6, false, random.pick([0, 8, 16]))
      break
    case 3:
      c.aluReg(ALU.mov, 2, 6, true, random.pick([8, 16, 32]))
      break
    case 4:
      cast(s, 2, s.arena(), TO_USER)
      break
    default:
      c.load(s.size(), 2, s.arena(), s.offset(), false)
  }
  index(s)
}

/** r2 as an index into the map's value. */
export function index(s: Sketch): void {
  const { c, random } = s
  const out = c.label()
  if (random.chance(0.3)) c.movReg(4, 2)
  const limit = s.wrong() ? 200 : random.below(VALUE_BYTES)
  if (random.chance(0.5)) c.alu(ALU.and, 2, s.wrong() ? 255 : 63)
  else if (!s.wrong()) c.jumpIf(JMP.jgt, 2, limit, out)
  if (s.wrong()) use(s, 2)
  c.movReg(3, 7).aluReg(ALU.add, 3, 2)
  c.load(1, 4, 3, 0).place(out)
}

export function casts(s: Sketch): void {
  const { c, random } = s
  const from = s.wrong() ? random.pick([0, 1, 5]) : s.any()
  cast(s, 2, from, random.chance(0.8) ? TO_ARENA : TO_USER)
  if (random.chance(0.3)) cast(s, 2, 2, random.pick([TO_ARENA, TO_USER]))
  if (s.wrong()) use(s, 2)
  cast(s, 2, 2)
  if (random.chance(0.2)) c.movReg(6, 2)
  use(s, 2)
}

export function atomic(s: Sketch): void {
  const { c, random } = s
  const kind = random.below(10)
  const size = s.wrong() ? s.size() : random.pick([4, 8] as const)
  c.movReg(2, s.arena()).movReg(3, s.wrong() ? s.any() : 8)
  if (kind === 0) c.atomic(s.size(), 3, s.offset(), 2, LOAD_ACQUIRE)
  else if (kind === 1) c.atomic(s.size(), 2, s.offset(), s.any(), STORE_RELEASE)
  else {
    const operation = s.wrong() ? random.pick([...LOOPING, 0xf0, 0x10]) : random.pick(ATOMICS)
    if (operation === 0xf1 && !s.wrong()) c.movReg(0, random.chance(0.2) ? s.any() : 8)
    c.atomic(size, 2, s.offset(), s.wrong() ? 2 : 3, operation)
  }
  if (random.chance(0.3)) use(s, 2)
}

export function spill(s: Sketch): void {
  const { c, random } = s
  const at = s.place()
  c.store(s.wrong() ? 4 : 8, 10, at, s.arena())
  if (random.chance(0.3)) branch(s, () => (s.wrong() ? c.storeImm(random.pick(SIZES), 10, at, 0) : c.mov(3, 1)))
  c.load(s.wrong() ? s.size() : 8, 2, 10, at + (s.wrong() ? 4 : 0))
  if (random.chance(0.3)) c.movReg(6, 2)
  use(s, 2)
}

/** A condition with an arena pointer on one side; `body` on one branch. */
export function branch(s: Sketch, body: () => void): void {
  const { c, random } = s
  const out = c.label()
  const condition = random.pick(CONDITIONS)
  const wide = random.chance(0.7)
  const [a, b] = random.pick([
    [6, -1],
    [6, 8],
    [8, 6],
    [6, s.any()],
    [s.any(), 6],
    [8, -1],
  ])
  if (b < 0) c.jumpIf(condition, a, random.chance(0.4) ? 0 : random.edge(), out, wide)
  else c.jumpIfReg(condition, a, b, out, wide)
  body()
  c.place(out)
}

/** One instruction with what two paths give it. */
export function merge(s: Sketch): void {
  const { c, random } = s
  const other = (): void => {
    if (s.wrong()) c.movReg(2, random.pick([7, 8, 10]))
    else cast(s, 2, random.pick([6, 8]))
  }
  const first = random.chance(0.5)
  if (first) c.movReg(2, 6)
  else other()
  branch(s, () => (first ? other() : c.movReg(2, 6)))
  switch (random.below(5)) {
    case 0:
      c.atomic(8, 2, -8, 8, random.pick(ATOMICS.slice(0, 5)))
      break
    case 1:
      c.atomic(8, 2, -8, 8, STORE_RELEASE)
      break
    case 2:
      c.storeImm(8, 2, -8, 0)
      break
    default:
      c.load(8, 3, 2, random.pick([0, -8]))
  }
}

/** An address in the arena. */
export function address(s: Sketch): void {
  const { c, random } = s
  const at = s.wrong() ? random.pick([ARENA_BYTES - 1, ARENA_BYTES, ARENA_BYTES + 1, -1]) : random.below(ARENA_BYTES)
  c.mapValue(2, s.wrong() ? random.pick([MAP.otherArena, MAP.hash]) : MAP.arena, at)
  if (!s.wrong()) cast(s, 2, 2)
  use(s, 2)
}

/** The pointer walks while something else ends the loop. */
export function loop(s: Sketch): void {
  const { c, random } = s
  const again = c.label()
  const out = c.label()
  const endless = random.chance(0.5)
  if (!endless) c.mov(1, random.between(1, 6))
  c.place(again)
  if (endless && !s.wrong()) c.mayGoto(out)
  if (random.chance(0.5)) {
    c.load(8, 2, 6, 0)
    cast(s, 2, 2)
    c.jumpIf(JMP.jeq, 2, 0, out).movReg(6, 2)
  } else c.alu(ALU.add, 6, 8)
  if (random.chance(0.3)) c.store(8, 6, 0, 6)
  if (endless) c.jump(again)
  else c.alu(ALU.sub, 1, 1).jumpIf(JMP.jne, 1, 0, again)
  c.place(out)
}
