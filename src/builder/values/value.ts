import { buildError, type FunctionContext } from '../context.ts'
import type { Maybe } from './maybe.ts'
import { CODE } from './place.ts'

const FIX =
  'use b.if(condition, () => { … }), b.while(…) or b.select(…): they become branches of the BPF program; compare with .eq(), .lt() …'

/** @throws UsageError `build.host-value` always */
export function hostValue(hint: string): never {
  throw buildError(
    'build.host-value',
    `a BPF value was used as a JavaScript ${hint === 'default' ? 'value' : hint}: it is only known when the program runs in the kernel`,
    FIX,
  )
}

/** What a function that becomes a branch or a round may give: nothing that a program could end with by mistake. */
// biome-ignore lint/suspicious/noConfusingVoidType: functions without a result are meant, too
export type Effect = void | undefined | Value | Maybe<unknown>

/** Runs what becomes a branch or a round. @throws UsageError `build.lost-code` when it gives a return code, which would be lost */
export function effect<A extends readonly unknown[]>(body: (...args: A) => Effect): (...args: A) => void {
  return (...args) => {
    const given: unknown = body(...args)
    if (typeof given === 'number' || (typeof given === 'object' && given !== null && CODE in given))
      throw buildError(
        'build.lost-code',
        'the return code that this function gives would be lost: it only ends the function',
        'end the program with b.return(code)',
      )
  }
}

/** A value of the running BPF program. It has no value while the program is built. */
export abstract class Value {
  /** The function the value belongs to; constants belong to none. */
  abstract readonly owner: FunctionContext | undefined;

  /** Host-language conversion (==, +, template strings) of a BPF value is always a mistake. */
  [Symbol.toPrimitive](hint: string): never {
    return hostValue(hint)
  }
  valueOf(): never {
    return this[Symbol.toPrimitive]('value')
  }
  toString(): never {
    return this[Symbol.toPrimitive]('string')
  }
  toJSON(): never {
    return this[Symbol.toPrimitive]('string')
  }
}
