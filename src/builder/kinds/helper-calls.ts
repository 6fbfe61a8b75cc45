import { helperNumber } from '../../uapi/index.ts'
import { buildError, here } from '../context.ts'
import { type CallTarget, constant } from '../ir/ops.ts'
import { i32, u32, u64 } from '../types/types.ts'
import { Int } from '../values/int.ts'

/** A helper by name. */
export function helper(name: string): CallTarget & { kind: 'helper' } {
  const id = helperNumber(name)
  if (id === undefined)
    throw buildError('build.helper', `no helper is called ${name}`, 'see typebpf feature list helpers')
  return { kind: 'helper', id, name }
}

/** Helpers that every program type has. */
export abstract class HelperCalls {
  /** Nanoseconds since boot, without suspended time. */
  ktimeNs(): Int<'u64'> {
    const fn = here('b.ktimeNs')
    return new Int(u64, fn.emitter.call(helper('ktime_get_ns'), [], { pure: true }), fn)
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
  /** @internal */
  protected zero(): Int<'i32'> {
    return new Int(i32, constant(0), undefined)
  }
}
