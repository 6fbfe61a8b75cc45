import type { ImageRelocation, MapSpec, ProgramImage } from '../../../src/spec/index.ts'
import { MAP_TYPES, PROGRAM_TYPES } from '../../../src/uapi/index.ts'
import { bytesOf, type Slot } from '../../emulator/images.ts'
import { dataCall, textMap, type Writer } from './data-calls.ts'
import { type Kind, randomKind } from './kinds.ts'
import { packetCall } from './packet-calls.ts'
import { Random } from './random.ts'

/** BPF_F_SLEEPABLE */
const SLEEPABLE = 1 << 4
const SCALARS = [0, 2, 3, 4, 5, 7, 8, 9]
/** Subprograms that calls choose from. */
const SUBPROGRAMS = 2
/** Bytes of stack that the program initialises: from r10-STACK to r10. */
const STACK = 64

const MAPS: readonly MapSpec[] = [
  { name: 'hash', type: MAP_TYPES.hash, keySize: 4, valueSize: 16, maxEntries: 3, flags: 0 },
  { name: 'array', type: MAP_TYPES.array, keySize: 4, valueSize: 16, maxEntries: 4, flags: 0 },
  { name: 'lpm', type: MAP_TYPES.lpm_trie, keySize: 8, valueSize: 16, maxEntries: 4, flags: 1 },
  { name: 'queue', type: MAP_TYPES.queue, keySize: 0, valueSize: 16, maxEntries: 3, flags: 0 },
  { name: 'stack', type: MAP_TYPES.stack, keySize: 0, valueSize: 16, maxEntries: 3, flags: 0 },
  textMap(),
  // far more room than keys: which entry an LRU map evicts is a written difference
  { name: 'lru', type: MAP_TYPES.lru_hash, keySize: 4, valueSize: 16, maxEntries: 512, flags: 0 },
  { name: 'percpu_array', type: MAP_TYPES.percpu_array, keySize: 4, valueSize: 16, maxEntries: 4, flags: 0 },
  { name: 'percpu_hash', type: MAP_TYPES.percpu_hash, keySize: 4, valueSize: 16, maxEntries: 3, flags: 0 },
  { name: 'lru_percpu', type: MAP_TYPES.lru_percpu_hash, keySize: 4, valueSize: 16, maxEntries: 512, flags: 0 },
]
const ARRAY = 1
const LPM = 2
const QUEUE = 3
/** Those that sleepable programs may use. */
const SLEEPABLE_MAPS = [0, ARRAY, QUEUE]
/** Maps that ordinary map calls choose from: those before this one. */
const TEXTS = 5
const LRU = [6]
/** Comparable only where program and test stay on one CPU. */
const PER_CPU = [7, 8, 9]

const ALU = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0]
const JUMPS = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0]

/** Writes one random program that the verifier is likely to take. */
export class Generator {
  readonly #random: Random
  readonly #slots: Slot[] = []
  readonly #relocations: ImageRelocation[] = []
  readonly #kind: Kind
  /** Slots of calls of subprograms and which one. */
  readonly #calls: { readonly slot: number; readonly callee: number }[] = []

  readonly #counted: readonly number[]
  readonly #pinned: boolean

  /** @param pinned the process runs on one CPU only: per-CPU maps can be compared */
  constructor(seed: number, pinned = false) {
    this.#pinned = pinned
    this.#counted = pinned ? [...LRU, ...PER_CPU] : LRU
    this.#random = new Random(seed)
    this.#kind = randomKind(this.#random)
  }

