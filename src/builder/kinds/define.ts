import type { AttachSpec } from '../../spec/index.ts'
import { ATTACH_TYPES, type AttachType, PROGRAM_TYPES, type ProgramFlag, type ProgramType } from '../../uapi/index.ts'
import type { FunctionContext } from '../context.ts'
import type { Operand } from '../ir/ops.ts'
import { BpfProgram, type ProgramOptions } from './program.ts'

/** One kind of program as a row. */
export interface Kind<K extends string, B> {
  readonly kind: K
  readonly type: ProgramType
  readonly attachType?: AttachType
  readonly section: string
  readonly flags?: readonly ProgramFlag[]
  /** The C name of the context's struct. */
  readonly contextType: string
  readonly attach?: AttachSpec
  readonly attachTo?: { readonly name: string; readonly module?: string }
  /** The first Linux that has it. */
  readonly since?: readonly [major: number, minor: number]
  readonly body: (fn: FunctionContext, context: Operand) => B
}

export type Build<B, R> = (b: B) => R

/** Makes a program of a kind. */
export function define<K extends string, B>(
  kind: Kind<K, B>,
  name: string,
  options: ProgramOptions,
  build: (b: never) => unknown,
): BpfProgram<K> {
  return new BpfProgram<K>(
    name,
    {
      section: kind.section,
      type: PROGRAM_TYPES[kind.type],
      attachType: kind.attachType === undefined ? 0 : ATTACH_TYPES[kind.attachType],
      flags: kind.flags,
      contextType: kind.contextType,
      attachTo: kind.attachTo,
      attach: kind.attach,
      since: kind.since,
      kind: kind.kind,
      options,
    },
    (fn, context) => build(kind.body(fn, context) as never),
  )
}

/** The two call forms: `(name, build)` and `(name, options, build)`. */
export function split<O extends ProgramOptions, B>(first: O | B, second: B | undefined): readonly [O, B] {
  return second === undefined ? [{} as O, first as B] : [first as O, second]
}
