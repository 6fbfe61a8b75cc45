import type { FunctionContext } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { i32, u32 } from '../types/types.ts'
import { Int } from '../values/int.ts'
import { nullable } from '../values/maybe.ts'
import { kernelFunction } from './kfunc.ts'

/**
 * An open-coded iterator: its state on the stack, made by `_new`, moved by `_next` until that gives null, ended by
 * `_destroy` on every path. Linux 6.4.
 */
export function iterate(
  fn: FunctionContext,
  name: string,
  sizeBytes: number,
  args: readonly { readonly operand: Operand; readonly type: typeof i32 | 'pointer' }[],
  body: (item: Operand) => void,
): void {
  const { emitter } = fn
  fn.unit.need(6, 4, 'an open-coded iterator')
  const slot = emitter.slot(sizeBytes, 8, `iterator ${name}`)
  const state: Operand = { kind: 'frame', slot, offset: 0 }
  const it = { name: `bpf_iter_${name}`, size: sizeBytes }
  const pointer = { kind: 'pointer', to: it } as const
  const call = (step: string, more: typeof args, result: 'int' | 'pointer' | 'void'): Operand => {
    const target = kernelFunction(fn, {
      name: `bpf_iter_${name}_${step}`,
      params: [pointer, ...more.map(({ type }) => (type === 'pointer' ? ('pointer' as const) : type))],
      result: result === 'int' ? i32 : result,
    })
    return emitter.call(target, [state, ...more.map(({ operand }) => operand)], { result: result !== 'void' })
  }
  call('new', args, 'int')
  fn.held.push(() => call('destroy', [], 'void'))
  let item: Operand = constant(0)
  emitter.loop(
    () => {
      item = call('next', [], 'pointer')
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
  iterate(fn, 'num', 8, args, (item) => {
    const raw = fn.emitter.load('kernel', 4, item, 0)
    body(new Int(u32, raw, fn))
  })
}
