/**
 * Programs of an arena: casts both ways, arithmetic, loads, stores and atomics, pointers on the stack and in calls, the kernel's
 * functions for pages, functions with tagged arguments. Every step may be one that breaks a rule.
 *
 * Registers between steps: r6 is an arena pointer, r7 points to a map's value, r8 is a small number, r9 is the context.
 */
import type { Btf } from '../../../../src/btf/index.ts'
import type { ProgramType } from '../../../../src/uapi/index.ts'
import { ALU, Code, JMP } from '../code.ts'
import { kernelTypes } from '../kernel-types.ts'
import { MAP } from '../maps.ts'
import { finished, type Generated, type Generator } from '../program.ts'
import type { Random } from '../random.ts'
import {
  address,
  arithmetic,
  atomic,
  branch,
  cast,
  casts,
  index,
  loop,
  merge,
  Sketch,
  spill,
  toNumber,
  use,
} from './arena-steps.ts'
import { type FunctionType, typed } from './typed.ts'

const SLEEPABLE = 1 << 4

function helperCall(s: Sketch): void {
  const { c, random } = s
  const at = s.place()
  c.storeImm(8, 10, at, 0)
  switch (random.below(4)) {
    case 0:
      c.movReg(1, s.wrong() ? 6 : 10)
        .alu(ALU.add, 1, at)
        .mov(2, s.wrong() ? 0 : 8)
        .movReg(3, 6)
      s.helper(random.pick(['probe_read_kernel', 'probe_read_user']))
      break
    case 1:
      c.map(1, s.wrong() ? MAP.arena : MAP.array)
        .movReg(2, s.wrong() ? 6 : 10)
        .alu(ALU.add, 2, at)
      s.helper('map_lookup_elem')
      if (s.wrong()) use(s, 0)
      break
    case 2:
      c.map(1, s.wrong() ? MAP.arena : MAP.hash)
        .movReg(2, 10)
        .alu(ALU.add, 2, at)
        .movReg(3, s.wrong() ? 6 : 7)
        .movReg(4, s.wrong() ? 6 : 8)
      s.helper('map_update_elem')
      break
    default:
      c.movReg(1, s.wrong() ? 6 : 10)
        .alu(ALU.add, 1, at)
        .mov(2, 8)
        .movReg(3, random.pick([6, 7, 8]))
        .movReg(4, 6)
      s.helper('trace_printk')
  }
}

/** Pages: allocated, kept where they are, given back. */
function pages(s: Sketch): void {
  const { c, random } = s
  if (!s.sleepable && !s.wrong()) {
    casts(s)
    return
  }
  const locked = s.wrong()
  if (locked) s.kfunc(random.pick(['bpf_rcu_read_lock', 'bpf_preempt_disable']))
  if (s.wrong()) {
    if (random.chance(0.6)) c.movReg(1, s.any())
    else if (random.chance(0.5))
      c.functionPointer(
        1,
        s.part({ params: [] }, () => c.mov(0, 0).exit()),
      )
    else {
      s.helper('get_current_task_btf')
      c.load(8, 1, 0, random.pick([0, 8, 64]))
      c.movReg(1, random.pick([0, 0, 1]))
    }
  } else c.map(1, s.wrong() ? random.pick([MAP.array, MAP.otherArena]) : MAP.arena)
  if (!s.wrong()) c.movReg(2, s.any())
  c.movReg(3, s.wrong() ? s.any() : 8)
  const name = random.pick(['bpf_arena_alloc_pages', 'bpf_arena_free_pages', 'bpf_arena_reserve_pages'])
  const allocates = name === 'bpf_arena_alloc_pages'
  if (allocates && !s.wrong()) c.mov(4, -1).mov(5, 0)
  s.kfunc(name)
  if (locked) s.kfunc('bpf_rcu_read_unlock')
  if (name === 'bpf_arena_free_pages') return
  if (allocates) {
    if (random.chance(0.5)) c.movReg(6, 0)
    if (!s.wrong()) cast(s, 2, 0)
    else c.movReg(2, 0)
    use(s, 2)
    if (!s.wrong()) cast(s, 6, 6)
  } else {
    c.movReg(2, 0)
    if (random.chance(0.5)) index(s)
  }
}

function localCall(s: Sketch): void {
  const { c, random, types: t } = s
  const returns = random.below(3)
  const label = s.part({ params: [] }, () => {
    c.movReg(7, 1)
    if (random.chance(0.6)) use(s, 7)
    if (random.chance(0.3)) c.load(8, 3, s.wrong() ? 1 : 2, 0)
    if (random.chance(0.3)) c.alu(ALU.add, 7, 8)
    if (returns === 0) c.movReg(0, 7)
    else if (returns === 1) cast(s, 0, 2)
    else c.mov(0, random.below(3))
    c.exit()
  })
  if (random.chance(0.5)) s.parts[s.parts.length - 1] = { ...s.parts[s.parts.length - 1], type: { params: [t.int] } }
  const at = s.place()
  c.store(8, 10, at, 6).movReg(1, s.arena()).movReg(2, 10).alu(ALU.add, 2, at).callLocal(label)
  if (returns < 2 || s.wrong()) use(s, 0)
}

