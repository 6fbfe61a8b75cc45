/** Programs that replace or trace functions of other programs, which are generated too. */
import type { ProgramImage } from '../../../../src/spec/index.ts'
import {
  ATTACH_TYPES,
  helperNumber,
  PROGRAM_FLAGS,
  PROGRAM_TYPES,
  type ProgramType,
} from '../../../../src/uapi/index.ts'
import { ALU, Code, encodeSlots, type Label } from '../../verifier/code.ts'
import type { Random } from '../../verifier/random.ts'
import {
  anyParameters,
  anyResult,
  describe,
  type FunctionWords,
  KPROBE_CONTEXT,
  type ParameterWord,
} from './prototypes.ts'
import { type Argument, type Site, type SiteMaker, TRAMPOLINE } from './site.ts'

interface TargetType {
  readonly type: ProgramType
  readonly attach?: keyof typeof ATTACH_TYPES
  readonly context: string
  /** A helper that moves the packet: what calls it cannot keep pointers to it. */
  readonly moves?: string
  /** What its main function may return. */
  readonly returns?: number
}

const TARGETS: readonly TargetType[] = [
  { type: 'xdp', context: 'xdp_md', moves: 'xdp_adjust_head', returns: 2 },
  { type: 'sched_cls', context: '__sk_buff', moves: 'skb_pull_data' },
  { type: 'socket_filter', context: '__sk_buff' },
  { type: 'cgroup_skb', attach: 'cgroup_inet_ingress', context: '__sk_buff', returns: 1 },
  { type: 'lwt_xmit', context: '__sk_buff', moves: 'skb_pull_data' },
  { type: 'sk_skb', context: '__sk_buff', moves: 'skb_pull_data' },
  { type: 'sk_msg', context: 'sk_msg_md', moves: 'msg_pull_data', returns: 1 },
  { type: 'sock_ops', attach: 'cgroup_sock_ops', context: 'bpf_sock_ops', returns: 1 },
  { type: 'cgroup_sock', attach: 'cgroup_inet_sock_create', context: 'bpf_sock', returns: 1 },
  { type: 'cgroup_sock_addr', attach: 'cgroup_inet4_connect', context: 'bpf_sock_addr', returns: 1 },
  { type: 'cgroup_device', attach: 'cgroup_device', context: 'bpf_cgroup_dev_ctx', returns: 1 },
  { type: 'cgroup_sysctl', attach: 'cgroup_sysctl', context: 'bpf_sysctl', returns: 1 },
  { type: 'cgroup_sockopt', attach: 'cgroup_getsockopt', context: 'bpf_sockopt', returns: 1 },
  { type: 'sk_lookup', attach: 'sk_lookup', context: 'bpf_sk_lookup', returns: 1 },
  { type: 'flow_dissector', context: '__sk_buff' },
  { type: 'kprobe', context: KPROBE_CONTEXT },
  { type: 'perf_event', context: 'bpf_perf_event_data' },
  { type: 'raw_tracepoint', context: 'bpf_raw_tracepoint_args' },
]

interface Target {
  readonly image: ProgramImage
  readonly type: TargetType
  readonly functions: readonly FunctionWords[]
}

/** Puts an argument of this kind into a register; the context is in register 6. */
function pass(code: Code, register: number, word: ParameterWord): void {
  if (word === 'ctx') code.movReg(register, 6)
  else if (word === 'pointer' || word === 'struct') {
    code.storeImm(8, 10, -16, 0).storeImm(8, 10, -8, 0)
    code.movReg(register, 10).alu(ALU.add, register, -16)
  } else code.mov(register, register)
}

function body(code: Code, random: Random, { parameters, result }: FunctionWords, { moves }: TargetType): void {
  const context = parameters.indexOf('ctx')
  if (moves !== undefined && context >= 0 && random.chance(0.3)) {
    code.movReg(1, context + 1)
    code.mov(2, 0).mov(3, 0).mov(4, 0)
    code.call(helperNumber(moves) ?? 0)
  }
  if (result !== 'void' || random.chance(0.5)) code.mov(0, random.below(3))
  else code.mov(0, 0)
  code.exit()
}

