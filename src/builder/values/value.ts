import { buildError, type FunctionContext } from '../context.ts'

const FIX =
  'use b.if(condition, () => { … }), b.while(…) or b.select(…): they become branches of the BPF program; compare with .eq(), .lt() …'

/** A value of the running BPF program. It has no value while the program is built. */
export abstract class Value {
  /** The function the value belongs to; constants belong to none. */
  abstract readonly owner: FunctionContext | undefined;

  /** Host-language conversion (==, +, template strings) of a BPF value is always a mistake. */
  [Symbol.toPrimitive](hint: string): never {
    throw buildError(
      'build.host-value',
      `a BPF value was used as a JavaScript ${hint === 'default' ? 'value' : hint}: it is only known when the program runs in the kernel`,
      FIX,
    )
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
