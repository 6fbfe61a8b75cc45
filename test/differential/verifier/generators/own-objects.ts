/**
 * Programs with objects of their own: map values with locks, timers, work queues, kernel pointers, lists and trees, objects
 * that the program allocates, and exceptions. Every step may be one that breaks a rule.
 */
import type { Btf } from '../../../../src/btf/index.ts'
import { helperNumber, type ProgramType } from '../../../../src/uapi/index.ts'
import { ALU, Code, JMP, type Label } from '../code.ts'
import { kernelTypes } from '../kernel-types.ts'
import { finished, type Generated, type Generator } from '../program.ts'
import type { Random } from '../random.ts'
import { FIRST, NODE, PLAIN, QUIRKS, RES, RESILIENT, SECOND, VALUE, type World, world } from './own-world.ts'
import { type FunctionType, typed } from './typed.ts'

const SIZES = [1, 2, 4, 8] as const
/** One program under way: r6 points to a value of `map`, r7 to one of another map. */
class Sketch {
  readonly c = new Code()
  readonly random: Random
  readonly btf: Btf
  readonly world: World
  readonly functions: { label: Label; write: (c: Code) => void; params: number; global?: boolean }[] = []
  readonly wrongness: number
  map = FIRST
  slot = 0

  constructor(random: Random, btf: Btf) {
    this.random = random
    this.btf = btf
    this.wrongness = random.chance(0.4) ? 0 : 0.07
    this.world = world(this.wrongness > 0 && random.chance(0.25) ? random.pick(QUIRKS) : undefined)
  }

  wrong(): boolean {
    return this.wrongness > 0 && this.random.chance(this.wrongness)
  }

  helper(name: string): this {
    this.c.call(helperNumber(name) ?? 0)
    return this
  }

  kfunc(name: string): this {
    const id = this.btf.idByName(name, 'func')
    if (id !== undefined) this.c.callKfunc(id)
    return this
  }

  place(): number {
    this.slot = (this.slot + 1) % 30
    return -8 - 8 * this.slot
  }

  /** A field of the value in r6. */
  field(register: number, offset: number): this {
    const { c, random } = this
    c.movReg(register, this.wrong() ? random.pick([7, 9, 10]) : 6)
    const at = this.wrong() ? offset + random.pick([8, -8, 4, 1]) : offset
    if (at !== 0) c.alu(ALU.add, register, at)
    if (this.wrong()) c.aluReg(ALU.add, register, 8)
    return this
  }

  unlessNull(register: number, body: () => void): void {
    if (this.wrong()) {
      body()
      return
    }
    const out = this.c.label()
    this.c.jumpIf(JMP.jeq, register, 0, out)
    body()
    this.c.place(out)
  }

  later(params: number, write: (c: Code) => void): Label {
    const label = this.c.label()
    this.functions.push({ label, write, params })
    return label
  }

  mapOf(register: number): this {
    this.c.map(register, this.wrong() ? this.random.pick([FIRST, SECOND, PLAIN]) : this.map)
    return this
  }
}

function lookup(s: Sketch, register: number, map: number): void {
  const { c } = s
  c.storeImm(4, 10, -4, 0).movReg(2, 10).alu(ALU.add, 2, -4).map(1, map)
  s.helper('map_lookup_elem')
  const fine = c.label()
  c.jumpIf(JMP.jne, 0, 0, fine).mov(0, 0).exit().place(fine).movReg(register, 0)
}

function locked(s: Sketch, body: () => void): void {
  if (!s.wrong()) s.field(1, VALUE.lock).helper('spin_lock')
  body()
  if (!s.wrong()) s.field(1, VALUE.lock).helper('spin_unlock')
}

/** A new node in r9; `use` is what becomes of it. */
function newNode(s: Sketch, use: () => void): void {
  const { c, random, world } = s
  c.imm64(1, s.wrong() ? random.pick([0, 1, world.scalars, world.int, 9999, -1]) : world.node, s.wrong() ? 1 : 0).mov(
    2,
    0,
  )
  s.kfunc(s.wrong() ? 'bpf_percpu_obj_new_impl' : 'bpf_obj_new_impl')
  s.unlessNull(0, () => {
    c.movReg(9, 0)
    if (random.chance(0.3)) c.storeImm(random.pick(SIZES), 9, s.wrong() ? random.pick([8, 32, 64, 72]) : 0, 7)
    use()
  })
  c.mov(9, 0)
}

