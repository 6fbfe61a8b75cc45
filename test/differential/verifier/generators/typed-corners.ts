/** Small programs whose rule depends on BTF: spin locks, functions with typed arguments, function and line records. */
import type { MapSpec } from '../../../../src/spec/index.ts'
import { helperNumber, MAP_TYPES, type PROGRAM_TYPES } from '../../../../src/uapi/index.ts'
import { ALU, Code, JMP, type Label } from '../code.ts'
import type { Generated } from '../program.ts'
import type { Random } from '../random.ts'
import { type FunctionType, member, type Types, typed, types } from './typed.ts'

type TypedCorner = (bad: boolean, random: Random) => Generated

function lockedMap(t: Types, name: string): MapSpec {
  const lock = t.b.add({
    kind: 'struct',
    name: 'bpf_spin_lock',
    size: 4,
    members: [member('val', t.int, 0)],
  })
  const value = t.b.add({
    kind: 'struct',
    name: 'locked',
    size: 16,
    members: [member('data', t.int, 0), member('lock', lock, 32), member('more', t.b.array(t.int, 2), 64)],
  })
  return {
    name,
    type: MAP_TYPES.array,
    keySize: 4,
    valueSize: 16,
    maxEntries: 1,
    flags: 0,
    btfKeyTypeId: t.int,
    btfValueTypeId: value,
  }
}

const call = (c: Code, name: string): Code => c.call(helperNumber(name) ?? 0)

/** A value with a lock in r6, its lock in r1; `body` writes what follows, with the lock not yet taken. */
function withLock(
  random: Random,
  body: (c: Code, lock: () => void, unlock: () => void) => void,
  more: { plain?: boolean; type?: keyof typeof PROGRAM_TYPES } = {},
): Generated {
  const t = types()
  const maps: MapSpec[] = [
    lockedMap(t, 'locked'),
    { name: 'plain', type: MAP_TYPES.array, keySize: 4, valueSize: 16, maxEntries: 1, flags: 0 },
    lockedMap(t, 'other'),
  ]
  const c = new Code()
  const value = (map: number, to: number): void => {
    c.storeImm(4, 10, -4, 0).movReg(2, 10).alu(ALU.add, 2, -4).map(1, map)
    call(c, 'map_lookup_elem')
    const fine = c.label()
    c.jumpIf(JMP.jne, 0, 0, fine).mov(0, 0).exit().place(fine).movReg(to, 0)
  }
  value(2, 7)
  value(more.plain === true ? 1 : 0, 6)
  const address = (): Code => c.movReg(1, 6).alu(ALU.add, 1, 4)
  body(
    c,
    () => {
      address()
      call(c, 'spin_lock')
    },
    () => {
      address()
      call(c, 'spin_unlock')
    },
  )
  c.mov(0, random.below(2)).exit()
  return typed(c, t, [{ start: 0, params: [t.context] }], {
    maps,
    ...(more.type === undefined ? {} : { type: more.type }),
  })
}

/** A program that calls one function with what `args` puts into its registers. */
function withFunction(
  describe: (t: Types) => Omit<FunctionType, 'start'>,
  args: (c: Code) => void,
  body: (c: Code) => void = (c) => c.mov(0, 0).exit(),
  main?: (t: Types) => Omit<FunctionType, 'start'>,
): Generated {
  const t = types()
  const c = new Code()
  const at: Label = c.label()
  args(c)
  c.callLocal(at).mov(0, 0).exit()
  c.place(at)
  body(c)
  return typed(c, t, [
    { start: 0, params: [t.context], ...main?.(t) },
    { start: at.at, ...describe(t) },
  ])
}

const plainMain = (t: Types): Generated => typed(new Code().mov(0, 0).exit(), t, [{ start: 0, params: [t.context] }])

const lineCorner = (bad: boolean, make: (text: number, file: number) => number[]): Generated => {
  const t = types()
  const c = new Code()
  const at = c.label()
  c.imm64(1, 1, 0).callLocal(at).mov(0, 0).exit().place(at).mov(0, 0).exit()
  return typed(c, t, [{ start: 0, params: [t.context] }, { start: at.at }], {
    lineInfo: bad ? make : (text, file) => [0, file, text, 1 << 10, at.at, file, text, 2 << 10],
  })
}