/** A function that is verified for itself; its pointers are tagged. */
function globalCall(s: Sketch): void {
  const { c, random, types: t } = s
  const pointer = t.b.pointer(random.pick([t.int, 0]))
  const tags: (readonly [number, string])[] = s.wrong() ? [] : [[0, 'arena']]
  if (s.wrong())
    tags.push([random.below(2), random.pick(['nonnull', 'nullable', 'trusted', 'arena', 'ctx', 'untrusted'])])
  const params = [s.wrong() ? t.int : pointer, t.int]
  const label = s.part({ params, tags, global: !s.wrong() }, () => {
    if (s.wrong()) use(s, 1)
    cast(s, 6, 1)
    c.movReg(7, 10).alu(ALU.add, 7, -32).movReg(8, 2).movReg(9, 10)
    use(s, 6)
    if (random.chance(0.3)) toNumberOrNot(s)
    if (s.wrong()) c.movReg(0, 6)
    else c.mov(0, random.below(2))
    c.exit()
  })
  c.movReg(1, s.wrong() ? random.pick([7, 9, 10]) : random.pick([6, 6, 8]))
    .movReg(2, s.wrong() ? s.any() : 8)
    .callLocal(label)
}

function toNumberOrNot(s: Sketch): void {
  s.c.load(4, 2, 6, 0).alu(ALU.and, 2, 7).movReg(0, 2)
}

/** A callback with the pointer on its caller's stack. */
function callback(s: Sketch): void {
  const { c, random, types: t } = s
  const label = s.part({ params: [t.int, t.b.pointer(0)] }, () => {
    c.load(8, 6, 2, 0)
    use(s, 6)
    if (random.chance(0.5)) {
      c.alu(ALU.add, 6, 8)
      c.store(8, 2, 0, s.wrong() ? 1 : 6)
    }
    c.mov(0, random.below(2)).exit()
  })
  const at = s.place()
  c.store(8, 10, at, s.arena()).mov(1, random.between(0, 3)).functionPointer(2, label)
  c.movReg(3, s.wrong() ? 6 : 10)
    .alu(ALU.add, 3, at)
    .mov(4, 0)
  s.helper('loop')
  c.load(8, 2, 10, at)
  use(s, 2)
}

const STEPS: readonly (readonly [weight: number, step: (s: Sketch) => void])[] = [
  [5, arithmetic],
  [4, casts],
  [3, toNumber],
  [3, (s) => use(s, s.arena())],
  [4, atomic],
  [3, spill],
  [3, (s) => branch(s, () => use(s, 6))],
  [4, merge],
  [3, helperCall],
  [4, pages],
  [2, address],
  [3, localCall],
  [3, globalCall],
  [2, loop],
  [1, callback],
]
const TYPES: readonly ProgramType[] = ['sched_cls', 'socket_filter', 'tracepoint', 'kprobe', 'xdp']

function generate(random: Random, btf: Btf): Generated {
  const s = new Sketch(random, btf)
  const { c } = s
  c.movReg(9, 1).storeImm(4, 10, -4, 0).movReg(2, 10).alu(ALU.add, 2, -4).map(1, MAP.array)
  s.helper('map_lookup_elem')
  const found = c.label()
  c.jumpIf(JMP.jne, 0, 0, found).mov(0, 0).exit().place(found).movReg(7, 0)
  s.helper('get_prandom_u32')
  c.movReg(8, 0).alu(ALU.and, 8, 7)
  if (!s.wrong()) {
    if (random.chance(0.5)) c.map(1, MAP.arena)
    else c.mapValue(1, MAP.arena, 8 * random.below(64))
  }
  cast(s, 6, random.pick([7, 8, 10]))
  for (let i = random.between(1, 7); i > 0; i--) random.weighted(STEPS)(s)
  if (random.chance(0.1) && s.wrong()) c.movReg(0, 6)
  else c.mov(0, 0)
  c.exit()
  const records: FunctionType[] = [{ start: 0, params: [s.types.context] }]
  for (let i = 0; i < s.parts.length; i++) {
    const { label, type, write } = s.parts[i]
    c.place(label)
    records.push({ ...type, start: label.at })
    write()
  }
  const program = typed(c, s.types, records, { type: s.sleepable ? 'syscall' : random.pick(TYPES) })
  const strict = random.chance(0.1) ? 1 : 0
  return { ...program, flags: strict | (s.sleepable ? SLEEPABLE : 0) }
}

export const arenaGenerator: Generator = {
  name: 'arena',
  generate(random) {
    const btf = kernelTypes()
    return btf === undefined ? finished(new Code().mov(0, 0).exit(), { type: 'socket_filter' }) : generate(random, btf)
  },
}
