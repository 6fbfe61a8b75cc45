import { value } from './objects.ts'
import { type SiteProgram, withSlot } from './program.ts'
import { THING, TYPES } from './world.ts'

const END = 'out: r0 = 0; exit'
const tc = { type: 'sched_cls' } as const
const stack = (register: number, offset: number): string => `r${register} = r10; r${register} += -${offset}`
const thrown = 'r1 = 0; call bpf_throw'

/** A tag of the main function that names the one that runs when the program throws. */
const onThrow =
  (...names: readonly string[]): SiteProgram['types'] =>
  (b, { main }) => {
    for (const name of names)
      b.addDistinct({ kind: 'decl_tag', name: `exception_callback:${name}`, type: main, component: -1 })
  }

const takes = (tags: readonly string[], type: number): Pick<SiteProgram, 'functions' | 'program' | 'says'> => ({
  functions: { other: { global: true, params: [type], tags } },
  program: 'r1 = 0; call other; r0 = 0; exit; other: r0 = 0; exit',
  says: "Caller passes invalid args into func#1 ('other')",
})

/** Arguments of global functions: the words that say what is wrong stand before the last line. */
export const ARGUMENTS: readonly SiteProgram[] = [
  { ...tc, name: 'a context that is said not to be null', ...takes(['ctx', 'nonnull'], TYPES.context) },
  { ...tc, name: 'a dynptr that is said not to be null', ...takes(['nonnull'], TYPES.dynptr) },
  { ...tc, name: 'a trusted pointer that is said not to be null', ...takes(['trusted', 'nonnull'], TYPES.taskPointer) },
  { ...tc, name: 'an untrusted pointer that may be null', ...takes(['untrusted', 'nullable'], TYPES.taskPointer) },
  { ...tc, name: 'a trusted pointer to nothing', ...takes(['trusted'], TYPES.nothing) },
  { ...tc, name: "a trusted pointer to the program's own struct", ...takes(['trusted'], TYPES.scalarsPointer) },
  { ...tc, name: 'a number for a trusted pointer', ...takes(['trusted'], TYPES.taskPointer) },
]