function drop(s: Sketch, register: number): void {
  s.c.movReg(1, register).mov(2, 0)
  if (!s.wrong()) s.kfunc(s.wrong() ? 'bpf_percpu_obj_drop_impl' : 'bpf_obj_drop_impl')
}

/** r0 may hold a node that is now the program's. */
function dropTaken(s: Sketch, offset: number): void {
  const { c } = s
  s.unlessNull(0, () => {
    c.movReg(9, 0)
    if (!s.wrong()) c.alu(ALU.sub, 9, offset)
    drop(s, 9)
  })
}

function list(s: Sketch): void {
  const { c, random } = s
  const end = random.pick(['front', 'back'])
  if (random.chance(0.5)) {
    locked(s, () => {
      s.field(1, VALUE.list).kfunc(`bpf_list_pop_${end}`)
      c.movReg(9, 0)
    })
    c.movReg(0, 9)
    dropTaken(s, NODE.list)
    c.mov(9, 0)
  } else
    newNode(s, () =>
      locked(s, () => {
        s.field(1, VALUE.list)
        c.movReg(2, 9)
          .alu(ALU.add, 2, s.wrong() ? NODE.tree : NODE.list)
          .mov(3, 0)
          .mov(4, 0)
        s.kfunc(`bpf_list_push_${end}_impl`)
        if (s.wrong()) drop(s, 9)
      }),
    )
}

function comparison(s: Sketch): Label {
  return s.later(2, (c) => {
    const wrong = s.wrong() ? s.random.below(5) : -1
    if (wrong === 0) s.kfunc('bpf_rcu_read_lock')
    else if (wrong === 1) {
      c.alu(ALU.add, 1, 1)
      s.helper('spin_lock')
    } else if (wrong === 2) {
      c.movReg(2, 1)
      s.kfunc('bpf_rbtree_remove')
    } else if (wrong === 3) s.kfunc('bpf_throw')
    else if (wrong === 4) c.mov(0, 7)
    c.mov(0, s.random.below(2)).exit()
  })
}

function tree(s: Sketch): void {
  const { c, random } = s
  const root = (register: number) => s.field(register, VALUE.tree)
  if (random.chance(0.5))
    newNode(s, () =>
      locked(s, () => {
        root(1)
        c.movReg(2, 9).alu(ALU.add, 2, s.wrong() ? NODE.list : NODE.tree)
        if (s.wrong()) c.mov(3, 0)
        else c.functionPointer(3, comparison(s))
        c.mov(4, 0).mov(5, 0)
        s.kfunc('bpf_rbtree_add_impl')
      }),
    )
  else {
    locked(s, () => {
      root(1).kfunc(random.pick(['bpf_rbtree_first', 'bpf_rbtree_root']))
      s.unlessNull(0, () => {
        c.movReg(2, 0)
        if (random.chance(0.2)) c.load(8, 3, 0, -NODE.tree)
        root(1).kfunc('bpf_rbtree_remove')
        c.movReg(9, 0)
      })
    })
    c.mov(9, 0)
  }
}

function counted(s: Sketch): void {
  const { c } = s
  newNode(s, () => {
    c.movReg(1, 9).mov(2, 0)
    s.kfunc('bpf_refcount_acquire_impl')
    if (s.wrong()) s.unlessNull(0, () => drop(s, 0))
    else drop(s, 0)
    drop(s, 9)
  })
}

