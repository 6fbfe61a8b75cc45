import type { SiteProgram } from './program.ts'
import { TYPES } from './world.ts'

const notHere =
  'programs that replace or trace others are refused by the policy of the machine that this was written on'
const ends = { program: 'r0 = 0; exit' }
const main = (...params: number[]): Pick<SiteProgram, 'functions'> => ({ functions: { main: { params } } })

/** What is replaced and traced: `main` takes a context, the others what their names say. */
const ONTO: SiteProgram = {
  name: 'target',
  type: 'sched_cls',
  functions: {
    main: { params: [TYPES.context] },
    number: { global: true, params: [TYPES.int] },
    memory: { global: true, params: [TYPES.scalarsPointer] },
    word: { global: true, params: [TYPES.wordPointer] },
    f_caught: { global: true, params: [TYPES.word] },
  },
  types: (b, functions) => {
    b.addDistinct({ kind: 'decl_tag', name: 'exception_callback:f_caught', type: functions.main, component: -1 })
    const proto = b.add({ kind: 'func_proto', returnType: TYPES.int, params: [] })
    b.addDistinct({ kind: 'func', name: 'ghost', type: proto, linkage: 1 })
  },
  program: `*(u64 *)(r10 - 8) = 0; r1 = 0; call number; r1 = r10; r1 += -8; call memory; r1 = r10; r1 += -8; call word;
    r1 = 0; call bpf_throw; exit; number: r0 = 0; exit; memory: r0 = 0; exit; word: r0 = 0; exit; f_caught: r0 = 0; exit`,
  says: '',
}
const UNTYPED: SiteProgram = { name: 'target', type: 'sched_cls', bare: true, ...ends, says: '' }

const trace = { type: 'tracing', attach: 'trace_fentry', notHere, ...ends } as const
const replace = { type: 'ext', notHere, ...ends } as const

const TRACER: SiteProgram = {
  ...trace,
  name: 'tracer',
  onto: ONTO,
  target: 'main',
  functions: { main: { global: true, params: [TYPES.wordPointer], tags: ['ctx'] } },
  says: '',
}
const TRACER_OF_TRACER: SiteProgram = { ...trace, name: 'tracer of a tracer', onto: TRACER, target: 'main', says: '' }

/** Programs that replace or trace a function of another program. */
export const EXTENSIONS: readonly SiteProgram[] = [
  {
    ...trace,
    name: 'no function of the other program',
    onto: ONTO,
    target: 'main',
    targetId: 0,
    says: 'Tracing programs must provide btf_id',
  },
  {
    ...trace,
    name: 'a function of a program without types',
    onto: UNTYPED,
    target: 'main',
    targetId: 1,
    says: 'FENTRY/FEXIT program can only be attached to another program annotated with BTF',
  },
  {
    ...trace,
    name: 'a type that the other program does not have',
    onto: ONTO,
    target: 'main',
    targetId: 9999,
    says: 'attach_btf_id 9999 is invalid',
  },
  {
    ...trace,
    name: 'a function that the other program only declares',
    onto: ONTO,
    target: 'ghost',
    says: "Subprog ghost doesn't exist",
  },
  {
    ...trace,
    name: 'the function that catches',
    onto: ONTO,
    target: 'f_caught',
    says: 'FENTRY/FEXIT programs cannot attach to exception callback',
  },
  {
    ...trace,
    name: 'a tracer of a tracer of a tracer',
    onto: TRACER_OF_TRACER,
    target: 'main',
    says: 'Cannot nest tracing program attach more than once',
  },
  {
    ...replace,
    name: 'instead of a tracer',
    onto: TRACER,
    target: 'main',
    says: 'Cannot extend fentry/fexit',
  },
  {
    ...replace,
    name: 'sleep instead of what does not',
    onto: ONTO,
    target: 'number',
    ...main(TYPES.int),
    program: 'r1 = r10; r1 += -8; r2 = 8; r3 = 0; r4 = 0; call bpf_copy_from_user_str; r0 = 0; exit',
    says: 'Extension program may sleep, while original does not',
  },
  {
    ...replace,
    name: 'an extension without types',
    onto: ONTO,
    target: 'number',
    bare: true,
    says: 'Program extension requires BTF',
  },
  {
    ...replace,
    name: 'a static extension',
    onto: ONTO,
    target: 'number',
    functions: { main: { global: false, params: [TYPES.int] } },
    says: 'main() is not a global function',
  },
  {
    ...replace,
    name: 'no result instead of a number',
    onto: ONTO,
    target: 'number',
    functions: { main: { params: [TYPES.int], returns: 0 } },
    says: "Return type UNKNOWN of main() doesn't match type INT of number()",
  },
  {
    ...replace,
    name: 'memory instead of memory',
    onto: ONTO,
    target: 'word',
    ...main(TYPES.wordPointer),
    says: 'arg0 in main() is not a pointer to context',
  },
  {
    ...replace,
    name: 'a context instead of memory',
    onto: ONTO,
    target: 'word',
    ...main(TYPES.context),
    says: 'arg0 in word() is not a pointer to context',
  },
  {
    ...replace,
    name: 'a struct instead of another',
    onto: ONTO,
    target: 'memory',
    ...main(TYPES.context),
    says: "arg0 main(struct __sk_buff *) doesn't match memory(struct site_scalars *)",
  },
]