  #emit(...slots: readonly Slot[]): undefined {
    this.#slots.push(...slots)
  }
  #constant(register: number): undefined {
    if (this.#random.chance(60)) this.#emit([0xb7, register, 0, 0, this.#random.imm()])
    else this.#emit([0x18, register, 0, 0, this.#random.imm()], [0, 0, 0, 0, this.#random.imm()])
  }
  #map(register: number, map: number): undefined {
    this.#relocations.push({ insn: this.#slots.length, map, kind: 'fd' })
    this.#emit([0x18, register, 0, 0, 0], [0, 0, 0, 0, 0])
  }
  /** r1 to r5 are gone after a call. */
  #afterCall(): undefined {
    for (let register = 2; register <= 5; register++) this.#constant(register)
  }

  #arithmetic(): undefined {
    const r = this.#random
    const dst = r.pick(SCALARS)
    const src = r.pick(SCALARS)
    const wide = r.chance(60)
    const special = r.below(12)
    if (special === 0) return this.#emit([wide ? 0x87 : 0x84, dst, 0, 0, 0])
    if (special === 1) return this.#emit([r.pick([0xd4, 0xdc, 0xd7]), dst, 0, 0, r.pick([16, 32, 64])])
    if (special === 2) {
      const bits = wide ? r.pick([8, 16, 32]) : r.pick([8, 16])
      return this.#emit([wide ? 0xbf : 0xbc, dst, src, bits, 0])
    }
    const kind = r.pick(ALU)
    const divides = kind === 0x30 || kind === 0x90
    const offset = divides && r.chance(50) ? 1 : 0
    const base = (wide ? 7 : 4) | kind
    if (r.chance(50)) return this.#emit([base | 8, dst, src, offset, 0])
    let imm = r.imm()
    if (kind === 0x60 || kind === 0x70 || kind === 0xc0) imm = r.below(wide ? 64 : 32)
    if (divides && imm === 0) imm = 3
    this.#emit([base, dst, 0, offset, imm])
  }

  #stack(): undefined {
    const r = this.#random
    const size = r.pick([1, 2, 4, 8])
    const offset = -size * (1 + r.below(STACK / size))
    const code = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 }[size] as number
    const register = r.pick(SCALARS)
    switch (r.below(5)) {
      case 0:
        return this.#emit([0x62 | code, 10, 0, offset, r.imm()])
      case 1:
        return this.#emit([0x63 | code, 10, register, offset, 0])
      case 2:
        return this.#emit([0x61 | code, register, 10, offset, 0])
      case 3:
        return size === 8 ? undefined : this.#emit([0x81 | code, register, 10, offset, 0])
      default: {
        if (size < 4) return
        const imm = r.pick([0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1])
        this.#emit([size === 8 ? 0xdb : 0xc3, 10, register, offset, imm])
      }
    }
  }

  #branch(depth: number): undefined {
    const r = this.#random
    const at = this.#slots.length
    this.#emit([0, 0, 0, 0, 0])
    const count = 1 + r.below(4)
    for (let i = 0; i < count; i++) this.#action(depth + 1)
    const jump = r.pick(JUMPS) | (r.chance(60) ? 5 : 6)
    const distance = this.#slots.length - at - 1
    this.#slots[at] = r.chance(50)
      ? [jump, r.pick(SCALARS), 0, distance, r.imm()]
      : [jump | 8, r.pick(SCALARS), r.pick(SCALARS), distance, 0]
  }

  /** A loop that runs a known number of times, counting in a stack slot below the program's own. */
  #loop(depth: number): undefined {
    const r = this.#random
    const slot = -STACK - 8 - 8 * depth
    this.#emit([0x7a, 10, 0, slot, 1 + r.below(4)])
    const start = this.#slots.length
    for (let i = 0; i < 3; i++) this.#arithmetic()
    this.#emit([0x79, 1, 10, slot, 0], [0x07, 1, 0, 0, -1], [0x7b, 10, 1, slot, 0])
    this.#emit([0x55, 1, 0, start - this.#slots.length - 1, 0])
  }

  /** Packet bytes behind their bounds check. r1 and the register with data are free afterwards. */
  #packet(): undefined {
    const r = this.#random
    const { packet, writesPacket } = this.#kind
    if (packet === undefined) return this.#context()
    if (packet === 'loads') return this.#loadAbs()
    const [data, end] = packet
    const room = 1 + r.below(80)
    this.#emit([0x61, 2, 6, data, 0], [0x61, 3, 6, end, 0], [0xbf, 4, 2, 0, 0], [0x07, 4, 0, 0, room])
    const at = this.#slots.length
    this.#emit([0, 0, 0, 0, 0])
    for (let i = 0; i < 1 + r.below(3); i++) {
      const size = r.pick([1, 2, 4, 8].filter((one) => one <= room))
      const offset = r.below(room - size + 1)
      const code = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 }[size] as number
      const register = r.pick([0, 5, 7, 8, 9])
      if (r.chance(60) || writesPacket !== true) this.#emit([0x61 | code, register, 2, offset, 0])
      else this.#emit([0x63 | code, 2, register, offset, 0])
    }
    this.#slots[at] = [0x2d, 4, 3, this.#slots.length - at - 1, 0]
    for (const register of [2, 3, 4]) this.#constant(register)
  }

  #loadAbs(): undefined {
    const r = this.#random
    if (r.chance(50)) this.#emit([r.pick([0x20, 0x28, 0x30]), 0, 0, 0, r.below(70)])
    else {
      this.#emit([0xb7, 7, 0, 0, r.below(40)])
      this.#emit([r.pick([0x40, 0x48, 0x50]), 0, 7, 0, r.below(40)])
    }
    this.#afterCall()
  }

  #mapCall(): undefined {
    const r = this.#random
    const map = this.#kind.sleepable === true ? r.pick(SLEEPABLE_MAPS) : r.below(TEXTS)
    this.#emit([0x62, 10, 0, -8, r.below(6)])
    if (map === LPM)
      this.#emit(
        [0x62, 10, 0, -8, r.pick([0, 8, 16, 32, 32])],
        [0x62, 10, 0, -4, r.pick([10, 0x010a, 0x02010a, 0x0302010a])],
      )
    const key = (): undefined => this.#emit([0xbf, 2, 10, 0, 0], [0x07, 2, 0, 0, -8])
    const value = (register: number): undefined => this.#emit([0xbf, register, 10, 0, 0], [0x07, register, 0, 0, -32])
    if (map >= QUEUE) {
      this.#map(1, map)
      value(2)
      const what = r.below(3)
      if (what === 0) this.#emit([0xb7, 3, 0, 0, r.pick([0, 2])])
      this.#emit([0x85, 0, 0, 0, [87, 88, 89][what]])
      return this.#afterCall()
    }
    switch (r.below(map === ARRAY ? 2 : 3)) {
      case 0:
        this.#map(1, map)
        key()
        value(3)
        this.#emit([0xb7, 4, 0, 0, r.pick([0, 0, 1, 2])], [0x85, 0, 0, 0, 2])
        return this.#afterCall()
      case 1: {
        this.#map(1, map)
        key()
        this.#emit([0x85, 0, 0, 0, 1])
        const at = this.#slots.length
        this.#emit([0, 0, 0, 0, 0])
        const register = r.pick([7, 8, 9])
        switch (r.below(3)) {
          case 0:
            this.#emit([0x79, register, 0, 8 * r.below(2), 0])
            break
          case 1:
            this.#emit([0x7b, 0, register, 8 * r.below(2), 0])
            break
          default:
            this.#emit([0xdb, 0, register, 8 * r.below(2), r.pick([0, 1, 0x40, 0x51, 0xa1])])
        }
        this.#slots[at] = [0x15, 0, 0, this.#slots.length - at - 1, 0]
        this.#emit([0xb7, 0, 0, 0, r.imm()])
        return this.#afterCall()
      }
      default:
        this.#map(1, map)
        key()
        this.#emit([0x85, 0, 0, 0, 3])
        this.#afterCall()
    }
  }

  #writer(): Writer {
    return {
      random: this.#random,
      emit: (...slots) => this.#emit(...slots),
      here: () => this.#slots.length,
      map: (register, map, offset) => {
        if (offset === undefined) this.#map(register, map)
        else {
          this.#relocations.push({ insn: this.#slots.length, map, kind: 'value', offset })
          this.#emit([0x18, register, 0, 0, 0], [0, 0, 0, 0, 0])
        }
      },
      patch: (slot, instruction) => {
        this.#slots[slot] = instruction
      },
    }
  }

  #packetCall(): undefined {
    const { calls } = this.#kind
    if (calls === undefined) return this.#context()
    packetCall(this.#writer(), calls)
    this.#afterCall()
  }

  /** A field of the context into a register, or back. */
  #context(): undefined {
    const r = this.#random
    const { reads, writes, type } = this.#kind
    const register = r.pick([0, 7, 8, 9])
    const code = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 }
    if (type === 'flow_dissector') return this.#flowKeys(register)
    const [offset, size] = writes.length === 0 || r.chance(60) ? r.pick(reads) : r.pick(writes)
    if (reads.some((field) => field[0] === offset && field[1] === size) && r.chance(writes.length === 0 ? 100 : 60))
      return this.#emit([0x61 | code[size], register, 6, offset, 0])
    if (writes.some((field) => field[0] === offset && field[1] === size))
      this.#emit([0x63 | code[size], 6, register, offset, 0])
  }

  /** A field of struct bpf_flow_keys, behind a pointer in the context. */
  #flowKeys(register: number): undefined {
    const r = this.#random
    const size = r.pick([1, 2, 4] as const)
    const code = { 1: 0x10, 2: 0x08, 4: 0x00 }[size]
    this.#emit([0x79, 2, 6, 144, 0])
    const offset = size * r.below(56 / size)
    if (r.chance(50)) this.#emit([0x61 | code, register, 2, offset, 0])
    else this.#emit([0x63 | code, 2, register, offset, 0])
    this.#constant(2)
  }

  #dataCall(): undefined {
    dataCall(this.#writer(), TEXTS, ARRAY, this.#counted)
    this.#afterCall()
  }

  #subprogramCall(): undefined {
    for (let register = 1; register <= 5; register++) this.#constant(register)
    this.#calls.push({ slot: this.#slots.length, callee: this.#random.below(SUBPROGRAMS) })
    this.#emit([0x85, 0, 1, 0, 0])
    this.#emit([0x0f, 9, 0, 0, 0])
    this.#afterCall()
  }

  /** Functions behind the program; those that nobody calls are not written, the verifier refuses them. */
  #subprograms(): undefined {
    for (let callee = 0; callee < SUBPROGRAMS; callee++) {
      const calls = this.#calls.filter((call) => call.callee === callee)
      for (const { slot } of calls) this.#slots[slot] = [0x85, 0, 1, 0, this.#slots.length - slot - 1]
      if (calls.length === 0) continue
      for (const register of [0, 7, 8, 9]) this.#constant(register)
      this.#emit([0xaf, 8, 1, 0, 0])
      for (let offset = -STACK; offset < 0; offset += 8) this.#emit([0x7b, 10, this.#random.pick(SCALARS), offset, 0])
      for (let i = 0; i < 6; i++) {
        if (this.#random.chance(60)) this.#arithmetic()
        else this.#stack()
      }
      this.#emit([0xaf, 0, 8, 0, 0], [0x95, 0, 0, 0, 0])
    }
  }

  #action(depth: number): undefined {
    const choice = this.#random.below(100)
    if (choice < 40) return this.#arithmetic()
    if (choice < 55) return this.#stack()
    if (choice < 65) return depth < 3 ? this.#branch(depth) : this.#arithmetic()
    if (choice < 70) return depth === 0 ? this.#loop(depth) : this.#arithmetic()
    if (choice < 77) return this.#packet()
    if (choice < 86) return this.#mapCall()
    if (choice < 91) return this.#context()
    if (choice < 93) return this.#subprogramCall()
    if (choice < 97) return this.#dataCall()
    this.#packetCall()
  }

  generate(): ProgramImage {
    const r = this.#random
    this.#emit([0xbf, 6, 1, 0, 0])
    for (const register of SCALARS) this.#constant(register)
    for (let offset = -STACK; offset < 0; offset += 8) this.#emit([0x7b, 10, r.pick(SCALARS), offset, 0])
    const actions = 4 + r.below(24)
    for (let i = 0; i < actions; i++) this.#action(0)
    for (const register of [7, 8, 9]) this.#emit([0xaf, 0, register, 0, 0])
    if (this.#kind.answers !== undefined) this.#emit([0x57, 0, 0, 0, this.#kind.answers])
    this.#emit([0x95, 0, 0, 0, 0])
    this.#subprograms()
    return {
      name: 'fuzz',
      type: PROGRAM_TYPES[this.#kind.type],
      expectedAttachType: this.#kind.attachType ?? 0,
      insns: bytesOf(this.#slots),
      license: 'GPL',
      flags: this.#kind.sleepable === true ? SLEEPABLE : 0,
      maps: this.#pinned ? MAPS : MAPS.slice(0, PER_CPU[0]),
      relocations: this.#relocations,
    }
  }
}
