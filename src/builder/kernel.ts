import { buildError, type FunctionContext, here } from './context.ts'
import { constant, type LoadSize, type Operand } from './ir/ops.ts'
import { helper } from './kinds/helper-calls.ts'
import { addBtf } from './types/btf.ts'
import type { IntName } from './types/forms.ts'
import type { BitsType, BytesType, EnumType, IntType } from './types/types.ts'
import { u32, u64 } from './types/types.ts'
import { Bool } from './values/bool.ts'
import { canonical, Int, intType, ownOperand } from './values/int.ts'
import type { Place } from './values/place.ts'
import { BytesView } from './values/views.ts'

/** enum bpf_core_relo_kind (include/uapi/linux/bpf.h). */
const CORE = {
  byteOffset: 0,
  byteSize: 1,
  exists: 2,
  typeExists: 8,
  typeSize: 9,
  enumExists: 10,
  enumValue: 11,
} as const

/** A struct of the kernel: only the members that the program uses, in any order. Offsets come from the running kernel (CO-RE). */
export interface KernelStruct<F extends KernelFields = KernelFields> {
  readonly kind: 'kernel'
  readonly tag: string
  readonly fields: () => F
}
/** Members: integers, text, or pointers to kernel structs (`ptr(() => task)`). */
export type KernelFields = { readonly [name: string]: KernelMember }
export type KernelMember = IntType | BytesType | EnumType | BitsType | KernelPointer | KernelStruct
export interface KernelPointer<S extends KernelStruct = KernelStruct> {
  readonly kind: 'kernelPointer'
  readonly to: () => S
}

/** Describes a struct of the kernel: `kernelStruct('task_struct', () => ({ pid: i32, real_parent: ptr(() => task) }))`. */
export function kernelStruct<const F extends KernelFields>(tag: string, fields: () => F): KernelStruct<F> {
  return Object.freeze({ kind: 'kernel', tag, fields })
}
export function ptr<S extends KernelStruct>(to: () => S): KernelPointer<S> {
  return Object.freeze({ kind: 'kernelPointer', to })
}

/** A pointer into the kernel: its members are read by CO-RE probe reads; a bad address reads as 0. It is read-only. */
export type KernelView<S> =
  S extends KernelStruct<infer F>
    ? { readonly [K in keyof F]: KernelMemberView<F[K]> } & { readonly $address: Int<'u64'> }
    : never
type KernelMemberView<M> =
  M extends IntType<infer N>
    ? Int<N>
    : M extends BytesType<infer L>
      ? BytesView<L, 'read'>
      : M extends KernelPointer<infer S>
        ? KernelView<S>
        : M extends KernelStruct
          ? KernelView<M>
          : M extends EnumType
            ? Int<'u32'>
            : never

const TYPES = Symbol('kernel types')

/** The BTF id of the struct as the program declares it. */
function typeId(fn: FunctionContext, type: KernelStruct): number {
  const { unit } = fn
  const known = unit.extra(TYPES, () => new Map<KernelStruct, number>())
  let id = known.get(type)
  if (id === undefined) {
    id = unit.btf.declare()
    known.set(type, id)
    const { offsets, size } = localLayout(type)
    const members = Object.entries(type.fields()).map(([name, member], i) => ({
      name,
      type: memberType(fn, member),
      bitOffset: 8 * offsets[i],
      bitSize: 0,
    }))
    unit.btf.define(id, { kind: 'struct', name: type.tag, size, members })
  }
  return id
}
/** Where the members of the program's own declaration are: what a relocation replaces. */
function localLayout(type: KernelStruct): { offsets: number[]; size: number } {
  let end = 0
  const offsets = Object.values(type.fields()).map((member) => {
    const size = memberSize(member)
    const align = member.kind === 'bytes' ? 1 : member.kind === 'kernel' ? 8 : size
    const at = Math.ceil(end / align) * align
    end = at + size
    return at
  })
  return { offsets, size: Math.max(8, Math.ceil(end / 8) * 8) }
}
function memberSize(member: KernelMember): number {
  if (member.kind === 'kernelPointer') return 8
  if (member.kind === 'kernel') return localLayout(member).size
  return member.size
}
function memberType(fn: FunctionContext, member: KernelMember): number {
  if (member.kind === 'kernelPointer') return fn.unit.btf.pointer(typeId(fn, member.to()))
  if (member.kind === 'kernel') return typeId(fn, member)
  return addBtf(fn.unit.btf, member)
}

/** A kernel struct at an address. */
export function kernelAt<F extends KernelFields>(
  type: KernelStruct<F>,
  address: Int<'u64'>,
): KernelView<KernelStruct<F>> {
  const fn = here(`a pointer to ${type.tag}`)
  return viewAt(fn, type, ownOperand(fn, address)) as KernelView<KernelStruct<F>>
}

