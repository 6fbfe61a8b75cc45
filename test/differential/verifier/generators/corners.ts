/**
 * One small program for each rule that mixed programs do not come near, in a form that keeps the rule and in one that breaks
 * it: the model's reject sites that the other generators did not reach.
 */
import { helperNumber } from '../../../../src/uapi/index.ts'
import { ALU, Code, JMP } from '../code.ts'
import { MAP } from '../maps.ts'
import { finished, type Generated, type Generator, type TypeChoice } from '../program.ts'
import type { Random } from '../random.ts'
import { TYPED_CORNERS } from './typed-corners.ts'

interface Corner {
  readonly type: TypeChoice | ((bad: boolean) => TypeChoice)
  /** Writes the program up to its end, which is `r0 = 0; exit`; `bad` breaks the rule. */
  readonly write: (c: Code, bad: boolean, random: Random) => void
  /** Writes its own end, and what follows it. */
  readonly whole?: true
  /** With BTF for its functions. */
  readonly typed?: true
}

export function helper(c: Code, name: string): Code {
  return c.call(helperNumber(name) ?? 0)
}

const SLEEPABLE = 16
const WHOLE = { whole: true } as const

type Frame = Pick<Corner, 'whole' | 'typed'>

/** Corners of one program type. */
function corner(type: Corner['type']): (write: Corner['write'], frame?: Frame) => Corner {
  return (write, frame) => ({ type, write, ...frame })
}

const filter = corner({ type: 'socket_filter' })
const tc = corner({ type: 'sched_cls' })
const xdp = corner({ type: 'xdp', attach: 'xdp' })
const kprobe = corner({ type: 'kprobe' })
const cgroupSkb = corner({ type: 'cgroup_skb' })

/** r0 is a value of the map, not null. */
function lookup(c: Code, map: number, keyBytes: 4 | 8): void {
  c.storeImm(keyBytes, 10, -8, 0).movReg(2, 10).alu(ALU.add, 2, -8).map(1, map)
  helper(c, 'map_lookup_elem')
  const fine = c.label()
  c.jumpIf(JMP.jne, 0, 0, fine).mov(0, 0).exit().place(fine)
}

/** r0 is a record of the ring buffer, or null. */
function reserve(c: Code): Code {
  c.map(1, MAP.ring).mov(2, 8).mov(3, 0)
  return helper(c, 'ringbuf_reserve')
}

/** Calls what follows for each element of the map, and ends. */
function forEach(c: Code, map: number): Code {
  const body = c.label()
  c.map(1, map).functionPointer(2, body).mov(3, 0).mov(4, 0)
  return helper(c, 'for_each_map_elem').mov(0, 0).exit().place(body)
}

/** r1 and r2 are eight zeros on the stack and their size. */
function textOnStack(c: Code): Code {
  return c.movReg(1, 10).alu(ALU.add, 1, -16).storeImm(8, 10, -16, 0).mov(2, 8)
}

/** Lets a helper fill eight bytes of stack from address 0. */
function readToStack(c: Code, name: string): Code {
  c.movReg(1, 10).alu(ALU.add, 1, -8).mov(2, 8).mov(3, 0)
  return helper(c, name)
}

