import type { SiteProgram } from './program.ts'
import { THING, TYPES } from './world.ts'

/** r6 = the first value of a map, or the program ends. */
export const value = (map: string, register = 6): string =>
  `*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = ${map} ll; call bpf_map_lookup_elem; if r0 == 0 goto out; r${register} = r0`
const field = (offset: number, register = 1, from = 6): string => `r${register} = r${from}; r${register} += ${offset}`
const END = 'out: r0 = 0; exit'
/** r7 = a new object of a type, or the program ends. */
const make = (type: number, register = 7, how = 'bpf_obj_new_impl'): string =>
  `r1 = ${type} ll; r2 = 0; call ${how}; if r0 == 0 goto out; r${register} = r0`
const lock = `${field(THING.lock)}; call bpf_spin_lock`
const unlock = `${field(THING.lock)}; call bpf_spin_unlock`
/** A scalar of 0 or 8 in a register, unknown which. */
export const unknown = (register: number): string => `call bpf_get_prandom_u32; r${register} = r0; r${register} &= 8`
/** Takes the first node of the tree, with the lock held, as r7. */
const first = `${field(THING.tree)}; call bpf_rbtree_first; if r0 == 0 goto none; r7 = r0`
const NONE = `none: ${unlock}; ${END}`
/** Adds the node in r7 to the tree; the comparison follows. */
const add = `${field(THING.tree)}; r2 = r7; r2 += 32; r3 = less ll; r4 = 0; r5 = 0; call bpf_rbtree_add_impl`
/** As {@link comparison}, all in the only value of a map, which the comparison reaches too. */
const inside = (body: string): string =>
  `${make(TYPES.node)}; r1 = map[only][0]+${THING.lock}; call bpf_spin_lock; r1 = map[only][0]+${THING.tree}; r2 = r7; r2 += 32; r3 = less ll; r4 = 0; r5 = 0; call bpf_rbtree_add_impl; r1 = map[only][0]+${THING.lock}; call bpf_spin_unlock; ${END}; less: ${body}; r0 = 0; exit`
const comparison = (body: string): string =>
  `${value('things')}; ${make(TYPES.node)}; ${lock}; ${add}; ${unlock}; ${END}; less: ${body}; r0 = 0; exit`

const tc = { type: 'sched_cls' } as const

