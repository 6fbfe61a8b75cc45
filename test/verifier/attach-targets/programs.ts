/**
 * Programs whose rules depend on what they are attached to: LSM hooks, functions of other programs. Small, in text; what
 * Linux 6.18 answers to each stands in test/fixtures/verifier/attach-targets.json, recorded in a virtual machine.
 */
import { assembleProgram, encodeInstructions } from '../../../src/asm/index.ts'
import { BtfBuilder } from '../../../src/btf/index.ts'
import type { ProgramImage } from '../../../src/spec/index.ts'
import { ATTACH_TYPES, PROGRAM_TYPES } from '../../../src/uapi/index.ts'

export interface AttachedProgram {
  readonly name: string
  readonly image: ProgramImage
  /** Needs the kernel's types to be judged. */
  readonly kernelTypes: boolean
}

const SLEEPABLE = 16

function code(text: string): Uint8Array {
  const { instructions } = assembleProgram(text.split('; ').join('\n'), { file: 'program.s' })
  return encodeInstructions(instructions)
}

function image(name: string, type: number, attach: number, text: string): ProgramImage {
  return {
    name,
    type,
    expectedAttachType: attach,
    insns: code(text),
    license: 'GPL',
    flags: 0,
    maps: [],
    relocations: [],
  }
}

interface FunctionSpec {
  readonly name: string
  /** Slot at which it starts. */
  readonly slot: number
  /** `ctx`, `int`, `long` or `pointer`, a word an argument. */
  readonly params: readonly string[]
  readonly returns?: 'int' | 'long'
  readonly isStatic?: true
}

/** The BTF of functions with their func_info; `context` names the struct behind a `ctx` argument. */
function functionsOf(context: string, functions: readonly FunctionSpec[]): { btf: Uint8Array; funcInfo: Uint8Array } {
  const btf = new BtfBuilder()
  const types: Record<string, number> = {
    int: btf.int('int', 4, { signed: true }),
    long: btf.int('long', 8, { signed: true }),
    ctx: btf.pointer(btf.add({ kind: 'struct', name: context, size: 0, members: [] })),
    pointer: btf.pointer(btf.int('int', 4, { signed: true })),
  }
  const info = new Uint8Array(functions.length * 8)
  const view = new DataView(info.buffer)
  for (const [i, { name, slot, params, returns, isStatic }] of functions.entries()) {
    const proto = btf.add({
      kind: 'func_proto',
      returnType: types[returns ?? 'int'],
      params: params.map((word, at) => ({ name: `a${at}`, type: types[word] })),
    })
    const id = btf.add({ kind: 'func', name, type: proto, linkage: isStatic === true ? 0 : 1 })
    view.setUint32(i * 8, slot, true)
    view.setUint32(i * 8 + 4, id, true)
  }
  return { btf: btf.toBytes(), funcInfo: info }
}

/** A hook, `mac` or `cgroup` (`.s`: sleepable), the program. */
const LSM: readonly (readonly [hook: string, how: string, text: string])[] = [
  ['file_open', 'mac', 'r0 = 0; exit'],
  ['file_open', 'mac.s', 'r0 = 0; exit'],
  ['file_open', 'mac', 'r0 = 1; exit'],
  ['file_open', 'mac', 'r0 = -4095; exit'],
  ['file_open', 'mac', 'r0 = -4096; exit'],
  ['file_open', 'mac', 'r0 = r1; exit'],
  ['file_open', 'mac', 'r0 = *(u64 *)(r1 + 8); exit'],
  ['file_open', 'mac', 'r0 = *(u64 *)(r1 + 8); r0 += 1; exit'],
  ['file_open', 'mac', 'r2 = *(u64 *)(r1 + 16); r0 = 0; exit'],
  ['file_open', 'mac', 'r2 = *(u32 *)(r1 + 0); r0 = 0; exit'],
  ['file_open', 'mac', '*(u64 *)(r1 + 0) = 0; r0 = 0; exit'],
  ['file_open', 'mac', 'r1 = *(u64 *)(r1 + 0); call bpf_get_current_task_btf; r0 = 0; exit'],
  ['file_open', 'cgroup', 'r0 = 1; exit'],
  ['file_open', 'cgroup', 'r0 = 2; exit'],
  ['file_open', 'cgroup', 'r0 = *(u64 *)(r1 + 8); exit'],
  ['file_open', 'mac', 'r2 = 0; r3 = 0; r4 = 0; r5 = 0; call bpf_setsockopt; r0 = 0; exit'],
  ['file_open', 'cgroup', 'r1 = 0; call bpf_set_retval; r0 = 0; exit'],
  ['file_open', 'mac', 'r1 = 0; call bpf_set_retval; r0 = 0; exit'],
  ['file_open', 'cgroup', 'call bpf_get_attach_cookie; r0 = 0; exit'],
  ['file_open', 'mac', 'call bpf_get_attach_cookie; r0 = 0; exit'],
  ['file_free_security', 'mac', 'exit'],
  ['file_free_security', 'mac', 'r1 = *(u64 *)(r1 + 0); r2 = r10; r2 += -8; r3 = 8; call bpf_ima_file_hash; exit'],
  ['file_free_security', 'cgroup', 'r0 = 0; exit'],
  ['file_free_security', 'cgroup', 'r1 = 0; call bpf_set_retval; r0 = 1; exit'],
  ['file_free_security', 'mac.s', 'exit'],
  ['task_free', 'mac', 'r1 = *(u64 *)(r1 + 0); r2 = *(u32 *)(r1 + 0); exit'],
  ['inode_xattr_skipcap', 'mac', 'r0 = 1; exit'],
  ['inode_xattr_skipcap', 'mac', 'r0 = -1; exit'],
  ['getprocattr', 'mac', 'r0 = 0; exit'],
  ['func_proto', 'mac', 'r0 = 0; exit'],
  ['audit_rule_init', 'mac', 'r2 = *(u64 *)(r1 + 24); r0 = 0; exit'],
  [
    'sock_graft',
    'cgroup',
    'r1 = *(u64 *)(r1 + 0); r2 = 1; r3 = 2; r4 = r10; r4 += -8; *(u64 *)(r10 - 8) = 0; r5 = 4; call bpf_setsockopt; r0 = 1; exit',
  ],
  ['bprm_committed_creds', 'mac.s', 'r1 = *(u64 *)(r1 + 0); r2 = 1; call bpf_bprm_opts_set; exit'],
]