/** A pointer that is kept in the map. */
function kernelPointer(s: Sketch): void {
  const { c, random } = s
  switch (random.below(5)) {
    case 0:
      s.field(1, VALUE.kptr)
      c.mov(2, 0)
      s.helper('kptr_xchg')
      s.unlessNull(0, () => {
        c.movReg(1, 0)
        if (!s.wrong()) s.kfunc('bpf_task_release')
      })
      break
    case 1:
      c.load(
        s.wrong() ? 4 : 8,
        1,
        6,
        random.pick([VALUE.kptr, VALUE.plain, VALUE.local, VALUE.more, VALUE.more + 8]) + (s.wrong() ? 4 : 0),
      )
      s.unlessNull(1, () => c.load(8, 2, 1, 16))
      break
    case 2: {
      const to = s.wrong() ? VALUE.kptr : VALUE.plain
      if (random.chance(0.5)) c.storeImm(8, 6, to, s.wrong() ? 1 : 0)
      else {
        s.helper('get_current_task_btf')
        if (s.wrong()) c.load(8, 0, 0, 0)
        c.store(s.wrong() ? 4 : 8, 6, to, 0)
      }
      break
    }
    case 3:
      newNode(s, () => {
        s.field(1, s.wrong() ? VALUE.kptr : VALUE.local)
        c.movReg(2, 9)
        s.helper('kptr_xchg')
        s.unlessNull(0, () => drop(s, 0))
      })
      break
    default:
      c.atomic(8, 6, s.wrong() ? VALUE.plain : VALUE.data - 4, 8, 0)
  }
}

function timer(s: Sketch): void {
  const { c, random } = s
  const at = () => s.field(1, VALUE.timer)
  switch (random.below(4)) {
    case 0:
      at().mapOf(2)
      c.mov(3, 1)
      s.helper('timer_init')
      break
    case 1: {
      const callback = s.later(3, (inner) => {
        if (random.chance(0.4)) inner.load(4, 4, 3, s.wrong() ? VALUE.lock : VALUE.data)
        inner.mov(0, s.wrong() ? 1 : 0).exit()
      })
      at()
      c.functionPointer(2, callback)
      s.helper('timer_set_callback')
      break
    }
    case 2:
      at()
      c.mov(2, 1000).mov(3, 0)
      s.helper('timer_start')
      break
    default:
      at().helper('timer_cancel')
  }
}

function workQueue(s: Sketch): void {
  const { c, random } = s
  const at = () => s.field(1, VALUE.queue)
  if (random.chance(0.4)) {
    at()
    if (s.wrong()) c.movReg(2, random.pick([6, 8, 10]))
    else s.mapOf(2)
    c.mov(3, 0)
    s.kfunc('bpf_wq_init')
  } else if (random.chance(0.6)) {
    const callback = s.later(3, (inner) => inner.mov(0, s.wrong() ? 1 : 0).exit())
    at()
    if (s.wrong()) c.mov(2, 0)
    else c.functionPointer(2, callback)
    c.mov(3, 0).mov(4, 0)
    s.kfunc('bpf_wq_set_callback_impl')
  } else {
    at()
    c.mov(2, 0)
    s.kfunc('bpf_wq_start')
  }
}

/** Locks that may fail, in r7's map; the tree under one of them. */
function resilient(s: Sketch, depth = 0): void {
  const { c, random } = s
  const irq = random.chance(0.4)
  const flag = s.place()
  const pass = (map: number): void => {
    c.movReg(1, s.wrong() ? 6 : map).alu(ALU.add, 1, s.wrong() ? 0 : RES.lock)
    if (irq) c.movReg(2, 10).alu(ALU.add, 2, flag)
  }
  pass(7)
  s.kfunc(irq ? 'bpf_res_spin_lock_irqsave' : 'bpf_res_spin_lock')
  const out = c.label()
  if (!s.wrong()) c.jumpIf(JMP.jne, 0, 0, out)
  if (depth === 0 && s.wrong()) resilient(s, 1)
  if (random.chance(0.3)) {
    s.field(1, VALUE.tree).kfunc('bpf_rbtree_first')
  }
  if (s.wrong()) s.helper('ktime_get_ns')
  if (!s.wrong()) {
    const native = s.wrong()
    pass(7)
    if (native) c.movReg(1, 2)
    s.kfunc(native ? 'bpf_local_irq_restore' : irq ? 'bpf_res_spin_unlock_irqrestore' : 'bpf_res_spin_unlock')
  }
  c.place(out)
}

