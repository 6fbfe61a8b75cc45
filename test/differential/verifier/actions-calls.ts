import { HELPER_NAMES, helperNumber, PROGRAM_TYPES } from '../../../src/uapi/index.ts'
import type { ArgumentType, HelperPrototype } from '../../../src/verifier/kernel/prototype.ts'
import { tables } from '../../../src/verifier/tables/index.ts'
import { leave, mapLookup, nullCheck } from './actions-memory.ts'
import { ALU, JMP } from './code.ts'
import { CAMPAIGN_MAPS, MAP } from './maps.ts'
import { NOTHING, SCALAR, SIZES, type Writer } from './writer.ts'

/** Packet start and end in registers 7 and 8, a check of some bytes, and reads and writes in the range. */
export function packet(w: Writer): void {
  const { code, random } = w
  const context = w.find((kind) => kind.is === 'ctx')
  const fields = PACKET_FIELDS[w.choice.type]
  if (context === undefined || fields === undefined) return
  const start = w.find((kind) => kind.is === 'packet')
  if (start === undefined || random.chance(0.3)) {
    const [data, end, size] = fields
    const [p, e] = random.chance(0.8) ? [7, 8] : [2, 3]
    if (p === context || e === context) return
    code.load(size, p, context, data)
    code.load(size, e, context, end)
    w.set(p, { is: 'packet', offset: 0 })
    w.set(e, { is: 'packetEnd' })
    w.state.packetRange = 0
    checkRange(w, p, e)
    return
  }
  if (random.chance(0.3)) {
    const end = w.find((kind) => kind.is === 'packetEnd')
    if (end !== undefined) {
      checkRange(w, start, end)
      return
    }
  }
  if (random.chance(0.2)) {
    variablePacket(w, start)
    return
  }
  const size = random.pick(SIZES)
  const range = w.state.packetRange
  if (range < size && !w.wrong()) return
  const offset = w.wrong() ? range - size + random.between(0, 3) : random.below(range - size + 1)
  if (random.chance(0.6)) {
    const to = w.target()
    code.load(size, to, start, offset)
    w.set(to, SCALAR)
  } else code.storeImm(size, start, offset, random.edge())
}

function checkRange(w: Writer, start: number, end: number): void {
  const { code, random } = w
  const bytes = random.pick([1, 2, 4, 14, 34, 54, 64, random.between(1, 200)])
  const probe = random.pick([2, 3, 4, 5])
  if (probe === start || probe === end) return
  code.movReg(probe, start)
  code.alu(ALU.add, probe, bytes)
  const fine = code.label()
  // data + n <= end, or end >= data + n; sometimes the strict forms, which know one byte less or more.
  const strict = random.chance(0.15)
  if (w.wrong()) code.jumpIfReg(random.pick([JMP.jgt, JMP.jlt, JMP.jeq, JMP.jsle]), probe, end, fine)
  else if (random.chance(0.5)) code.jumpIfReg(strict ? JMP.jlt : JMP.jle, probe, end, fine)
  else code.jumpIfReg(strict ? JMP.jgt : JMP.jge, end, probe, fine)
  leave(w)
  code.place(fine)
  w.set(probe, NOTHING)
  w.state.packetRange = Math.max(w.state.packetRange, bytes)
}

/** The length of a header from the packet itself: the usual variable offset. */
function variablePacket(w: Writer, start: number): void {
  const { code, random } = w
  const end = w.find((kind) => kind.is === 'packetEnd')
  if (w.state.packetRange < 1 || end === undefined) return
  const index = random.pick([0, 4, 5, 9])
  const sum = random.pick([2, 3])
  if (index === start || index === end || w.kind(index).is === 'ctx') return
  code.load(1, index, start, 0)
  code.alu(ALU.and, index, random.pick([0x0f, 0x3f, 0xff]))
  if (random.chance(0.5)) code.alu(ALU.lsh, index, random.pick([2, 1, w.wrong() ? 16 : 3]))
  code.movReg(sum, start)
  code.aluReg(ALU.add, sum, index)
  const size = random.pick(SIZES)
  code.movReg(1, sum)
  code.alu(ALU.add, 1, w.wrong() ? Math.max(0, size - 1) : size)
  const fine = code.label()
  code.jumpIfReg(JMP.jle, 1, end, fine)
  leave(w)
  code.place(fine)
  code.load(size, index, sum, 0)
  w.set(1, NOTHING)
  w.set(index, SCALAR)
  w.set(sum, NOTHING)
}

