import { buildError, here, inside } from '../context.ts'
import { helperNumber } from '../facts.ts'
import { type CallTarget, constant, type Operand } from '../ir/ops.ts'
import { formatString } from '../maps/strings.ts'
import { i64, u32, u64 } from '../types/types.ts'
import type { Bool } from '../values/bool.ts'
import type { FormatArguments } from '../values/format.ts'
import { convert, Int, ownOperand } from '../values/int.ts'

/** A helper by name; licence, target and kind of the program being built are checked. */
export function helper(name: string): CallTarget & { kind: 'helper' } {
  const id = helperNumber(name)
  if (id === undefined)
    throw buildError('build.helper', `no helper is called ${name}`, 'look the name up in bpf-helpers(7)')
  inside()?.unit.needHelper(name)
  return { kind: 'helper', id, name }
}

/** Calls a helper whose result is a number. */
export function call(what: string, name: string, ...args: Operand[]): Int<'i64'> {
  const fn = here(what)
  return new Int(i64, fn.emitter.call(helper(name), args), fn)
}

/** Helpers that every program type has. */
export abstract class HelperCalls {
  /** Nanoseconds since boot, without suspended time. */
  ktimeNs(): Int<'u64'> {
    const fn = here('b.ktimeNs')
    return new Int(u64, fn.emitter.call(helper('ktime_get_ns'), [], { pure: true }), fn)
  }
  /** Nanoseconds since boot, suspended time included. Linux 5.8. */
  ktimeBootNs(): Int<'u64'> {
    const fn = here('b.ktimeBootNs')
    fn.unit.need(5, 8, 'ktimeBootNs', 'use b.ktimeNs()')
    return new Int(u64, fn.emitter.call(helper('ktime_get_boot_ns'), [], { pure: true }), fn)
  }
  /** The number of this CPU. */
  cpu(): Int<'u32'> {
    const fn = here('b.cpu')
    const raw = fn.emitter.call(helper('get_smp_processor_id'), [], { pure: true, bound: 0xffff_ffffn })
    return new Int(u32, raw, fn)
  }
  /** A pseudo-random number. */
  random(): Int<'u32'> {
    const fn = here('b.random')
    const raw = fn.emitter.call(helper('get_prandom_u32'), [], { pure: true })
    return new Int(u32, fn.emitter.zext(32, raw), fn)
  }

  /** A line in the kernel's trace pipe, for debugging: `b.printk('pid %d', pid)`. At most three values; the formats are checked. */
  printk<const S extends string>(format: S, ...values: FormatArguments<S>): void {
    const fn = here('b.printk')
    const { emitter } = fn
    const text = formatString(fn, format, values.length)
    const args = (values as readonly (Int | Bool)[]).map((value) =>
      value instanceof Int
        ? value.type.signed
          ? convert(emitter, value.type.id, 'i64', ownOperand(fn, value))
          : ownOperand(fn, value)
        : constant(0),
    )
    emitter.call(helper('trace_printk'), [text.address, constant(text.size), ...args], { result: false, pure: true })
  }
}
