/**
 * Programs that use the kernel's own objects: walks through structs from a tracepoint's arguments, kernel functions with
 * references and sections, iterators over the kernel's objects, dynptrs. Every step may be one that breaks a rule.
 */
import type { Btf } from '../../../../src/btf/index.ts'
import { ATTACH_TYPES, helperNumber, PROGRAM_TYPES, type ProgramType } from '../../../../src/uapi/index.ts'
import { ALU, Code, JMP } from '../code.ts'
import { kernelTypes } from '../kernel-types.ts'
import { MAP } from '../maps.ts'
import { finished, type Generated, type Generator } from '../program.ts'
import type { Random } from '../random.ts'

const TRACEPOINTS = ['sched_switch', 'sched_process_exec', 'task_newtask', 'kfree_skb', 'mm_page_alloc', 'sched_wakeup']
const ITERATED = ['task', 'task_file', 'task_vma', 'bpf_map', 'tcp']
const SIZES = [1, 2, 4, 8] as const
const CHANCE_OF_WRONG = 0.09

/** One program under way. */
export class Sketch {
  readonly c = new Code()
  readonly random: Random
  readonly btf: Btf
  readonly type: ProgramType
  readonly wrongness: number
  slot = 0

  constructor(random: Random, btf: Btf, type: ProgramType) {
    this.random = random
    this.btf = btf
    this.type = type
    this.wrongness = random.chance(0.45) ? 0 : CHANCE_OF_WRONG
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

  /** A fresh place of `slots` slots on the stack. */
  place(slots: number): number {
    this.slot += slots
    if (this.slot > 40) this.slot = slots
    return -8 * this.slot
  }

  address(register: number, offset: number): this {
    const shifted = this.wrong() ? offset + this.random.pick([-8, 8, 4, 1]) : offset
    this.c.movReg(register, 10).alu(ALU.add, register, shifted)
    return this
  }

  /** Skips `body` when the register is null; forgets to, sometimes. */
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

  end(value = 0): void {
    this.c.mov(0, this.wrong() ? 5 : value).exit()
  }
}

interface Field {
  readonly offset: number
  readonly size: 1 | 2 | 4 | 8
  readonly target: number | undefined
}

/** A member of a struct, at some depth, that a load fits. */
function member(s: Sketch, struct: number): Field | undefined {
  const { btf, random } = s
  let base = 0
  let current = struct
  for (let depth = 0; depth < 6; depth++) {
    const type = btf.type(btf.skipModifiers(current))
    if ((type.kind !== 'struct' && type.kind !== 'union') || type.members.length === 0) return undefined
    const m = random.pick(type.members)
    const offset = base + (m.bitOffset >> 3)
    let id = btf.skipModifiers(m.type)
    let inner = btf.type(id)
    if (inner.kind === 'array') {
      id = btf.skipModifiers(inner.type)
      inner = btf.type(id)
    }
    if (inner.kind === 'struct' || inner.kind === 'union') {
      base = offset
      current = id
      continue
    }
    const bytes = btf.sizeOf(id)
    const size = SIZES.find((n) => n === bytes) ?? 4
    if (inner.kind !== 'ptr') return { offset, size, target: undefined }
    const target = btf.skipModifiers(inner.type)
    const kind = btf.kind(target)
    return { offset, size: 8, target: kind === 'struct' || kind === 'union' ? target : undefined }
  }
  return undefined
}

/** From the struct in a register down some of its pointers. */
export function walk(s: Sketch, register: number, struct: number): void {
  const { c, random } = s
  let current = struct
  for (let steps = random.between(1, 4); steps > 0; steps--) {
    const field = member(s, current)
    if (field === undefined) return
    const size = s.wrong() ? random.pick(SIZES) : field.size
    const offset = field.offset + (s.wrong() ? random.pick([1, 4, -4, 8, 4096]) : 0)
    if (offset > 32767 || offset < -32768) return
    if (s.wrong() && random.chance(0.3)) {
      c.storeImm(size, register, offset, 0)
      return
    }
    const to = field.target === undefined ? 3 : register
    c.load(size, to, register, offset, size !== 8 && random.chance(0.1))
    if (field.target === undefined) {
      if (random.chance(0.1)) c.alu(ALU.add, 3, 1)
      continue
    }
    if (random.chance(0.5)) {
      const out = c.label()
      c.jumpIf(JMP.jne, register, 0, out)
      s.end(0)
      c.place(out)
    }
    current = field.target
  }
}

/** A tracing program: its context's arguments and what they point to. */
function tracing(random: Random, btf: Btf): Generated | undefined {
  const s = new Sketch(random, btf, 'tracing')
  const { c } = s
  const isIterator = random.chance(0.35)
  const name = isIterator ? `bpf_iter_${random.pick(ITERATED)}` : `btf_trace_${random.pick(TRACEPOINTS)}`
  const id = btf.idByName(name, isIterator ? 'func' : 'typedef')
  if (id === undefined) return undefined
  const own = isIterator ? btf.type(id) : btf.resolve(id)
  const proto = 'type' in own && typeof own.type === 'number' ? btf.type(own.type) : undefined
  if (proto?.kind !== 'func_proto') return undefined
  const params = isIterator ? proto.params : proto.params.slice(1)
  c.movReg(6, 1)
  for (let i = random.between(1, 3); i > 0; i--) {
    const argument = random.below(params.length)
    const offset = argument * 8 + (s.wrong() ? random.pick([1, 4, 8 * params.length, -8]) : 0)
    c.load(s.wrong() ? random.pick(SIZES) : 8, 7, 6, offset)
    const pointer = btf.type(btf.skipModifiers(params[argument].type))
    if (pointer.kind !== 'ptr') continue
    const target = btf.skipModifiers(pointer.type)
    const kind = btf.kind(target)
    if (kind !== 'struct' && kind !== 'union') continue
    if (isIterator && argument > 0) s.unlessNull(7, () => walk(s, 7, target))
    else if (random.chance(0.2)) s.unlessNull(7, () => walk(s, 7, target))
    else walk(s, 7, target)
    if (random.chance(0.2)) section(s)
  }
  s.end(0)
  const attachType = isIterator ? ATTACH_TYPES.trace_iter : ATTACH_TYPES.trace_raw_tp
  const program = finished(c, { type: 'tracing' })
  return { ...program, type: PROGRAM_TYPES.tracing, attachType, extra: { attachBtfId: id } }
}

export function task(s: Sketch): void {
  const { c, random } = s
  if (random.chance(0.6)) s.helper('get_current_task_btf')
  else {
    c.mov(1, 1)
    s.kfunc(random.pick(['bpf_task_from_pid', 'bpf_task_from_vpid']))
    const owned = (): void => {
      c.movReg(7, 0)
      if (random.chance(0.6)) walk(s, 0, s.btf.idByName('task_struct', 'struct') ?? 0)
      c.movReg(1, 7)
      if (!s.wrong()) s.kfunc('bpf_task_release')
    }
    s.unlessNull(0, owned)
    return
  }
  c.movReg(1, 0)
  if (random.chance(0.3)) walk(s, 1, s.btf.idByName('task_struct', 'struct') ?? 0)
  else {
    s.kfunc('bpf_task_acquire')
    s.unlessNull(0, () => {
      c.movReg(1, 0)
      if (s.wrong()) c.alu(ALU.add, 1, 8)
      if (!s.wrong()) s.kfunc('bpf_task_release')
    })
  }
}

export function cpumask(s: Sketch): void {
  const { c, random } = s
  s.kfunc('bpf_cpumask_create')
  s.unlessNull(0, () => {
    c.movReg(7, 0)
    for (let i = random.below(3); i > 0; i--) {
      c.mov(1, random.below(4)).movReg(2, s.wrong() ? 10 : 7)
      s.kfunc(random.pick(['bpf_cpumask_set_cpu', 'bpf_cpumask_clear_cpu', 'bpf_cpumask_test_cpu']))
    }
    c.movReg(1, 7)
    if (!s.wrong()) s.kfunc('bpf_cpumask_release')
    if (s.wrong()) c.load(8, 0, 7, 0)
  })
}

/** RCU, no preemption, no interrupts: something inside, or nothing. */
export function section(s: Sketch): void {
  const { random } = s
  const inside = (): void => {
    if (random.chance(0.4)) task(s)
    else if (random.chance(0.3)) section(s)
  }
  const kind = random.below(3)
  if (kind === 0) {
    s.kfunc('bpf_rcu_read_lock')
    inside()
    if (!s.wrong()) s.kfunc('bpf_rcu_read_unlock')
  } else if (kind === 1) {
    s.kfunc('bpf_preempt_disable')
    inside()
    if (!s.wrong()) s.kfunc('bpf_preempt_enable')
  } else {
    const at = s.place(1)
    s.address(1, at).kfunc('bpf_local_irq_save')
    inside()
    if (!s.wrong()) s.address(1, at).kfunc('bpf_local_irq_restore')
  }
}

/** new, next until null, destroy. */
export function iterate(s: Sketch): void {
  const { c, random } = s
  const bits = random.chance(0.5)
  const at = s.place(bits ? 2 : 3)
  const name = bits ? 'bits' : 'task'
  const isProtected = !bits && !s.wrong()
  if (isProtected) s.kfunc('bpf_rcu_read_lock')
  if (bits) {
    c.storeImm(8, 10, -400, 0x55)
    s.address(1, at)
    c.movReg(2, 10).alu(ALU.add, 2, -400).mov(3, 1)
  } else {
    s.address(1, at)
    c.mov(2, 0).mov(3, random.below(3))
  }
  s.kfunc(`bpf_iter_${name}_new`)
  const loop = c.label()
  const out = c.label()
  c.place(loop)
  s.address(1, at).kfunc(`bpf_iter_${name}_next`)
  if (!s.wrong()) c.jumpIf(JMP.jeq, 0, 0, out)
  if (bits) c.load(4, 3, 0, 0)
  else walk(s, 0, s.btf.idByName('task_struct', 'struct') ?? 0)
  if (random.chance(0.3)) c.alu(ALU.add, 8, 1)
  c.jump(loop)
  c.place(out)
  if (!s.wrong()) s.address(1, at).kfunc(`bpf_iter_${name}_destroy`)
  if (isProtected && !s.wrong()) s.kfunc('bpf_rcu_read_unlock')
}

export function dynptr(s: Sketch): void {
  const { c, random } = s
  const at = s.place(2)
  const kinds = ['ring', 'mem', ...(s.type === 'sched_cls' ? ['skb'] : []), ...(s.type === 'xdp' ? ['xdp'] : [])]
  const kind = random.pick(kinds)
  if (kind === 'ring') {
    c.map(1, MAP.ring).mov(2, 64).mov(3, 0)
    s.address(4, at).helper('ringbuf_reserve_dynptr')
  } else if (kind === 'mem') {
    c.mapValue(1, MAP.array, 0).mov(2, 32).mov(3, 0)
    s.address(4, at).helper('dynptr_from_mem')
  } else {
    c.movReg(1, 6).mov(2, 0)
    s.address(3, at).kfunc(`bpf_dynptr_from_${kind}`)
  }
  for (let i = random.between(1, 3); i > 0; i--) useDynptr(s, at)
  if (kind === 'ring' && !s.wrong()) {
    s.address(1, at)
    c.mov(2, 0)
    s.helper(random.pick(['ringbuf_submit_dynptr', 'ringbuf_discard_dynptr']))
    if (s.wrong()) useDynptr(s, at)
  } else if (s.wrong()) c.storeImm(8, 10, at + 8, 0)
}

function useDynptr(s: Sketch, at: number): void {
  const { c, random } = s
  switch (random.below(6)) {
    case 0:
      s.address(1, at)
      c.mov(2, 0).mov(3, s.wrong() ? -1 : 16)
      s.helper('dynptr_data')
      s.unlessNull(0, () => c.load(random.pick(SIZES), 3, 0, s.wrong() ? 16 : 8))
      break
    case 1:
      c.storeImm(8, 10, -408, 0)
      c.movReg(1, 10).alu(ALU.add, 1, -408).mov(2, 8)
      s.address(3, at)
      c.mov(4, 0).mov(5, 0)
      s.helper('dynptr_read')
      break
    case 2:
      s.address(1, at)
      c.mov(2, 0).storeImm(8, 10, -408, 1).movReg(3, 10).alu(ALU.add, 3, -408).mov(4, 8).mov(5, 0)
      s.helper('dynptr_write')
      break
    case 3:
      c.storeImm(8, 10, -416, 0)
      s.address(1, at)
      c.mov(2, 0)
      if (random.chance(0.5)) c.mov(3, 0)
      else c.movReg(3, 10).alu(ALU.add, 3, -416)
      c.mov(4, 8)
      s.kfunc(random.chance(0.7) ? 'bpf_dynptr_slice' : 'bpf_dynptr_slice_rdwr')
      s.unlessNull(0, () => {
        if (s.wrong()) c.storeImm(4, 0, 0, 1)
        else c.load(8, 3, 0, s.wrong() ? 1 : 0)
      })
      break
    case 4:
      s.address(1, at)
      if (random.chance(0.5)) c.mov(2, 4).mov(3, 12)
      s.kfunc(random.pick(['bpf_dynptr_size', 'bpf_dynptr_is_null', 'bpf_dynptr_is_rdonly']))
      break
    default: {
      const clone = s.place(2)
      s.address(1, at).address(2, clone).kfunc('bpf_dynptr_clone')
      if (random.chance(0.3)) useDynptr(s, clone)
    }
  }
}

type Step = (s: Sketch) => void

function sketched(random: Random, btf: Btf, types: readonly ProgramType[], steps: readonly Step[]): Generated {
  const type = random.pick(types)
  const s = new Sketch(random, btf, type)
  s.c.movReg(6, 1).mov(8, 0)
  for (let i = random.between(1, 3); i > 0; i--) random.pick(steps)(s)
  s.end(1)
  return finished(s.c, { type, ...(type === 'xdp' ? { attach: 'xdp' as const } : {}) })
}

function generator(name: string, make: (random: Random, btf: Btf) => Generated | undefined): Generator {
  return {
    name,
    generate(random) {
      const btf = kernelTypes()
      const made = btf === undefined ? undefined : make(random, btf)
      return made ?? finished(new Code().mov(0, 0).exit(), { type: 'socket_filter' })
    },
  }
}

export const KERNEL_OBJECT_GENERATORS: readonly Generator[] = [
  generator('tracing', tracing),
  generator('kfuncs', (random, btf) =>
    sketched(random, btf, ['tracepoint', 'syscall', 'perf_event'], [task, cpumask, section, iterate]),
  ),
  generator('dynptrs', (random, btf) =>
    sketched(random, btf, ['sched_cls', 'xdp', 'tracepoint'], [dynptr, dynptr, section]),
  ),
]