/** Offsets of data and data_end and their width. */
export const PACKET_FIELDS: Readonly<Partial<Record<string, readonly [data: number, end: number, size: 4 | 8]>>> = {
  xdp: [0, 4, 4],
  sched_cls: [76, 80, 4],
  sched_act: [76, 80, 4],
  cgroup_skb: [76, 80, 4],
  lwt_xmit: [76, 80, 4],
  sk_skb: [76, 80, 4],
  sk_msg: [0, 8, 8],
  flow_dissector: [76, 80, 4],
}

const MAP_FOR_HELPER: Readonly<Record<string, readonly number[]>> = {
  tail_call: [MAP.progs],
  perf_event_output: [MAP.events],
  perf_event_read: [MAP.events],
  perf_event_read_value: [MAP.events],
  get_stackid: [MAP.stacks],
  ringbuf_output: [MAP.ring],
  ringbuf_reserve: [MAP.ring],
  ringbuf_query: [MAP.ring],
  redirect_map: [MAP.devs, MAP.cpus, MAP.xsks],
  map_push_elem: [MAP.queue, MAP.bloom],
  map_pop_elem: [MAP.queue],
  map_peek_elem: [MAP.queue, MAP.bloom],
  map_lookup_percpu_elem: [MAP.percpu],
  sk_redirect_map: [MAP.socks],
  msg_redirect_map: [MAP.socks],
  sk_redirect_hash: [MAP.sockhash],
  msg_redirect_hash: [MAP.sockhash],
  sock_map_update: [MAP.socks],
  sock_hash_update: [MAP.sockhash],
  sk_select_reuseport: [MAP.socks, MAP.sockhash],
  for_each_map_elem: [MAP.array, MAP.hash],
}
const ELEMENT_MAPS = [
  MAP.array,
  MAP.hash,
  MAP.large,
  MAP.percpu,
  MAP.lru,
  MAP.rodata,
  MAP.outer,
  MAP.lpm,
  MAP.byte,
  MAP.write,
]

/** Calls any helper of this program type with arguments that its prototype asks for, or with others. */
export function anyHelper(w: Writer): void {
  const { random } = w
  const facts = { type: PROGRAM_TYPES[w.choice.type], expectedAttachType: 0, sleepable: false }
  for (let i = 0; i < 12; i++) {
    const id =
      w.wrong() && random.chance(0.3)
        ? random.below(HELPER_NAMES.length + 2)
        : random.between(1, HELPER_NAMES.length - 1)
    const prototype = tables.helper(facts, id)
    if (prototype === undefined) {
      if (!w.wrong()) continue
      w.call(id, SCALAR)
      return
    }
    if (!w.wrong() && (prototype.acquires || UNFIT.test(prototype.name) || prototype.mightSleep)) continue
    if (callWith(w, prototype)) return
  }
}

/** Helpers whose arguments a careful writer cannot make here. */
const UNFIT =
  /_release|storage_|timer|spin|kptr|dynptr|ringbuf_submit|ringbuf_discard|_btf$|seq_|for_each|^loop|find_vma|user_ringbuf|per_cpu_ptr|this_cpu_ptr|btf_find|sys_|skc_to|tcp_|task_pt_regs|get_task_stack|sk_fullsock|listener|xdp_output|skb_output|copy_from_user_task|sk_select|reserve_hdr_opt/

function callWith(w: Writer, prototype: HelperPrototype): boolean {
  const { code, random } = w
  const spec = CAMPAIGN_MAPS[pickMap(w, prototype.name)]
  const map = CAMPAIGN_MAPS.indexOf(spec)
  const size = random.pick([1, 4, 8, 16, 24])
  // Stack for keys, values and buffers; prepared before the registers are.
  if (!w.wrong()) w.fill(-64, 64)
  const context = w.state.regs.findIndex((kind, i) => kind.is === 'ctx' && i >= 6)
  const value = w.state.regs.findIndex((kind, i) => kind.is === 'value' && i >= 6)
  if (context < 0 && prototype.arguments.some((a) => a.base === 'ARG_PTR_TO_CTX')) {
    const at = w.kind(1).is === 'ctx' ? 1 : -1
    if (at < 0 && !w.wrong()) return false
  }
  // The context may sit in r1 only: save it before r1 is written.
  if (context < 0 && w.kind(1).is === 'ctx') {
    code.movReg(6, 1)
    w.set(6, { is: 'ctx' })
  }
  prototype.arguments.forEach((argument, i) => {
    prepare(w, argument, i + 1, map, size, context < 0 ? 6 : context, value, prototype)
  })
  w.code.call(prototype.id)
  const result = prototype.returns
  w.clobber()
  if (prototype.changesPacket === true && prototype.name !== 'tail_call')
    w.state.regs = w.state.regs.map((kind) => (/^packet/.test(kind.is) ? NOTHING : kind))
  w.set(
    0,
    result.base === 'RET_INTEGER'
      ? SCALAR
      : result.base === 'RET_PTR_TO_MAP_VALUE'
        ? { is: 'valueOrNull', size: spec.valueSize || 8 }
        : NOTHING,
  )
  if (result.base === 'RET_PTR_TO_MAP_VALUE' && !w.wrong()) {
    if (map === MAP.outer) w.set(0, NOTHING)
    else nullCheck(w, 0)
  }
  return true
}

