import type { ProgramImage } from '../../../src/spec/index.ts'
import { ATTACH_TYPES, PROGRAM_TYPES, type ProgramType } from '../../../src/uapi/index.ts'
import { type Code, encodeSlots, type Slot } from './code.ts'
import { functionsBtf } from './functions-btf.ts'
import { CAMPAIGN_MAPS } from './maps.ts'
import type { Random } from './random.ts'

/** A generated program before it is encoded; shrinking works on this form. */
export interface Generated {
  readonly type: number
  readonly attachType: number
  readonly flags: number
  readonly license: string
  readonly slots: readonly Slot[]
  readonly relocations: ProgramImage['relocations']
  /** Slots where functions start: such programs carry BTF and func_info. */
  readonly functions?: readonly number[]
  /** Only of programs that bring maps of their own. */
  readonly maps?: ProgramImage['maps']
  /** BTF and records of a real program that was changed. */
  readonly extra?: Partial<ProgramImage>
}

export interface Generator {
  readonly name: string
  generate(random: Random): Generated
}

export function imageOf(program: Generated): ProgramImage {
  return {
    name: 'fuzz',
    type: program.type,
    expectedAttachType: program.attachType,
    insns: encodeSlots(program.slots),
    license: program.license,
    flags: program.flags,
    maps: program.maps ?? CAMPAIGN_MAPS,
    relocations: program.relocations,
    ...program.extra,
    ...(program.functions === undefined ? {} : functionsBtf(program.functions)),
  }
}

export interface TypeChoice {
  readonly type: ProgramType
  readonly attach?: keyof typeof ATTACH_TYPES
  readonly flags?: number
  readonly license?: string
}

export function finished(code: Code, choice: TypeChoice): Generated {
  return {
    type: PROGRAM_TYPES[choice.type],
    attachType: choice.attach === undefined ? 0 : ATTACH_TYPES[choice.attach],
    flags: choice.flags ?? 0,
    license: choice.license ?? 'GPL',
    functions: code.functionStarts(),
    slots: code.finish(),
    relocations: code.relocations,
  }
}