/** Objects of the program, lists and trees. */
export const GRAPHS: readonly SiteProgram[] = [
  {
    ...tc,
    name: 'drop of a per-CPU object as a plain one',
    program: `${make(TYPES.scalars, 7, 'bpf_percpu_obj_new_impl')}; r1 = r7; r2 = 0; call bpf_obj_drop_impl; ${END}`,
    says: 'arg#0 expected for bpf_percpu_obj_drop_impl()',
  },
  {
    ...tc,
    name: 'drop of a plain object as a per-CPU one',
    program: `${make(TYPES.scalars)}; r1 = r7; r2 = 0; call bpf_percpu_obj_drop_impl; ${END}`,
    says: 'arg#0 expected for bpf_obj_drop_impl()',
  },
  {
    ...tc,
    name: 'drop of what is no object',
    program: `call bpf_get_current_task_btf; r1 = r0; r2 = 0; call bpf_obj_drop_impl; ${END}`,
    says: 'arg#0 expected pointer to allocated object',
  },
  {
    ...tc,
    name: 'drop through a sum that forgot its reference',
    program: `${make(TYPES.scalars)}; r1 = 0; r1 += r7; r2 = 0; call bpf_obj_drop_impl; ${END}`,
    says: 'allocated object must be referenced',
  },
  {
    ...tc,
    name: 'drop of an object that only RCU keeps',
    program: `${value('things')}; call bpf_rcu_read_lock; r1 = *(u64 *)(r6 + ${THING.node}); if r1 == 0 goto none; r2 = 0; call bpf_obj_drop_impl; none: call bpf_rcu_read_unlock; ${END}`,
    says: 'R1 must be referenced or trusted',
  },
  {
    ...tc,
    name: 'count of a map value',
    program: `${value('things')}; r1 = r6; r2 = 0; call bpf_refcount_acquire_impl; ${END}`,
    says: 'arg#0 is neither owning or non-owning ref',
  },
  {
    ...tc,
    name: 'count of an object without a counter',
    program: `${make(TYPES.twin)}; r1 = r7; r2 = 0; call bpf_refcount_acquire_impl; ${END}`,
    says: "arg#0 doesn't point to a type with bpf_refcount field",
  },
  {
    ...tc,
    name: 'count of an object without special fields',
    program: `${make(TYPES.scalars)}; r1 = r7; r2 = 0; call bpf_refcount_acquire_impl; ${END}`,
    says: "verifier bug: Couldn't find btf_record",
  },
  {
    ...tc,
    name: 'a list head on the stack',
    program: 'r1 = r10; r1 += -16; call bpf_list_pop_front; r0 = 0; exit',
    says: 'arg#0 expected pointer to map value or allocated object',
  },
  {
    ...tc,
    name: 'a list head through a sum that forgot its reference',
    program: `${make(TYPES.head)}; r1 = 0; r1 += r7; call bpf_list_pop_front; ${END}`,
    says: 'allocated object must be referenced',
  },
  {
    ...tc,
    name: 'a node through a sum that forgot its reference',
    program: `${value('things')}; ${make(TYPES.node)}; r8 = 0; r8 += r7; ${lock}; ${field(THING.list)}; r2 = r8; r2 += 8; r3 = 0; r4 = 0; call bpf_list_push_front_impl; ${END}`,
    says: 'allocated object must be referenced',
  },
  {
    ...tc,
    name: 'a list head at an unknown offset',
    program: `${value('things')}; ${unknown(8)}; ${lock}; ${field(THING.list)}; r1 += r8; call bpf_list_pop_front; ${END}`,
    says: "R1 doesn't have constant offset. bpf_list_head has to be at the constant offset",
  },
  {
    ...tc,
    name: 'a list head where the tree is',
    program: `${value('things')}; ${lock}; ${field(THING.tree)}; call bpf_list_pop_front; ${END}`,
    says: `bpf_list_head not found at offset=${THING.tree}`,
  },
  {
    ...tc,
    name: 'a list without its lock',
    program: `${value('things')}; ${field(THING.list)}; call bpf_list_pop_front; ${END}`,
    says: `bpf_spin_lock at off=${THING.lock} must be held for bpf_list_head`,
  },
  {
    ...tc,
    name: 'a node that is no object',
    program: `${value('things')}; ${lock}; ${field(THING.list)}; r2 = r6; r3 = 0; r4 = 0; call bpf_list_push_front_impl; ${END}`,
    says: 'arg#1 expected pointer to allocated object',
  },
  {
    ...tc,
    name: 'a node that the list has already',
    program: `${value('things')}; ${make(TYPES.node)}; ${lock}; ${field(THING.list)}; r2 = r7; r2 += 8; r3 = 0; r4 = 0; call bpf_list_push_front_impl; ${field(THING.list)}; r2 = r7; r2 += 8; r3 = 0; r4 = 0; call bpf_list_push_front_impl; ${END}`,
    says: 'arg#1 expected pointer to allocated object',
  },
  {
    ...tc,
    name: 'removal of a node that no tree lent',
    program: `${value('things')}; ${lock}; ${field(THING.tree)}; r2 = r6; r2 += ${THING.tree}; call bpf_rbtree_remove; ${END}`,
    says: 'bpf_rbtree_remove can only take non-owning or refcounted bpf_rb_node pointer',
  },
  {
    ...tc,
    name: 'removal inside the comparison',
    program: inside(`r2 = r1; r1 = map[only][0]+${THING.tree}; call bpf_rbtree_remove`),
    says: 'bpf_rbtree_remove not allowed in rbtree cb',
  },
  {
    ...tc,
    name: 'left child inside the comparison',
    program: inside(`r2 = r1; r1 = map[only][0]+${THING.tree}; call bpf_rbtree_left`),
    says: 'bpf_rbtree_left not allowed in rbtree cb',
  },
  {
    ...tc,
    name: 'a record as a node, at an unknown offset',
    program: `${value('things')}; ${unknown(8)}; r1 = ring ll; r2 = 16; r3 = 0; call bpf_ringbuf_reserve; if r0 == 0 goto out; r7 = r0; r7 += r8; ${lock}; ${field(THING.tree)}; r2 = r7; call bpf_rbtree_remove; ${END}`,
    says: "R2 doesn't have constant offset. bpf_rb_node has to be at the constant offset",
  },
  {
    ...tc,
    name: 'a record as a node',
    program: `${value('things')}; r1 = ring ll; r2 = 16; r3 = 0; call bpf_ringbuf_reserve; if r0 == 0 goto out; r7 = r0; ${lock}; ${field(THING.tree)}; r2 = r7; call bpf_rbtree_remove; ${END}`,
    says: 'bpf_rb_node not found at offset=0',
  },
  {
    ...tc,
    name: 'a node of the right struct at the wrong place',
    program: `${value('pairs')}; ${make(TYPES.both)}; ${field(16)}; call bpf_spin_lock; r1 = r6; r2 = r7; r3 = 0; r4 = 0; call bpf_list_push_front_impl; ${END}`,
    says: 'arg#1 offset=0, but expected bpf_list_node at offset=24 in struct site_both',
  },
  {
    ...tc,
    name: 'a node where the object has none',
    program: `${value('things')}; ${make(TYPES.node)}; ${lock}; ${field(THING.list)}; r2 = r7; r3 = 0; r4 = 0; call bpf_list_push_front_impl; ${END}`,
    says: 'bpf_list_node not found at offset=0',
  },
  {
    ...tc,
    name: 'a node of another struct',
    program: `${value('things')}; ${make(TYPES.twin)}; ${lock}; ${field(THING.list)}; r2 = r7; r3 = 0; r4 = 0; call bpf_list_push_front_impl; ${END}`,
    says: `operation on bpf_list_head expects arg#1 bpf_list_node at offset=8 in struct site_node, but arg is at offset=0 in struct site_twin`,
  },
  {
    ...tc,
    name: 'a type that no number is',
    program: `call bpf_get_prandom_u32; r1 = ${2 ** 32} ll; r2 = 0; call bpf_obj_new_impl; r0 = 0; exit`,
    says: 'local type ID argument must be in range [0, U32_MAX]',
  },
  {
    ...tc,
    name: 'an object without types',
    bare: true,
    program: 'r1 = 1; r2 = 0; call bpf_obj_new_impl; r0 = 0; exit',
    says: 'bpf_obj_new/bpf_percpu_obj_new requires prog BTF',
  },
  {
    ...tc,
    name: 'an object of no struct',
    program: `r1 = ${TYPES.int}; r2 = 0; call bpf_obj_new_impl; r0 = 0; exit`,
    says: 'bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct',
  },
  {
    ...tc,
    name: 'a per-CPU object that is too large',
    program: `r1 = ${TYPES.large}; r2 = 0; call bpf_percpu_obj_new_impl; r0 = 0; exit`,
    says: 'bpf_percpu_obj_new type size (520) is greater than 512',
  },
  {
    ...tc,
    name: 'a per-CPU object with a pointer',
    program: `r1 = ${TYPES.withPointer}; r2 = 0; call bpf_percpu_obj_new_impl; r0 = 0; exit`,
    says: 'bpf_percpu_obj_new type ID argument must be of a struct of scalars',
  },
  {
    ...tc,
    name: 'a per-CPU object with a list',
    program: `r1 = ${TYPES.head}; r2 = 0; call bpf_percpu_obj_new_impl; r0 = 0; exit`,
    says: 'bpf_percpu_obj_new type ID argument must not contain special fields',
  },
  {
    ...tc,
    name: 'the lock opened inside the comparison',
    program: comparison(`r1 = map[only][0]+${THING.lock}; call bpf_spin_unlock`),
    says: "can't spin_{lock,unlock} in rbtree cb",
  },
  {
    ...tc,
    name: 'another lock inside the comparison',
    program: comparison('r1 = map[only_lock][0]+8; call bpf_res_spin_lock'),
    says: 'bpf_spin_unlock cannot be out of order',
  },
  {
    ...tc,
    name: 'an RCU section inside the comparison',
    program: `${make(TYPES.node)}; call bpf_rcu_read_lock; r1 = map[only][0]+${THING.lock}; call bpf_spin_lock; r1 = map[only][0]+${THING.tree}; r2 = r7; r2 += 32; r3 = less ll; r4 = 0; r5 = 0; call bpf_rbtree_add_impl; r1 = map[only][0]+${THING.lock}; call bpf_spin_unlock; call bpf_rcu_read_unlock; ${END}; less: call opened; call bpf_rcu_read_unlock; r0 = 0; exit; opened: r1 = map[only][0]+${THING.lock}; call bpf_spin_unlock; r0 = 0; exit`,
    says: 'Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback',
  },
  {
    ...tc,
    name: 'no function for the comparison',
    program: `${value('things')}; ${make(TYPES.node)}; ${lock}; ${field(THING.tree)}; r2 = r7; r2 += 32; r3 = r10; r4 = 0; r5 = 0; call bpf_rbtree_add_impl; ${unlock}; ${END}`,
    says: 'arg2 expected pointer to func',
  },
  {
    ...tc,
    name: "direct write to an object's node",
    program: `${make(TYPES.node)}; *(u64 *)(r7 + 8) = 0; ${END}`,
    says: 'direct access to bpf_list_node is disallowed',
  },
  {
    ...tc,
    name: 'a node of a tree, out of the tree, first',
    program: `${value('things')}; ${lock}; ${first}; r1 = r6; r1 += ${THING.list}; r2 = r7; r3 = 0; r4 = 0; call bpf_list_push_front_impl; ${NONE}`,
    says: 'arg#1 expected pointer to allocated object',
  },
]