const CORNERS: Readonly<Record<string, Corner>> = {
  divideByZero: filter((c, bad) => c.mov(1, 7).alu(ALU.div, 1, bad ? 0 : 2)),
  moduloByZero: filter((c, bad) => c.mov(1, 7).alu(ALU.mod, 1, bad ? 0 : 2, false)),
  castToArena: filter((c, bad) => c.mov(1, 0).emit(0xbf, 1, 1, bad ? 1 : 0, bad ? 1 : 0)),
  castToSpaces: filter((c, bad) => c.mov(1, 0).emit(0xbf, 1, 1, bad ? 1 : 8, bad ? 5 : 0)),
  aluOpcode: filter((c, bad, random) => c.mov(1, 0).emit(bad ? random.pick([0xe4, 0xe7, 0xf7]) : 0x07, 1)),
  pointerFromScalar: filter((c, bad) => c.mov(2, 8).aluReg(bad ? ALU.sub : ALU.add, 2, 10)),
  farPointer: filter((c, bad) =>
    c
      .mapValue(1, MAP.large, 0)
      .alu(ALU.add, 1, 0x1fffffff)
      .alu(ALU.add, 1, bad ? 0x1fffffff : -0x1fffffff)
      .alu(ALU.add, 1, 1),
  ),
  writeThroughHelper: kprobe((c, bad) => {
    c.mapValue(1, bad ? MAP.rodata : MAP.large, 0)
      .mov(2, 8)
      .mov(3, 0)
    helper(c, 'probe_read_kernel')
  }),
  unboundedSize: kprobe((c, bad) => {
    helper(c, 'ktime_get_ns')
    c.movReg(2, 0)
    if (!bad) c.alu(ALU.and, 2, 31)
    c.mapValue(1, MAP.large, 0).mov(3, 0)
    helper(c, 'probe_read_kernel')
  }),
  negativeSize: kprobe((c, bad) => {
    helper(c, 'ktime_get_ns')
    c.movReg(2, 0)
      .alu(bad ? ALU.arsh : ALU.rsh, 2, 60)
      .mapValue(1, MAP.large, 0)
      .mov(3, 0)
    helper(c, 'probe_read_kernel')
  }),
  formatNotReadOnly: kprobe((c, bad) => {
    textOnStack(c).mapValue(3, bad ? MAP.large : MAP.rodata, 28)
    helper(c, 'strncmp')
  }),
  formatVariable: kprobe((c, bad) => {
    helper(c, 'ktime_get_ns')
    c.movReg(6, 0).alu(ALU.and, 6, bad ? 3 : 0)
    textOnStack(c).mapValue(3, MAP.rodata, 28)
    if (bad) c.aluReg(ALU.add, 3, 6)
    helper(c, 'strncmp')
  }),
  stringWithoutEnd: kprobe((c, bad) => {
    textOnStack(c).mapValue(3, bad ? MAP.ended : MAP.rodata, 8)
    helper(c, 'strncmp')
  }),
  packetInHelper: cgroupSkb((c, bad) => {
    const out = c.label()
    c.load(4, 6, 1, 76).load(4, 7, 1, 80).movReg(8, 6).alu(ALU.add, 8, 8)
    c.jumpIfReg(JMP.jgt, 8, 7, out)
    if (!bad) c.load(8, 3, 6, 0).store(8, 10, -8, 3).movReg(6, 10).alu(ALU.add, 6, -8)
    c.movReg(1, 6).mov(2, 8).movReg(3, 10).alu(ALU.add, 3, -24).storeImm(8, 10, -24, 0).storeImm(8, 10, -16, 0)
    c.mov(2, 8).mov(3, 0).movReg(4, 10).alu(ALU.add, 4, -16)
    helper(c, 'strtol')
    c.place(out)
  }),
  releaseUnreferenced: filter((c, bad) => {
    const out = c.label()
    if (bad) c.mov(1, 0)
    else {
      reserve(c)
      c.jumpIf(JMP.jeq, 0, 0, out).movReg(1, 0)
    }
    c.mov(2, 0)
    helper(c, 'ringbuf_submit')
    c.place(out)
  }),
  releaseInside: filter((c, bad) => {
    const out = c.label()
    reserve(c)
    c.jumpIf(JMP.jeq, 0, 0, out).movReg(1, 0)
    if (bad) c.mov(2, 8).aluReg(ALU.add, 1, 2)
    c.mov(2, 0)
    helper(c, 'ringbuf_submit')
    c.place(out)
  }),
  releasedBySum: filter((c, bad) => {
    // scalar += pointer forgets the reference in 6.18.
    const out = c.label()
    reserve(c)
    c.jumpIf(JMP.jeq, 0, 0, out).mov(1, 0)
    if (bad) c.aluReg(ALU.add, 1, 0)
    else c.movReg(1, 0)
    c.mov(2, 0)
    helper(c, 'ringbuf_submit')
    c.place(out)
  }),
  keyOfMixedMaps: filter((c, bad) => {
    c.storeImm(8, 10, -8, 0).movReg(2, 10).alu(ALU.add, 2, -8)
    if (bad) c.mapValue(1, MAP.large, 0)
    else c.map(1, MAP.array)
    helper(c, 'map_lookup_elem')
  }),
  reservedSizeUnknown: filter((c, bad) => {
    const out = c.label()
    helper(c, 'ktime_get_ns')
    c.movReg(2, 0).alu(ALU.and, 2, bad ? 8 : 0)
    if (!bad) c.alu(ALU.add, 2, 8)
    c.map(1, MAP.ring).mov(3, 0)
    helper(c, 'ringbuf_reserve')
    c.jumpIf(JMP.jeq, 0, 0, out).movReg(1, 0).mov(2, 0)
    helper(c, 'ringbuf_discard')
    c.place(out)
  }),
  mayGotoFields: filter((c, bad) => c.emit(0xe5, 0, 0, 0, 0).emit(0xe5, 0, 0, 0, bad ? 1 : 0)),
  mayGotoRegister: filter((c, bad) => c.emit(0xe5, bad ? 1 : 0, 0, 0, 0)),
  jumpOpcode: filter((c, bad) => c.mov(1, 0).emit(bad ? 0xf5 : 0x15, 1, 0, 0, 0)),
  jumpFields: filter((c, bad) => c.mov(1, 0).emit(0x1d, 1, 1, 0, bad ? 3 : 0)),
  jumpSource: filter((c, bad) => c.mov(1, 0).emit(0x15, 1, bad ? 1 : 0, 0, 0)),
  immediateFields: filter((c, bad) =>
    c
      .emit(0x18, 1, 0, 0, 1)
      .emit(0, 0, 0, 0, 0)
      .emit(0x18, 2, 0, bad ? 4 : 0, 0)
      .emit(0),
  ),
  loadImmediateKind: filter((c, bad) => c.mov(1, 0).emit(bad ? 0x10 : 0x07, 1)),
  loadMode: filter((c, bad) => c.mov(1, 0).emit(bad ? 0x98 : 0x07, 1)),
  resultNotScalar: cgroupSkb((c, bad) => (bad ? c.movReg(0, 1) : c.mov(0, 0)).exit(), WHOLE),
  callbackOnWrongMap: kprobe((c, bad) => {
    forEach(c, bad ? MAP.queue : MAP.array)
      .mov(0, 0)
      .exit()
  }, WHOLE),
  callbackResult: kprobe((c, bad) => {
    forEach(c, MAP.array)
    if (bad) c.movReg(0, 3).exit()
    else c.mov(0, 1).exit()
  }, WHOLE),
  keyIsReadOnly: kprobe((c, bad) => {
    forEach(c, MAP.array)
    if (bad) c.storeImm(4, 2, 0, 1)
    else c.load(4, 1, 2, 0)
    c.mov(0, 0).exit()
  }, WHOLE),
  sleepyHelper: kprobe((c, bad) => {
    readToStack(c, bad ? 'copy_from_user' : 'probe_read_user')
  }),
  wakefulSyscall: corner((bad) => ({ type: 'syscall', flags: bad ? 0 : SLEEPABLE }))((c) => c.load(8, 1, 1, 8)),
  sleepyFilter: corner((bad) => ({ type: 'socket_filter', flags: bad ? SLEEPABLE : 0 }))((c) => c.load(4, 2, 1, 0)),
  storageFlags: cgroupSkb((c, bad) => {
    c.map(1, MAP.cgroupStorage).mov(2, bad ? 1 : 0)
    helper(c, 'get_local_storage')
  }),
  negativeContext: tc((c, bad) => (bad ? c.alu(ALU.add, 1, -8).load(4, 2, 1, 8) : c.load(4, 2, 1, 8))),
  variableContext: tc((c, bad) => {
    c.load(4, 2, 1, 0).alu(ALU.and, 2, bad ? 4 : 0)
    if (bad) c.aluReg(ALU.add, 1, 2)
    c.load(4, 3, 1, 0)
  }),
  writeOnlyMap: filter((c, bad) => {
    lookup(c, MAP.array, 4)
    c.mapValue(1, MAP.write, 0)
    if (bad) c.load(4, 2, 1, 0)
    else c.storeImm(4, 1, 0, 0)
  }),
  readOnlyMap: filter((c, bad) => {
    c.mapValue(1, MAP.rodata, 0)
    if (bad) c.storeImm(4, 1, 0, 0)
    else c.load(4, 2, 1, 0)
  }),
  flowKeys: corner({ type: 'flow_dissector' })((c, bad) => c.load(8, 6, 1, 144).load(2, 2, 6, bad ? 56 : 0)),
  writeToReadOnlyMemory: tc((c, bad) => {
    const out = c.label()
    c.load(8, 6, 1, 168).jumpIf(JMP.jeq, 6, 0, out)
    if (bad) c.storeImm(4, 6, 0, 1)
    else c.load(4, 2, 6, 0)
    c.place(out)
  }),
  perCpuObject: kprobe((c, bad) => {
    const out = c.label()
    lookup(c, MAP.percpu, 4)
    c.load(8, 1, 0, bad ? 16 : 8).place(out)
  }),
  tailCallDepth: filter(
    (c, bad) => {
      const body = c.label()
      c.storeImm(8, 10, bad ? -264 : -200, 0)
        .movReg(6, 1)
        .callLocal(body)
        .mov(0, 0)
        .exit()
      c.place(body).map(2, MAP.progs).mov(3, 0)
      helper(c, 'tail_call').mov(0, 0).exit()
    },
    { typed: true, whole: true },
  ),
  deepFrames: filter((c, bad) => {
    const depth = bad ? 8 : 6
    for (let i = 0; i <= depth; i++) {
      const next = c.label()
      if (i < depth) c.callLocal(next)
      c.mov(0, 0).exit()
      next.at = c.here
    }
  }, WHOLE),
  unboundedStack: filter((c, bad) => {
    c.storeImm(8, 10, -8, 0).storeImm(8, 10, -16, 0)
    helper(c, 'ktime_get_ns')
    c.movReg(2, 0)
      .alu(ALU.and, 2, bad ? 0x7fffffff : 7)
      .movReg(3, 10)
      .aluReg(ALU.add, 3, 2)
      .load(1, 4, 3, -16)
  }),
  variableStackOut: filter((c, bad) => {
    c.storeImm(8, 10, -8, 0).storeImm(8, 10, -16, 0)
    helper(c, 'ktime_get_ns')
    c.movReg(2, 0)
      .alu(ALU.and, 2, 7)
      .movReg(3, 10)
      .aluReg(ALU.add, 3, 2)
      .load(1, 4, 3, bad ? -4 : -16)
  }),
  spillToCaller: filter((c, bad) => {
    const body = c.label()
    c.storeImm(8, 10, -8, 0).movReg(1, 10).alu(ALU.add, 1, -8).callLocal(body).mov(0, 0).exit()
    c.place(body)
    if (bad) c.store(8, 1, 0, 10)
    else c.storeImm(8, 1, 0, 3)
    c.mov(0, 0).exit()
  }, WHOLE),
  pointerMix: tc((c, bad) => {
    const other = c.label()
    const use = c.label()
    c.movReg(6, 1).storeImm(8, 10, -8, 0).load(4, 2, 1, 0)
    c.jumpIf(JMP.jeq, 2, 7, other).movReg(3, 6).jump(use)
    c.place(other)
    if (bad) c.movReg(3, 10).alu(ALU.add, 3, -80)
    else c.movReg(3, 6)
    c.place(use).load(4, 4, 3, 72)
  }),
  atomicOnContext: tc((c, bad) => {
    c.mov(2, 1).storeImm(8, 10, -8, 0)
    c.atomic(8, bad ? 1 : 10, bad ? 48 : -8, 2, 0)
  }),
  acquireFromContext: tc((c, bad, random) =>
    c.emit(0xc3, bad ? random.between(1, 3) : 1, 1, random.pick([0, 76, 400]), 0x100),
  ),
  legacyWithoutContext: filter((c, bad) => {
    if (bad) c.mov(6, 0)
    else c.movReg(6, 1)
    c.emit(0x28, 0, 0, 0, 0)
  }),
  legacyWithReference: tc((c, bad) => {
    const out = c.label()
    c.movReg(6, 1)
    if (bad) {
      reserve(c).movReg(7, 0)
      c.jumpIf(JMP.jeq, 7, 0, out)
    }
    c.emit(0x28, 0, 0, 0, 0).place(out)
    if (bad) c.movReg(1, 7).mov(2, 0)
  }),
  gplFunction: corner({ type: 'kprobe', license: 'MIT' })((c, bad) => {
    readToStack(c, bad ? 'probe_read_kernel' : 'get_smp_processor_id')
  }),
  directOffset: filter((c, bad, random) => c.mapValue(1, MAP.large, bad ? random.pick([1320, 1 << 29, -1]) : 60)),
  directOnHash: filter((c, bad) => (bad ? c.mapValue(1, MAP.hash, 0) : c.map(1, MAP.hash))),
  mapByIndex: filter((c, bad) => (bad ? c.emit(0x18, 1, 5, 0, 0).emit(0) : c.map(1, MAP.array))),
  mapByBadDescriptor: filter((c, bad) => (bad ? c.emit(0x18, 1, 1, 0, 9999).emit(0) : c.map(1, MAP.array))),
  valueOfSockets: corner({ type: 'sock_ops' })((c, bad) => {
    c.map(1, bad ? MAP.socks : MAP.queue)
      .movReg(2, 10)
      .alu(ALU.add, 2, -8)
      .storeImm(8, 10, -8, 0)
    helper(c, 'map_peek_elem')
  }),
  packetEndMark: xdp((c, bad) => {
    // Two ways to one place: past the end on one, before it on the other.
    const join = c.label()
    const out = c.label()
    c.load(4, 6, 1, 0).load(4, 7, 1, 4).movReg(3, 6).alu(ALU.add, 3, 8).mov(8, 0)
    c.jumpIfReg(JMP.jgt, 3, 7, join).load(4, 8, 6, 0).place(join)
    c.jumpIfReg(JMP.jgt, 3, 7, out)
      .load(4, 5, 6, bad ? 8 : 4)
      .place(out)
  }),
  twoStorages: cgroupSkb((c, bad) => {
    c.map(1, MAP.cgroupStorage).mov(2, 0)
    helper(c, 'get_local_storage')
    c.map(1, bad ? MAP.cgroupStorage2 : MAP.cgroupStorage).mov(2, 0)
    helper(c, 'get_local_storage')
  }),
  kernelCallWithoutLicense: corner({ type: 'sched_cls', license: 'MIT' })((c, bad) =>
    bad ? c.callKfunc(1) : c.mov(0, 0),
  ),
  deadKernelCall: tc((c, bad) => (bad ? c.emit(0x85, 0, 2, 0, 0) : c.mov(0, 0))),
  callbackWithoutTypes: filter((c, bad) => {
    // Without BTF: a function's address needs it, a call does not.
    if (bad) c.emit(0x18, 2, 4, 0, 3).emit(0)
    else c.emit(0x85, 0, 1, 0, 2).mov(0, 0)
    c.mov(0, 0).exit().mov(0, 0).exit()
  }, WHOLE),
  legacyInFunction: filter((c, bad) => {
    const body = c.label()
    if (bad) {
      c.callLocal(body).mov(0, 0).exit().place(body).movReg(6, 1).emit(0x28, 0, 0, 0, 0).exit()
      return
    }
    c.callLocal(body).mov(0, 0).exit().place(body).mov(0, 0).exit()
  }, WHOLE),
  manyFunctions: filter((c, bad) => {
    const count = bad ? 257 : 100
    const labels = Array.from({ length: count }, () => c.label())
    for (const label of labels) c.callLocal(label)
    c.mov(0, 0).exit()
    for (const label of labels) c.place(label).mov(0, 0).exit()
  }, WHOLE),
  helperWithLock: filter((c, bad) => (bad ? c.call(999_999) : c.mov(0, 0))),
  stackAfterReturn: filter((c, bad) => {
    const body = c.label()
    c.callLocal(body).mov(0, 0).exit().place(body)
    if (bad) c.movReg(0, 10).exit()
    else c.mov(0, 0).exit()
  }, WHOLE),
  unsizedLoad: xdp((c, bad) => (bad ? c.load(8, 2, 1, 0) : c.load(4, 2, 1, 0))),
}

export const CORNER_NAMES = Object.keys(CORNERS)

/** The main program and what is called. */
function functionStarts(slots: Generated['slots']): number[] {
  const targets = slots.flatMap(([opcode, , src, , imm], i) => (opcode === 0x85 && src === 1 ? [i + imm + 1] : []))
  return [...new Set([0, ...targets])].sort((a, b) => a - b)
}

/** The named corner, for tests that want one. */
export function cornerProgram(name: string, bad: boolean, random: Random): Generated {
  const corner = CORNERS[name]
  const code = new Code()
  corner.write(code, bad, random)
  if (corner.whole !== true) code.mov(0, 0).exit()
  const program = finished(code, typeof corner.type === 'function' ? corner.type(bad) : corner.type)
  return corner.typed === true ? { ...program, functions: functionStarts(program.slots) } : program
}

export const cornersGenerator: Generator = {
  name: 'corners',
  generate: (random) => {
    const bad = random.chance(0.5)
    if (random.chance(0.35)) return random.pick(TYPED_CORNERS)(bad, random)
    return cornerProgram(random.pick(CORNER_NAMES), bad, random)
  },
}