function pickMap(w: Writer, name: string): number {
  const fitting = MAP_FOR_HELPER[name]
  if (w.wrong()) return w.random.below(CAMPAIGN_MAPS.length)
  return w.random.pick(fitting ?? ELEMENT_MAPS)
}

function prepare(
  w: Writer,
  argument: ArgumentType,
  register: number,
  map: number,
  size: number,
  context: number,
  value: number,
  prototype: HelperPrototype,
): void {
  const { code, random } = w
  const nullable = argument.flags?.includes('PTR_MAYBE_NULL') === true
  if (w.wrong()) {
    switch (random.below(7)) {
      case 0:
        code.mov(register, random.edge())
        break
      case 1:
        code.movReg(register, 10)
        code.alu(ALU.add, register, -8 * random.below(68))
        break
      case 2:
        code.map(register, random.below(CAMPAIGN_MAPS.length))
        break
      case 3:
        code.movReg(register, context)
        break
      case 4:
        if (value >= 0) code.movReg(register, value)
        break
      case 5: {
        const other = random.between(6, 9)
        code.movReg(register, other)
        break
      }
      default:
      // As it is: perhaps not readable.
    }
    return
  }
  switch (argument.base) {
    case 'ARG_PTR_TO_CTX':
      code.movReg(register, context)
      return
    case 'ARG_CONST_MAP_PTR':
      code.map(register, map)
      return
    case 'ARG_PTR_TO_MAP_KEY':
    case 'ARG_PTR_TO_MAP_VALUE': {
      const bytes = argument.base === 'ARG_PTR_TO_MAP_KEY' ? CAMPAIGN_MAPS[map].keySize : CAMPAIGN_MAPS[map].valueSize
      if (nullable && random.chance(0.3)) code.mov(register, 0)
      else if (bytes > 64) code.mapValue(register, MAP.large, 0)
      else {
        code.movReg(register, 10)
        code.alu(ALU.add, register, random.chance(0.5) ? -64 : -8 * Math.ceil(bytes / 8) || -8)
      }
      return
    }
    case 'ARG_PTR_TO_MEM':
      if (nullable && random.chance(0.2)) code.mov(register, 0)
      else if (random.chance(0.3)) code.mapValue(register, MAP.large, random.below(8) * 4)
      else {
        code.movReg(register, 10)
        code.alu(
          ALU.add,
          register,
          argument.size === 8 ? -8 * random.between(1, 8) : random.chance(0.7) ? -64 : -8 * random.between(1, 8),
        )
      }
      return
    case 'ARG_CONST_SIZE':
    case 'ARG_CONST_SIZE_OR_ZERO':
      if (random.chance(0.25)) {
        // A size that is a range.
        const index = random.between(6, 9)
        if (w.kind(index).is === 'scalar') {
          code.movReg(register, index)
          code.alu(ALU.and, register, random.pick([7, 15, 31, 63]))
          if (argument.base === 'ARG_CONST_SIZE') code.alu(ALU.add, register, random.below(2))
          return
        }
      }
      code.mov(register, random.chance(0.7) ? size : random.pick([0, 1, 8, 32, 33, 64]))
      return
    case 'ARG_CONST_ALLOC_SIZE_OR_ZERO':
      code.mov(register, size)
      return
    case 'ARG_PTR_TO_CONST_STR':
      code.mapValue(register, MAP.rodata, 16)
      return
    case 'ARG_PTR_TO_SOCKET':
    case 'ARG_PTR_TO_SOCK_COMMON':
    case 'ARG_PTR_TO_BTF_ID_SOCK_COMMON':
    case 'ARG_PTR_TO_BTF_ID':
      if (nullable) code.mov(register, 0)
      else code.movReg(register, context)
      return
    default:
      code.mov(register, flagsFor(w, prototype.name))
  }
}