/** A main function that calls one to three others, mostly global ones. */
function target(random: Random): Target {
  const type = random.pick(TARGETS)
  const code = new Code()
  const others = Array.from({ length: random.below(4) }, (_, i) => {
    const isStatic = random.chance(0.25)
    const result = isStatic && random.chance(0.3) ? 'void' : anyResult(random)
    return { name: `part${i}`, parameters: anyParameters(random), result, isStatic } as const
  })
  const labels: Label[] = others.map(() => code.label())
  code.movReg(6, 1)
  others.forEach(({ parameters }, i) => {
    parameters.forEach((word, at) => {
      pass(code, at + 1, word)
    })
    code.callLocal(labels[i])
  })
  code.mov(0, type.returns ?? 0).exit()
  const functions: FunctionWords[] = [
    { name: 'entry', slot: 0, parameters: random.chance(0.9) ? ['ctx'] : anyParameters(random), result: 'int' },
  ]
  others.forEach((words, i) => {
    code.place(labels[i])
    functions.push({ ...words, slot: code.here })
    body(code, random, functions[i + 1], type)
  })
  const image: ProgramImage = {
    name: 'target',
    type: PROGRAM_TYPES[type.type],
    expectedAttachType: type.attach === undefined ? 0 : ATTACH_TYPES[type.attach],
    insns: encodeSlots(code.finish()),
    license: 'GPL',
    flags: 0,
    maps: [],
    relocations: [],
    ...(random.chance(0.04) ? {} : describe(type.context, functions)),
  }
  return { image, type, functions }
}

const wordOf = (word: ParameterWord): Argument => ({
  isPointer: word === 'ctx' || word === 'pointer' || word === 'struct',
})

/** The target's function, or a name that it does not have. */
function chosen(random: Random, functions: readonly FunctionWords[]): FunctionWords {
  return random.chance(0.02) ? { ...functions[0], name: 'nobody' } : random.pick(functions)
}

/** What the replacement says it is: the same, or something a little different. */
function claim(random: Random, words: FunctionWords, context: string): { words: FunctionWords; context: string } {
  const same = { ...words, name: 'replacement', slot: 0, isStatic: false }
  if (random.chance(0.78)) return { words: same, context }
  switch (random.below(6)) {
    case 0:
      return { words: { ...same, parameters: anyParameters(random) }, context }
    case 1:
      return { words: { ...same, result: anyResult(random) }, context }
    case 2:
      return { words: { ...same, isStatic: true }, context }
    case 3:
      return { words: same, context: random.pick(TARGETS).context }
    case 4:
      return { words: { ...same, parameters: [...words.parameters, 'int'] }, context }
    default:
      return { words: { ...same, name: words.name, result: 'pointer' }, context }
  }
}

/** Extensions: they run in place of a function, with its context, helpers and results. */
export const extensionSites: SiteMaker = (random) => {
  const { image, type, functions } = target(random)
  const words = chosen(random, functions)
  const said = claim(random, words, type.context)
  return {
    what: `${type.type} ${words.name}(${words.parameters.join(',')})`,
    type: PROGRAM_TYPES.ext,
    attachType: random.chance(0.02) ? ATTACH_TYPES.trace_fentry : 0,
    flags: random.chance(0.05) ? PROGRAM_FLAGS.sleepable : 0,
    target: { attachTo: { name: words.name, program: image } },
    arguments: words.parameters.map(wordOf),
    helpersOf: { type: image.type, expectedAttachType: image.expectedAttachType, sleepable: false },
    registers: {
      context: words.parameters.indexOf('ctx') + 1,
      pointers: words.parameters.flatMap((word, at) => (word === 'pointer' || word === 'struct' ? [at + 1] : [])),
    },
    ...(random.chance(0.03) ? {} : { own: describe(said.context, [said.words]) }),
  }
}

/** fentry, fexit and what else might be tried on a function of a program. */
export const tracerSites: SiteMaker = (random): Site => {
  const { image, type, functions } = target(random)
  const words = chosen(random, functions)
  const [way, attachType] = random.weighted<readonly [string, number]>([
    [6, ['fentry', ATTACH_TYPES.trace_fentry]],
    [6, ['fexit', ATTACH_TYPES.trace_fexit]],
    [1, ['fmod_ret', ATTACH_TYPES.modify_return]],
    [1, ['raw_tp', ATTACH_TYPES.trace_raw_tp]],
  ])
  return {
    what: `${type.type} ${words.name}(${words.parameters.join(',')}) ${way}`,
    type: PROGRAM_TYPES.tracing,
    attachType,
    flags: random.chance(0.05) ? PROGRAM_FLAGS.sleepable : 0,
    target: { attachTo: { name: words.name, program: image } },
    arguments: words.parameters.map(wordOf),
    helpersOf: TRAMPOLINE,
  }
}