/** Functions of the program: calls, callbacks, exceptions, depth. */
export const FUNCTIONS: readonly SiteProgram[] = [
  {
    ...tc,
    name: 'two functions for what is thrown',
    types: onThrow('f_one', 'f_two'),
    functions: { f_one: { global: true, params: [TYPES.word] }, f_two: { global: true, params: [TYPES.word] } },
    program: `${thrown}; exit; f_one: r0 = 0; exit; f_two: r0 = 0; exit`,
    says: 'multiple exception callback tags for main subprog',
  },
  {
    ...tc,
    name: 'no such function for what is thrown',
    types: onThrow('nothing'),
    program: `${thrown}; exit`,
    says: "exception callback 'nothing' could not be found in BTF",
  },
  {
    ...tc,
    name: 'a static function for what is thrown',
    types: onThrow('f_caught'),
    program: `${thrown}; exit; f_caught: r0 = 0; exit`,
    says: "exception callback 'f_caught' must have global linkage",
  },
  {
    ...tc,
    name: 'the main function for what is thrown',
    types: onThrow('main'),
    program: `${thrown}; exit`,
    says: 'invalid exception callback insn_off in func_info: 0',
  },
  {
    ...tc,
    name: 'two arguments for what is thrown',
    types: onThrow('f_caught'),
    functions: { f_caught: { global: true, params: [TYPES.word, TYPES.word] } },
    program: `${thrown}; exit; f_caught: r0 = 0; exit`,
    says: 'exception cb only supports single integer argument',
  },
  {
    ...tc,
    name: 'a tail call where a throw is caught',
    types: onThrow('f_caught'),
    functions: { f_caught: { global: true, params: [TYPES.word] } },
    program: `${thrown}; exit; f_caught: call body; r0 = 0; exit; body: r2 = 0; if r2 == 0 goto out; r2 = progs ll; r3 = 0; call bpf_tail_call; ${END}`,
    says: 'cannot tail call within exception cb',
  },
  {
    ...tc,
    name: 'a throw inside a callback',
    program: `r1 = array ll; r2 = each ll; r3 = 0; r4 = 0; call bpf_for_each_map_elem; r0 = 0; exit; each: ${thrown}; exit`,
    says: 'bpf_throw kfunc (insn 10) cannot be called from callback subprog 1',
  },
  {
    ...tc,
    name: 'a global function as a callback',
    functions: { each: { global: true, params: [TYPES.int] } },
    program:
      'r1 = array ll; r2 = each ll; r3 = 0; r4 = 0; call bpf_for_each_map_elem; r0 = 0; exit; each: r0 = 0; exit',
    says: 'callback function not static',
  },
  {
    ...tc,
    name: 'a global function called with a lock held',
    functions: { other: { global: true } },
    program: `${value('things')}; r1 = r6; r1 += ${THING.lock}; call bpf_spin_lock; call other; r1 = r6; r1 += ${THING.lock}; call bpf_spin_unlock; ${END}; other: r0 = 0; exit`,
    says: 'use static function instead',
  },
  {
    type: 'syscall',
    flags: ['sleepable'],
    name: 'a global function that sleeps, in an RCU section',
    functions: { other: { global: true } },
    program: `call bpf_rcu_read_lock; call other; call bpf_rcu_read_unlock; r0 = 0; exit; other: ${stack(1, 8)}; r2 = 8; r3 = 0; call bpf_copy_from_user; r0 = 0; exit`,
    says: 'a non-sleepable BPF program context',
  },
  {
    ...tc,
    name: 'more callbacks that run later than the verifier keeps',
    program: `${value('things')}; r7 = 0; again: r1 = r6; r2 = later ll; call bpf_timer_set_callback; r7 += 1; if r7 < 8200 goto again; ${END}; later: r0 = 0; exit`,
    says: 'The sequence of 8193 jumps is too complex for async cb.',
  },
  {
    ...tc,
    name: 'more maps than a program may have',
    program: `${Array.from({ length: 65 }, (_, i) => `r1 = m${i} ll`).join('; ')}; r0 = 0; exit`,
    says: 'The total number of maps per program has reached the limit of 64',
  },
  {
    ...tc,
    name: 'a function for what is thrown, behind the end',
    types: onThrow('f_caught'),
    functions: { f_caught: { global: true, params: [TYPES.word] } },
    program: `${thrown}; exit; f_caught: r0 = 0; exit`,
    change: (image) => ({ ...image, funcInfo: image.funcInfo?.with(8, 200) }),
    says: 'call to invalid destination',
  },
  {
    ...tc,
    name: 'a variable of the kernel that is none',
    program: 'r1 = 0 ll; r0 = 0; exit',
    change: (image) => withSlot(image, 0, '18310000ffffff7f'),
    says: 'ldimm64 insn specifies invalid btf_id 2147483647.',
  },
  {
    ...tc,
    name: 'nothing for a variable of the kernel',
    program: 'r1 = 0 ll; r0 = 0; exit',
    change: (image) => withSlot(image, 0, '1831000000000000'),
    says: "pseudo btf_id 0 in ldimm64 isn't KIND_VAR or KIND_FUNC",
  },
  {
    ...tc,
    name: 'a map that is not there',
    program: 'r1 = array ll; r0 = 0; exit',
    change: (image) => ({ ...image, maps: [] }),
    says: 'fd 0 is not pointing to valid bpf_map',
    notHere: 'no load makes such an image',
  },
  {
    ...tc,
    name: 'a callback that runs later and gives a pointer',
    program: `${value('things')}; r1 = r6; r2 = later ll; call bpf_timer_set_callback; ${END}; later: r0 = r3; exit`,
    says: 'At async callback return the register R0 is not a known value (map_value)',
  },
  {
    ...tc,
    name: 'two arenas',
    program: 'r1 = arena ll; r1 = other_arena ll; r0 = 0; exit',
    says: 'Only one arena per program',
  },
]