function perCpu(s: Sketch): void {
  const { c, random, world } = s
  c.imm64(1, s.wrong() ? world.node : world.scalars, 0).mov(2, 0)
  s.kfunc('bpf_percpu_obj_new_impl')
  s.unlessNull(0, () => {
    c.movReg(9, 0)
    if (random.chance(0.5)) {
      c.movReg(1, 9)
      s.helper('this_cpu_ptr')
      c.load(4, 3, 0, s.wrong() ? 8 : 4)
    }
    c.movReg(1, 9).mov(2, 0)
    if (!s.wrong()) s.kfunc(s.wrong() ? 'bpf_obj_drop_impl' : 'bpf_percpu_obj_drop_impl')
  })
  c.mov(9, 0)
}

function anyAccess(s: Sketch): void {
  const { c, random } = s
  const offset = s.wrong() ? random.below(VALUE.size / 4) * 4 : VALUE.data
  const size = s.wrong() ? random.pick(SIZES) : 4
  if (random.chance(0.4)) c.load(size, 3, 6, offset)
  else if (random.chance(0.5)) c.storeImm(size, 6, offset, 0)
  else {
    s.field(2, offset)
    c.movReg(1, 10).alu(ALU.add, 1, s.place()).movReg(3, 2).mov(2, 4)
    s.helper('probe_read_kernel')
  }
}

function throwIt(s: Sketch): void {
  const { c, random } = s
  const out = c.label()
  c.jumpIf(JMP.jne, 8, 7, out).mov(1, random.below(3))
  s.kfunc('bpf_throw')
  c.place(out)
}

const STEPS: readonly (readonly [weight: number, step: (s: Sketch) => void])[] = [
  [4, list],
  [4, tree],
  [2, counted],
  [4, kernelPointer],
  [4, timer],
  [3, workQueue],
  [4, (s) => resilient(s)],
  [2, perCpu],
  [2, anyAccess],
  [1, throwIt],
  [1, (s) => locked(s, () => undefined)],
]
const PROGRAMS: readonly ProgramType[] = ['sched_cls', 'sched_cls', 'xdp', 'syscall', 'tracepoint', 'socket_filter']

function generate(random: Random, btf: Btf): Generated {
  const s = new Sketch(random, btf)
  const { c, world } = s
  const type = s.wrongness > 0 ? random.pick(PROGRAMS) : random.pick(PROGRAMS.slice(0, 2))
  c.movReg(8, 1)
  s.helper('get_prandom_u32')
  c.movReg(8, 0).alu(ALU.and, 8, 7).mov(9, 0)
  if (s.wrong()) s.map = random.pick([SECOND, PLAIN])
  lookup(s, 6, s.map)
  lookup(s, 7, s.wrong() ? SECOND : RESILIENT)
  for (let i = random.between(1, 4); i > 0; i--) random.weighted(STEPS)(s)
  c.mov(0, 0).exit()
  const records: FunctionType[] = [{ start: 0, params: [world.context] }]
  for (const { label, write, params } of s.functions) {
    c.place(label)
    records.push({ start: label.at, params: Array.from({ length: params }, () => world.b.pointer(0)) })
    write(c)
  }
  if (random.chance(0.15)) exception(s, records)
  const program = typed(c, world, records, { type, maps: world.maps })
  return type === 'syscall' ? { ...program, flags: 1 << 4 } : program
}

/** The function that runs when the program throws. */
function exception(s: Sketch, records: FunctionType[]): void {
  const { c, world, random } = s
  const start = c.here
  const params = s.wrong() ? random.pick([[], [world.int, world.int], [world.context]]) : [world.int]
  records.push({ start, params, global: !s.wrong() })
  if (s.wrong()) s.kfunc('bpf_throw')
  if (s.wrong()) c.mov(0, 77)
  else c.mov(0, 1)
  c.exit()
  const tag = (name: string): void => {
    records[0] = { ...records[0], own: [...(records[0].own ?? []), `exception_callback:${name}`] }
  }
  tag(s.wrong() ? 'nobody' : `f${records.length - 1}`)
  if (s.wrong()) tag('f0')
}

export const ownObjectsGenerator: Generator = {
  name: 'objects',
  generate(random) {
    const btf = kernelTypes()
    return btf === undefined ? finished(new Code().mov(0, 0).exit(), { type: 'socket_filter' }) : generate(random, btf)
  },
}