/** entry calls shared(int), grows(ctx), which moves the packet, and the static quiet(int). */
const XDP_TARGET: ProgramImage = {
  ...image(
    'entry',
    PROGRAM_TYPES.xdp,
    0,
    'r6 = r1; r1 = 1; call pc+6; r1 = r6; call pc+6; r1 = 2; call pc+8; r0 = 2; exit; r0 = r1; exit; ' +
      'r2 = 0; call bpf_xdp_adjust_head; r0 = 0; exit; r0 = 3; exit',
  ),
  ...functionsOf('xdp_md', [
    { name: 'entry', slot: 0, params: ['ctx'] },
    { name: 'shared', slot: 9, params: ['int'] },
    { name: 'grows', slot: 11, params: ['ctx'] },
    { name: 'quiet', slot: 15, params: ['int'], isStatic: true },
  ]),
}

const SKB_TARGET: ProgramImage = {
  ...image('filter', PROGRAM_TYPES.cgroup_skb, ATTACH_TYPES.cgroup_inet_ingress, 'r0 = 1; exit'),
  ...functionsOf('__sk_buff', [{ name: 'filter', slot: 0, params: ['ctx'] }]),
}

const TRACER: ProgramImage = {
  ...image('tracer', PROGRAM_TYPES.tracing, ATTACH_TYPES.trace_fentry, 'r0 = 0; exit'),
  ...functionsOf('anything', [{ name: 'tracer', slot: 0, params: ['pointer'] }]),
  attachTo: { name: 'entry', program: XDP_TARGET },
}

const EXTENSION: ProgramImage = {
  ...image('instead', PROGRAM_TYPES.ext, 0, 'r0 = 5; exit'),
  ...functionsOf('xdp_md', [{ name: 'instead', slot: 0, params: ['ctx'] }]),
  attachTo: { name: 'entry', program: XDP_TARGET },
}

const RAW_TARGET: ProgramImage = {
  ...image('watch', PROGRAM_TYPES.raw_tracepoint, 0, 'r0 = 5; exit'),
  ...functionsOf('bpf_raw_tracepoint_args', [{ name: 'watch', slot: 0, params: ['ctx'] }]),
}

/** The context's struct, where it is not XDP's. */
const CONTEXTS: ReadonlyMap<ProgramImage, string> = new Map([
  [SKB_TARGET, '__sk_buff'],
  [RAW_TARGET, 'bpf_raw_tracepoint_args'],
])

/** Target, its function, own arguments, the program. */
const EXTENSIONS: readonly (readonly [
  name: string,
  target: ProgramImage,
  of: string,
  params: readonly string[],
  text: string,
])[] = [
  ['entry', XDP_TARGET, 'entry', ['ctx'], 'r0 = 77; exit'],
  ['entry, reading its context', XDP_TARGET, 'entry', ['ctx'], 'r2 = *(u32 *)(r1 + 0); r0 = 0; exit'],
  ['entry, another argument than it has', XDP_TARGET, 'entry', ['ctx'], 'r0 = r2; exit'],
  ['entry, with two arguments', XDP_TARGET, 'entry', ['ctx', 'int'], 'r0 = 0; exit'],
  ['entry, with a number', XDP_TARGET, 'entry', ['int'], 'r0 = 0; exit'],
  ['entry, moving the packet', XDP_TARGET, 'entry', ['ctx'], 'r2 = 0; call bpf_xdp_adjust_head; r0 = 0; exit'],
  ['shared', XDP_TARGET, 'shared', ['int'], 'r0 = r1; exit'],
  ['shared, with a longer number', XDP_TARGET, 'shared', ['long'], 'r0 = r1; exit'],
  ['shared, with a pointer', XDP_TARGET, 'shared', ['pointer'], 'r0 = 0; exit'],
  [
    'shared, moving the packet',
    XDP_TARGET,
    'shared',
    ['int'],
    'r1 = 0; r2 = 0; call bpf_xdp_adjust_head; r0 = 0; exit',
  ],
  ['shared, as a context', XDP_TARGET, 'shared', ['int'], 'r0 = *(u32 *)(r1 + 0); exit'],
  ['grows, moving the packet', XDP_TARGET, 'grows', ['ctx'], 'r2 = 0; call bpf_xdp_adjust_head; r0 = 0; exit'],
  ['quiet', XDP_TARGET, 'quiet', ['int'], 'r0 = 0; exit'],
  ['filter', SKB_TARGET, 'filter', ['ctx'], 'r0 = 1; exit'],
  ['filter, with a result that it may not have', SKB_TARGET, 'filter', ['ctx'], 'r0 = 2; exit'],
  ['watch', RAW_TARGET, 'watch', ['ctx'], 'r0 = 0; exit'],
  ['watch, with a result that only the original may have', RAW_TARGET, 'watch', ['ctx'], 'r0 = 5; exit'],
  ['tracer', TRACER, 'tracer', ['pointer'], 'r0 = 0; exit'],
  ['instead', EXTENSION, 'instead', ['ctx'], 'r0 = 0; exit'],
]

