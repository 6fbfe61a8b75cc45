import { type FunctionContext, here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { type KernelFields, type KernelStruct, type TrustedView, trustedAt } from '../kernel.ts'
import { i32, u32, u64 } from '../types/types.ts'
import { Int } from '../values/int.ts'
import { nullable } from '../values/maybe.ts'
import { type KernelObject, POINTER } from '../values/socket.ts'
import { type KernelType, kernelFunction } from './kfunc.ts'

/**
 * An open-coded iterator: its state on the stack, made by `_new`, moved by `_next` until that gives null, ended by
 * `_destroy` on every path. Linux 6.4.
 */
export function iterate(
  fn: FunctionContext,
  name: string,
  sizeBytes: number,
  args: readonly { readonly operand: Operand; readonly type: KernelType }[],
  gives: KernelType,
  body: (item: Operand) => void,
): void {
  const { emitter } = fn
  fn.unit.need(6, 4, 'an open-coded iterator')
  const slot = emitter.slot(sizeBytes, 8, `iterator ${name}`)
  const state: Operand = { kind: 'frame', slot, offset: 0 }
  const it = { name: `bpf_iter_${name}` }
  const pointer = { kind: 'pointer', to: it } as const
  const call = (step: string, more: typeof args, result: KernelType): Operand => {
    const target = kernelFunction(fn, {
      name: `bpf_iter_${name}_${step}`,
      params: [pointer, ...more.map(({ type }) => type)],
      result,
    })
    return emitter.call(target, [state, ...more.map(({ operand }) => operand)], { result: result !== 'void' })
  }
  call('new', args, i32)
  fn.held.push(() => call('destroy', [], 'void'))
  let item: Operand = constant(0)
  emitter.loop(
    () => {
      item = call('next', [], gives)
      return nullable(fn, item).condition
    },
    () => body(item),
  )
  fn.held.pop()
  call('destroy', [], 'void')
}

/** 0, 1, … count − 1 by bpf_iter_num. */
export function numbers(fn: FunctionContext, count: Operand, body: (i: Int<'u32'>) => void): void {
  const args = [constant(0), count].map((operand) => ({ operand, type: i32 }))
  iterate(fn, 'num', 8, args, { kind: 'pointer', to: i32 }, (item) => {
    const raw = fn.emitter.load('kernel', 4, item, 0)
    body(new Int(u32, raw, fn))
  })
}

const to = (name: string): KernelType => ({ kind: 'pointer', to: { name } })
/** The kernel's iterators (kernel/bpf/): bytes of their state, what `_new` takes, since. */
const ITERATORS = {
  task: { size: 24, params: [to('task_struct'), u32], since: [6, 7] },
  task_vma: { size: 8, params: [to('task_struct'), u64], since: [6, 7] },
  css: { size: 24, params: [to('cgroup_subsys_state'), u32], since: [6, 7] },
  css_task: { size: 8, params: [to('cgroup_subsys_state'), u32], since: [6, 7] },
} as const

/**
 * Runs `body` with every object of an open-coded iterator: `each('task', { type: task, from: null, flags: 0 }, (it) => …)`
 * for all tasks. `from` is where it begins (a task, a cgroup_subsys_state), `flags` the kernel's. Linux 6.7.
 */
export function each<F extends KernelFields>(
  name: keyof typeof ITERATORS,
  options: {
    readonly type: KernelStruct<F>
    readonly from: KernelObject | null
    readonly flags?: number | bigint
  },
  body: (item: TrustedView<KernelStruct<F>>) => void,
): void {
  const fn = here('each')
  const { size, params, since } = ITERATORS[name]
  fn.unit.need(...since, `the iterator ${name}`)
  const { from, type, flags = 0 } = options
  const object = from?.[POINTER]
  const first = object === undefined ? constant(0) : fn.reach(object.fn, object.operand)
  const args = [
    { operand: first, type: params[0] },
    { operand: constant(flags), type: params[1] },
  ]
  iterate(fn, name, size, args, to(options.type.tag), (item) => body(trustedAt(fn, type, item)))
}