function flagsFor(w: Writer, name: string): number {
  return /redirect|output|update|push|adjust/.test(name) ? w.random.below(3) : w.random.edge()
}

/** Reserves a ring record, tests it, writes, and submits or discards it; sometimes forgets a step. */
export function ringRecord(w: Writer): void {
  const { code, random } = w
  const size = random.pick([1, 8, 16, 24, 64])
  const keep = random.between(6, 9)
  if (w.kind(keep).is === 'ctx' || w.kind(keep).is === 'record') return
  code.map(1, MAP.ring)
  code.mov(2, w.wrong() ? random.edge() : size)
  code.mov(3, 0)
  w.call(helperNumber('ringbuf_reserve') ?? 0, { is: 'recordOrNull', size })
  code.movReg(keep, 0)
  if (!w.wrong()) {
    const fine = code.label()
    code.jumpIf(JMP.jne, random.pick([0, keep]), 0, fine)
    leave(w)
    code.place(fine)
  }
  w.set(0, { is: 'record', size })
  w.set(keep, { is: 'record', size })
  for (let i = random.below(3); i > 0; i--) {
    const bytes = random.pick(SIZES.filter((s) => s <= size))
    code.storeImm(
      bytes,
      keep,
      w.wrong() ? size - bytes + 1 : random.below(Math.floor(size / bytes)) * bytes,
      random.edge(),
    )
  }
  if (w.wrong() && random.chance(0.5)) return
  const submit = (): void => {
    code.movReg(1, keep)
    if (w.wrong()) code.alu(ALU.add, 1, random.pick([8, 0, 1]))
    code.mov(2, 0)
    code.call(helperNumber(random.chance(0.5) ? 'ringbuf_submit' : 'ringbuf_discard') ?? 0)
    w.clobber()
  }
  if (random.chance(0.3)) {
    // Submitted on both sides of a branch, or on one only.
    const other = code.label()
    const end = code.label()
    const index = w.find((kind) => kind.is === 'scalar') ?? 0
    if (w.kind(index).is !== 'scalar' && !w.wrong()) {
      submit()
      w.set(keep, NOTHING)
      return
    }
    code.jumpIf(JMP.jeq, index, random.edge(), other)
    submit()
    code.jump(end)
    code.place(other)
    if (!w.wrong()) submit()
    code.place(end)
  } else submit()
  w.set(keep, NOTHING)
  w.set(0, NOTHING)
  if (w.wrong()) code.load(1, 2, keep, 0)
}

/** Looks a socket up, uses and releases it. */
export function socketReference(w: Writer): void {
  const { code, random } = w
  const facts = { type: PROGRAM_TYPES[w.choice.type], expectedAttachType: 0, sleepable: false }
  const name = random.pick(['sk_lookup_tcp', 'sk_lookup_udp', 'skc_lookup_tcp'])
  const id = helperNumber(name) ?? 0
  if (tables.helper(facts, id) === undefined) {
    ringRecord(w)
    return
  }
  const context = w.state.regs.findIndex((kind, i) => kind.is === 'ctx' && i >= 6)
  if (context < 0) return
  const keep = context === 9 ? 8 : 9
  w.fill(-16, 12)
  code.movReg(1, context)
  code.movReg(2, 10)
  code.alu(ALU.add, 2, -16)
  code.mov(3, w.wrong() ? random.edge() : 12)
  code.mov(4, random.edge())
  code.mov(5, 0)
  w.call(id, NOTHING)
  if (w.wrong()) return
  code.movReg(keep, 0)
  const out = code.label()
  code.jumpIf(JMP.jeq, 0, 0, out)
  const common = name === 'skc_lookup_tcp'
  if (random.chance(0.6)) code.load(4, 2, keep, random.pick(common ? [4, 24] : [0, 4, 8, 16, 24]))
  if (w.wrong()) code.load(random.pick(SIZES), 2, keep, random.between(-1, 90))
  if (!w.wrong()) {
    code.movReg(1, keep)
    code.call(helperNumber('sk_release') ?? 0)
  }
  if (w.wrong()) code.load(4, 2, keep, 4)
  code.place(out)
  w.clobber()
  w.set(keep, NOTHING)
}

export { mapLookup }