const recordCorner = (bad: boolean, change: (records: number[]) => number[]): Generated => {
  const t = types()
  const c = new Code()
  const at = c.label()
  c.callLocal(at).mov(0, 0).exit().place(at).mov(0, 0).exit()
  return typed(c, t, [{ start: 0, params: [t.context] }, { start: at.at }], bad ? { funcInfo: change } : {})
}

/** Programs by rule; each in a form that keeps it and one that breaks it. */
export const TYPED_CORNERS: readonly TypedCorner[] = [
  // Locks
  (bad, random) =>
    withLock(random, (c, lock, unlock) => {
      lock()
      if (!bad) unlock()
      else c.mov(3, 0)
    }),
  (bad, random) =>
    withLock(random, (c, lock, unlock) => {
      lock()
      if (bad) call(c, 'ktime_get_ns')
      unlock()
    }),
  (bad, random) =>
    withLock(random, (_, lock, unlock) => {
      lock()
      if (bad) lock()
      unlock()
    }),
  (bad, random) =>
    withLock(random, (_, lock, unlock) => {
      if (!bad) lock()
      unlock()
    }),
  (bad, random) =>
    withLock(random, (c, lock, unlock) => {
      lock()
      if (bad) c.movReg(6, 7)
      unlock()
    }),
  (bad, random) =>
    withLock(random, (c, lock, unlock) => {
      if (bad) c.alu(ALU.add, 6, 4)
      lock()
      unlock()
    }),
  (bad, random) =>
    withLock(
      random,
      (_, lock, unlock) => {
        lock()
        unlock()
      },
      { plain: bad },
    ),
  (bad, random) =>
    withLock(random, (c, lock, unlock) => {
      if (bad) c.load(4, 2, 6, 0).alu(ALU.and, 2, 4).aluReg(ALU.add, 6, 2)
      lock()
      unlock()
    }),
  (bad, random) => withLock(random, (c) => c.load(bad ? 8 : 4, 2, 6, 0)),
  (bad, random) => withLock(random, (c) => c.storeImm(4, 6, bad ? 4 : 8, 1)),
  (bad, random) =>
    withLock(
      random,
      (_, lock, unlock) => {
        lock()
        unlock()
      },
      { type: bad ? random.pick(['socket_filter', 'kprobe']) : 'sched_cls' },
    ),
  (bad, random) =>
    withLock(random, (c, lock, unlock) => {
      c.movReg(1, 10).alu(ALU.add, 1, -16)
      lock()
      if (bad) c.emit(0x28, 0, 0, 0, 0)
      unlock()
    }),
  // Arguments of global functions
  (bad) =>
    withFunction(
      (t) => ({ global: true, params: [t.int] }),
      (c) => (bad ? c.movReg(1, 10) : c.mov(1, 3)),
    ),
  (bad) =>
    withFunction(
      (t) => ({ global: true, params: [t.context] }),
      (c) => (bad ? c.mov(1, 0) : c.mov(2, 0)),
    ),
  (bad) =>
    withFunction(
      (t) => ({
        global: true,
        params: [t.b.pointer(t.b.add({ kind: 'struct', name: 'pair', size: 8, members: [member('a', t.int, 0)] }))],
      }),
      (c) =>
        c
          .storeImm(8, 10, -8, 0)
          .movReg(1, 10)
          .alu(ALU.add, 1, bad ? -4 : -8),
      (c) => {
        const out = c.label()
        c.jumpIf(JMP.jeq, 1, 0, out).load(4, 2, 1, 4).place(out).mov(0, 0).exit()
      },
    ),
  (bad) =>
    withFunction(
      (t) => ({ global: true, params: [t.b.pointer(t.int)] }),
      (c) => c.storeImm(8, 10, -8, 0).movReg(1, 10).alu(ALU.add, 1, -8),
      (c) => {
        const out = c.label()
        if (!bad) c.jumpIf(JMP.jeq, 1, 0, out)
        c.load(4, 2, 1, 0).place(out).mov(0, 0).exit()
      },
    ),
  (bad) =>
    withFunction(
      (t) => ({ global: true, params: [t.b.pointer(t.int)], tags: [[0, 'nonnull']] }),
      (c) => {
        c.storeImm(8, 10, -8, 0).movReg(1, 10).alu(ALU.add, 1, -8)
        if (bad) {
          c.movReg(2, 1).map(1, 0)
          call(c, 'map_lookup_elem').movReg(1, 0)
        }
      },
      (c) => c.load(4, 2, 1, 0).mov(0, 0).exit(),
    ),
  (bad) =>
    withFunction(
      (t) => ({ global: true, params: [t.b.pointer(t.int)], tags: [[0, bad ? 'nullable' : 'nonnull']] }),
      (c) => c.storeImm(8, 10, -8, 0).movReg(1, 10).alu(ALU.add, 1, -8),
    ),
  (bad) =>
    withFunction(
      (t) => ({ global: true, params: [t.int], ...(bad ? { tags: [[0, 'nonnull']] } : {}) }),
      (c) => c.mov(1, 0),
    ),
  (bad) =>
    withFunction(
      (t) => ({ global: true, params: [t.b.pointer(t.int)], tags: [[0, bad ? 'strange' : 'nonnull']] }),
      (c) => c.storeImm(8, 10, -8, 0).movReg(1, 10).alu(ALU.add, 1, -8),
    ),
  (bad) =>
    withFunction(
      (t) => ({ global: bad, params: [t.b.pointer(0)] }),
      (c) => c.mov(2, 0),
    ),
  (bad) =>
    withFunction(
      (t) => ({
        global: bad,
        params: [t.b.add({ kind: 'struct', name: 'pair', size: 8, members: [member('a', t.int, 0)] })],
      }),
      (c) => c.mov(1, 0),
    ),
  (bad) =>
    withFunction(
      (t) => ({ global: bad, params: Array.from({ length: 6 }, () => t.int) }),
      (c) => c.mov(1, 0).mov(2, 0).mov(3, 0).mov(4, 0).mov(5, 0),
    ),
  (bad) =>
    withFunction(
      (t) => ({ global: true, returns: bad ? t.b.pointer(t.int) : t.int }),
      (c) => c.mov(1, 0),
    ),
  (bad) =>
    withFunction(
      () => ({ global: true }),
      (c) => c.mov(1, 0),
      (c) => (bad ? c.movReg(0, 10).exit() : c.mov(0, 5).exit()),
    ),
  (bad, random) =>
    withLock(random, (c, lock, unlock) => {
      lock()
      if (bad) call(c, 'get_prandom_u32')
      unlock()
    }),
  (bad) =>
    withFunction(
      (t) => ({ params: [t.int] }),
      (c) => (bad ? c.movReg(1, 10) : c.mov(1, 1)),
      (c) =>
        c
          .load(1, 2, 1, bad ? 0 : 0)
          .mov(0, 0)
          .exit(),
    ),
  // Records
  (bad) => recordCorner(bad, ([, ...rest]) => [1, ...rest]),
  (bad) => recordCorner(bad, ([a, b, , d]) => [a, b, 0, d]),
  (bad) => recordCorner(bad, ([a, , c, d]) => [a, 1, c, d]),
  (bad) => recordCorner(bad, ([a, b]) => [a, b]),
  (bad) => recordCorner(bad, ([a, b, c, d]) => [a, b, c + 1, d]),
  (bad) => lineCorner(bad, (text, file) => [0, file, text, 1 << 10, 0, file, text, 2 << 10]),
  (bad) => lineCorner(bad, (text, file) => [0, file, text, 1 << 10, 1, file, text, 2 << 10]),
  (bad) => lineCorner(bad, (text, file) => [0, file, text, 1 << 10, 5, file, 9999, 2 << 10]),
  (bad) => lineCorner(bad, (text, file) => [0, file, text, 1 << 10, 6, file, text, 2 << 10]),
  (bad) => lineCorner(bad, (text, file) => [0, file, text, 1 << 10]),
  // Loads that end a function, in functions
  (bad) =>
    withFunction(
      (t) => ({ returns: bad ? 0 : t.int }),
      (c) => c.mov(2, 0),
      (c) => c.movReg(6, 1).emit(0x28, 0, 0, 0, 0).mov(0, 0).exit(),
    ),
  (bad) =>
    withFunction(
      (t) => ({ returns: bad ? t.b.pointer(t.int) : t.int }),
      (c) => c.mov(2, 0),
      (c) => {
        c.map(2, 6).mov(3, 0)
        call(c, 'tail_call').mov(0, 0).exit()
      },
    ),
  () => plainMain(types()),
]