const { trace_fentry: ENTRY, trace_fexit: RETURN, modify_return: CHANGE, trace_raw_tp: TRACEPOINT } = ATTACH_TYPES

const TRACERS: readonly (readonly [target: ProgramImage, of: string, attach: number, text: string, flags?: number])[] =
  [
    [XDP_TARGET, 'entry', ENTRY, 'r0 = 0; exit'],
    [XDP_TARGET, 'entry', ENTRY, 'r0 = 1; exit'],
    [XDP_TARGET, 'entry', ENTRY, 'r0 = 0; exit', SLEEPABLE],
    [XDP_TARGET, 'entry', ENTRY, 'r2 = *(u64 *)(r1 + 0); r3 = *(u32 *)(r2 + 40); r0 = 0; exit'],
    [XDP_TARGET, 'entry', ENTRY, 'r2 = *(u64 *)(r1 + 8); r0 = 0; exit'],
    [XDP_TARGET, 'entry', RETURN, 'r2 = *(u64 *)(r1 + 8); r0 = 0; exit'],
    [XDP_TARGET, 'entry', RETURN, 'r2 = *(u64 *)(r1 + 16); r0 = 0; exit'],
    [XDP_TARGET, 'shared', RETURN, 'r2 = *(u64 *)(r1 + 0); r0 = 0; exit'],
    [XDP_TARGET, 'quiet', ENTRY, 'r2 = *(u64 *)(r1 + 0); r0 = 0; exit'],
    [XDP_TARGET, 'entry', CHANGE, 'r0 = 0; exit'],
    [XDP_TARGET, 'entry', TRACEPOINT, 'r0 = 0; exit'],
    [TRACER, 'tracer', ENTRY, 'r2 = *(u64 *)(r1 + 32); r0 = 0; exit'],
    [TRACER, 'tracer', ENTRY, 'r2 = *(u64 *)(r1 + 40); r0 = 0; exit'],
    [TRACER, 'tracer', RETURN, 'r2 = *(u64 *)(r1 + 40); r0 = 0; exit'],
    [EXTENSION, 'instead', ENTRY, 'r2 = *(u64 *)(r1 + 0); r0 = 0; exit'],
  ]

const ATTACH_NAMES: Readonly<Record<number, string>> = {
  [ENTRY]: 'fentry',
  [RETURN]: 'fexit',
  [CHANGE]: 'fmod_ret',
  [TRACEPOINT]: 'tp_btf',
}

export function attachedPrograms(): AttachedProgram[] {
  const lsm = LSM.map(([hook, how, text]) => ({
    name: `lsm ${how} ${hook}: ${text}`,
    kernelTypes: true,
    image: {
      ...image('hook', PROGRAM_TYPES.lsm, how.startsWith('mac') ? ATTACH_TYPES.lsm_mac : ATTACH_TYPES.lsm_cgroup, text),
      flags: how.endsWith('.s') ? SLEEPABLE : 0,
      attachTo: { name: hook },
    },
  }))
  const extensions = EXTENSIONS.map(([name, program, of, params, text]) => ({
    name: `freplace ${name}: ${text}`,
    kernelTypes: false,
    image: {
      ...image('instead', PROGRAM_TYPES.ext, 0, text),
      ...functionsOf(CONTEXTS.get(program) ?? 'xdp_md', [{ name: 'instead', slot: 0, params }]),
      attachTo: { name: of, program },
    },
  }))
  const tracers = TRACERS.map(([program, of, attach, text, flags = 0]) => ({
    name: `${ATTACH_NAMES[attach]}${flags === 0 ? '' : '.s'} of ${of}: ${text}`,
    kernelTypes: true,
    image: { ...image('tracer', PROGRAM_TYPES.tracing, attach, text), flags, attachTo: { name: of, program } },
  }))
  return [...lsm, ...extensions, ...tracers]
}