/** The current task (Linux 4.8), a GPL-only helper. */
export function currentTask<F extends KernelFields>(type: KernelStruct<F>): KernelView<KernelStruct<F>> {
  const fn = here('currentTask')
  const key = 'current_task'
  const address = fn.emitter.known(key) ?? fn.emitter.call(helper('get_current_task'), [], { pure: true })
  fn.emitter.remember(key, address)
  return viewAt(fn, type, address) as KernelView<KernelStruct<F>>
}

/** The address of a member: the base plus what CO-RE says. */
function memberAddress(fn: FunctionContext, type: KernelStruct, name: string, base: Operand): Operand {
  const { emitter } = fn
  const index = Object.keys(type.fields()).indexOf(name)
  const relocation = { kind: CORE.byteOffset, typeId: typeId(fn, type), access: `0:${index}` }
  const offset = emitter.core(relocation, localLayout(type).offsets[index], 0x7fff_ffffn)
  return emitter.alu('add', 64, base, offset)
}

function viewAt(fn: FunctionContext, type: KernelStruct, base: Operand): object {
  const out = { $address: new Int(u64, base, fn) }
  for (const [name, member] of Object.entries(type.fields()))
    Object.defineProperty(out, name, {
      enumerable: true,
      get: () => read(here(`${type.tag}.${name}`), type, name, member, base),
      set() {
        throw buildError('build.kernel-write', `${type.tag}.${name} is kernel memory`, 'programs only read it')
      },
    })
  return out
}

function read(fn: FunctionContext, type: KernelStruct, name: string, member: KernelMember, base: Operand): unknown {
  const { emitter } = fn
  fn.unit.need(5, 5, 'reading kernel memory')
  const address = memberAddress(fn, type, name, base)
  if (member.kind === 'kernel') return viewAt(fn, member, address)
  if (member.kind === 'bits')
    throw buildError('build.kernel-bits', `${type.tag}.${name} is a bit field`, 'read the whole unit')
  const size = memberSize(member)
  const slot = emitter.slot(size, Math.min(size, 8), `${type.tag}.${name}`)
  const frame: Operand = { kind: 'frame', slot, offset: 0 }
  emitter.call(helper('probe_read_kernel'), [frame, constant(size), address], { result: false, pure: true })
  emitter.touch(`stack${slot.id}`)
  const place: Place = { fn, region: `stack${slot.id}`, base: frame, offset: 0, access: 'read' }
  if (member.kind === 'bytes') return new BytesView(member, place)
  const raw = emitter.load(place.region, size as LoadSize, frame, 0)
  if (member.kind === 'kernelPointer') return viewAt(fn, member.to(), raw)
  const id: IntName = member.kind === 'enum' ? 'u32' : (member as IntType).id
  return new Int(intType(id), canonical(emitter, id, raw), fn)
}

/** Questions to the running kernel, answered when the program is loaded. Guarded code is dropped where the answer is no. */
export const core = {
  /** Whether the kernel's struct has this member (Linux 5.2 loaders). */
  hasMember<F extends KernelFields>(type: KernelStruct<F>, member: keyof F & string): Bool {
    const fn = here('core.hasMember')
    const index = Object.keys(type.fields()).indexOf(member)
    return truth(fn, { kind: CORE.exists, typeId: typeId(fn, type), access: `0:${index}` })
  },
  /** Whether the kernel has this struct. */
  hasType(type: KernelStruct): Bool {
    const fn = here('core.hasType')
    return truth(fn, { kind: CORE.typeExists, typeId: typeId(fn, type), access: '0' })
  },
  /** The struct's size in bytes. */
  sizeOf(type: KernelStruct): Int<'u32'> {
    const fn = here('core.sizeOf')
    return new Int(
      u32,
      fn.emitter.core(
        { kind: CORE.typeSize, typeId: typeId(fn, type), access: '0' },
        localLayout(type).size,
        0x7fff_ffffn,
      ),
      fn,
    )
  },
  /** An enumeration value's number in the running kernel. */
  enumValue<V extends Record<string, number>>(type: EnumType<V>, name: keyof V & string): Int<'u32'> {
    const fn = here('core.enumValue')
    const id = addBtf(fn.unit.btf, type)
    const index = Object.keys(type.values).indexOf(name)
    const known = type.values[name]
    return new Int(
      u32,
      fn.emitter.core({ kind: CORE.enumValue, typeId: id, access: String(index) }, known, 0x7fff_ffffn),
      fn,
    )
  },
  hasEnumValue<V extends Record<string, number>>(type: EnumType<V>, name: keyof V & string): Bool {
    const fn = here('core.hasEnumValue')
    const id = addBtf(fn.unit.btf, type)
    return truth(fn, { kind: CORE.enumExists, typeId: id, access: String(Object.keys(type.values).indexOf(name)) })
  },
} as const

function truth(fn: FunctionContext, relocation: { kind: number; typeId: number; access: string }): Bool {
  const a = fn.emitter.core(relocation, 1, 1n)
  return new Bool({ kind: 'compare', cmp: 'ne', width: 64, a, b: constant(0), site: fn.emitter.site }, fn)
}
