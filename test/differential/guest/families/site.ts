import type { Btf, BtfFuncProto } from '../../../../src/btf/index.ts'
import type { ProgramImage } from '../../../../src/spec/index.ts'
import { ATTACH_TYPES, PROGRAM_TYPES } from '../../../../src/uapi/index.ts'
import type { ProgramFacts } from '../../../../src/verifier/index.ts'
import { encodeSlots } from '../../verifier/code.ts'
import { functionsBtf } from '../../verifier/functions-btf.ts'
import { CAMPAIGN_MAPS } from '../../verifier/maps.ts'
import type { Generated } from '../../verifier/program.ts'
import type { Random } from '../../verifier/random.ts'
import type { GuestKernel } from '../guest.ts'

/** One argument in a context of eight-byte words: a struct's id in the kernel's BTF where it points to one. */
export interface Argument {
  readonly struct?: number
  readonly name?: string
  readonly isPointer: boolean
}

/** Where a program is attached to: its type, its target, the words of its context. */
export interface Site {
  readonly what: string
  readonly type: number
  readonly attachType: number
  readonly flags: number
  readonly target: Pick<ProgramImage, 'attachTo' | 'attachBtfId'>
  readonly arguments: readonly Argument[]
  /** Helpers of such programs are called more often than others. */
  readonly helpersOf: ProgramFacts
  /** Extensions are called as functions: the register of the context (0: none) and those of other pointers. */
  readonly registers?: { readonly context: number; readonly pointers: readonly number[] }
  /** BTF and function records of a program that must describe itself (extensions). */
  readonly own?: Pick<ProgramImage, 'btf' | 'funcInfo'>
}

/** A program to be asked about. */
export interface Probe {
  readonly what: string
  readonly image: ProgramImage
}

/** Makes the n-th probe of a family: the same seed, number and kernel give the same one. */
export interface ProbeFamily {
  readonly name: string
  generate(random: Random, index: number): Probe
}

/** Finds the sites of a kernel. */
export type SiteMaker = (random: Random, index: number) => Site

/** What nearly all programs with trampolines may call. */
export const TRAMPOLINE: ProgramFacts = {
  type: PROGRAM_TYPES.tracing,
  expectedAttachType: ATTACH_TYPES.trace_fentry,
  sleepable: true,
  targetKey: 'tracing-fentry',
}

export type Kernel = Pick<GuestKernel, 'btf' | 'symbols'>

export function argumentsOf(btf: Btf, proto: BtfFuncProto): Argument[] {
  return proto.params.map(({ type }) => {
    const pointer = btf.type(btf.skipModifiers(type))
    if (pointer.kind !== 'ptr') return { isPointer: false }
    const struct = btf.skipModifiers(pointer.type)
    const behind = struct === 0 ? undefined : btf.type(struct)
    return behind?.kind === 'struct' ? { isPointer: true, struct, name: behind.name } : { isPointer: true }
  })
}

/** The prototype of a function, undefined for what is none. */
export function prototypeOf(btf: Btf, id: number): BtfFuncProto | undefined {
  const own = btf.type(id)
  const proto = own.kind === 'func' ? btf.type(own.type) : undefined
  return proto?.kind === 'func_proto' ? proto : undefined
}

/** A program at its site. */
export function imageAt(site: Site, program: Pick<Generated, 'slots' | 'relocations' | 'functions'>): ProgramImage {
  const functions = program.functions === undefined ? {} : functionsBtf(program.functions)
  return {
    name: 'probe',
    type: site.type,
    expectedAttachType: site.attachType,
    insns: encodeSlots(program.slots),
    license: 'GPL',
    flags: site.flags,
    maps: CAMPAIGN_MAPS,
    relocations: program.relocations,
    ...functions,
    ...site.own,
    ...site.target,
  }
}
