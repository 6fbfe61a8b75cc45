import { buildError, type FunctionContext, here } from './context.ts'
import { constant, type LoadSize, type Operand } from './ir/ops.ts'
import { helper } from './kinds/helper-calls.ts'
import { addBtf } from './types/btf.ts'
import type { IntName } from './types/forms.ts'
import type { BitsType, BytesType, EnumType, IntType } from './types/types.ts'
import { u32, u64 } from './types/types.ts'
import { Bool } from './values/bool.ts'
import { BytesView } from './values/bytes-view.ts'
import { canonical, Int, intType, ownOperand } from './values/int.ts'
import type { Place } from './values/place.ts'
import { type KernelObject, POINTER } from './values/socket.ts'

/** enum bpf_core_relo_kind (include/uapi/linux/bpf.h). */
const CORE = {
  byteOffset: 0,
  byteSize: 1,
  exists: 2,
  leftShift: 4,
  rightShift: 5,
  typeExists: 8,
  typeSize: 9,
  enumExists: 10,
  enumValue: 11,
} as const

/** A struct of the kernel: only the members that the program uses, in any order. Offsets come from the running kernel (CO-RE). */
export interface KernelStruct<F = KernelFields> {
  readonly kind: 'kernel'
  readonly tag: string
  readonly fields: () => F
}
/** Members: integers, text, or pointers to kernel structs (`ptr(() => task)`). */
export type KernelFields = { readonly [name: string]: KernelMember }
export type KernelMember = IntType | BytesType | EnumType | BitsType | KernelPointer | KernelStruct
export interface KernelPointer<S extends KernelStruct<unknown> = KernelStruct<unknown>> {
  readonly kind: 'kernelPointer'
  readonly to: () => S
}

/**
 * Describes a struct of the kernel by the members that are used: `kernelStruct('task_struct', { pid: i32, comm: text(16) })`.
 * A getter lets a struct point to itself: `get real_parent() { return ptr(task) }`.
 */
export function kernelStruct<const F extends KernelFields>(tag: string, fields: () => F): KernelStruct<F>
export function kernelStruct<const F extends object>(tag: string, fields: F): KernelStruct<F>
export function kernelStruct(tag: string, fields: KernelFields | (() => KernelFields)): KernelStruct {
  const made = typeof fields === 'function' ? fields : () => fields
  return Object.freeze({ kind: 'kernel', tag, fields: () => checkedMembers(tag, made()) })
}
const checked = new WeakSet<KernelFields>()
function checkedMembers(tag: string, fields: KernelFields): KernelFields {
  if (checked.has(fields)) return fields
  for (const [name, member] of Object.entries(fields))
    if (!MEMBER_KINDS.has(member?.kind))
      throw buildError(
        'build.kernel-member',
        `${tag}.${name}: ${member?.kind ?? typeof member} is no member of a kernel struct`,
        'members are integers, bytes(n), text(n), enumerations, bits, ptr(struct) and nested kernelStruct(…)',
      )
  checked.add(fields)
  return fields
}
const MEMBER_KINDS: ReadonlySet<string> = new Set(['int', 'bytes', 'enum', 'bits', 'kernelPointer', 'kernel'])

/** A member that points to a kernel struct; a function where that struct is declared further down. */
export function ptr<S extends KernelStruct<unknown>>(to: S | (() => S)): KernelPointer<S> {
  return Object.freeze({ kind: 'kernelPointer', to: typeof to === 'function' ? to : () => to })
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
        : M extends KernelStruct<unknown>
          ? KernelView<M>
          : M extends EnumType
            ? Int<'u32'>
            : M extends BitsType<infer N>
              ? Int<N>
              : never
/** A kernel struct behind a pointer whose type the verifier knows: helpers, storages and kernel functions take it. */
export type TrustedView<S> = KernelView<S> & KernelObject

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
      bitSize: member.kind === 'bits' ? member.width : 0,
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
  if (member.kind === 'kernelPointer') return fn.unit.btf.pointer(typeId(fn, member.to() as KernelStruct))
  if (member.kind === 'kernel') return typeId(fn, member)
  return addBtf(fn.unit.btf, member)
}

/** A kernel struct at an address. */
export function kernelAt<F extends KernelFields>(
  type: KernelStruct<F>,
  address: Int<'u64'>,
): KernelView<KernelStruct<F>> {
  const fn = here(`a pointer to ${type.tag}`)
  return viewAt({ fn, root: type, base: ownOperand(fn, address), path: '0', offset: 0, direct: false }, type) as never
}
/** A pointer that the verifier knows the type of: members are plain loads, helpers and kernel functions take it. @internal */
export function trustedAt<F extends KernelFields>(
  fn: FunctionContext,
  type: KernelStruct<F>,
  base: Operand,
): TrustedView<KernelStruct<F>> {
  return viewAt({ fn, root: type, base, path: '0', offset: 0, direct: true }, type) as never
}

/** The program's context as a kernel struct. @internal */
export function contextAt<F>(fn: FunctionContext, type: KernelStruct<F>, base: Operand): KernelView<KernelStruct<F>> {
  const root = type as KernelStruct
  return viewAt({ fn, root, base, path: '0', offset: 0, direct: true, region: 'ctx' }, root) as never
}

/** The current task by its address (Linux 4.8, a GPL-only helper); `b.task(type)` is cheaper from 5.11 on. */
export function currentTask<F extends KernelFields>(type: KernelStruct<F>): KernelView<KernelStruct<F>> {
  const fn = here('currentTask')
  const key = 'current_task'
  const base = fn.emitter.known(key) ?? fn.emitter.call(helper('get_current_task'), [], { pure: true })
  fn.emitter.remember(key, base)
  return viewAt({ fn, root: type, base, path: '0', offset: 0, direct: false }, type) as never
}

/** A place inside a kernel struct: the pointer, and the way from the struct it points to. */
interface KernelPlace {
  readonly fn: FunctionContext
  readonly root: KernelStruct
  readonly base: Operand
  /** CO-RE access: member indexes. */
  readonly path: string
  /** Bytes in the program's own declaration. */
  readonly offset: number
  readonly direct: boolean
  /** Where direct loads read: kernel memory unless it is said. */
  readonly region?: 'ctx'
}

const relocation = (fn: FunctionContext, { root, path }: KernelPlace, kind: number) => ({
  kind,
  typeId: typeId(fn, root),
  access: path,
})

/** The address of a place: the pointer plus what CO-RE says. */
function addressOf(fn: FunctionContext, place: KernelPlace): Operand {
  const offset = fn.emitter.core(relocation(fn, place, CORE.byteOffset), place.offset, 0x7fff_ffffn)
  return fn.emitter.alu('add', 64, fn.reach(place.fn, place.base), offset)
}

function viewAt(place: KernelPlace, type: KernelStruct): object {
  const out = Object.create(null) as Record<string | symbol, unknown>
  const { offsets } = localLayout(type)
  if (place.direct && place.region === undefined && place.path === '0')
    out[POINTER] = { fn: place.fn, operand: place.base }
  Object.defineProperty(out, '$address', {
    get: () => {
      const fn = here(`${type.tag}.$address`)
      return new Int(u64, place.path === '0' ? fn.reach(place.fn, place.base) : addressOf(fn, place), fn)
    },
  })
  Object.entries(type.fields()).forEach(([name, member], i) => {
    Object.defineProperty(out, name, {
      enumerable: true,
      get: () => {
        const inner = { ...place, path: `${place.path}:${i}`, offset: place.offset + offsets[i] }
        return read(here(`${type.tag}.${name}`), inner, member, `${type.tag}.${name}`)
      },
      set() {
        throw buildError('build.kernel-write', `${type.tag}.${name} is kernel memory`, 'programs only read it')
      },
    })
  })
  return out
}

function read(fn: FunctionContext, place: KernelPlace, member: KernelMember, what: string): unknown {
  if (member.kind === 'kernel') return viewAt(place, member)
  if (member.kind === 'bits') return readBits(fn, place, member, what)
  const { emitter } = fn
  const size = memberSize(member)
  let raw: Operand
  if (place.direct && member.kind !== 'bytes') {
    fn.unit.need(5, 5, 'reading kernel memory by typed pointers')
    const core = relocation(fn, place, CORE.byteOffset)
    const base = fn.reach(place.fn, place.base)
    raw = emitter.load(place.region ?? 'kernel', size as LoadSize, base, place.offset, { core })
  } else {
    fn.unit.need(5, 5, 'reading kernel memory')
    const address = addressOf(fn, place)
    const slot = emitter.slot(size, Math.min(size, 8), what)
    const frame: Operand = { kind: 'frame', slot, offset: 0 }
    emitter.call(helper('probe_read_kernel'), [frame, constant(size), address], { result: false, pure: true })
    emitter.touch(`stack${slot.id}`)
    const at: Place = { fn, region: `stack${slot.id}`, base: frame, offset: 0, access: 'read' }
    if (member.kind === 'bytes') return new BytesView(member, at)
    raw = emitter.load(at.region, size as LoadSize, frame, 0)
  }
  if (member.kind === 'kernelPointer') {
    const root = member.to() as KernelStruct
    const direct = place.direct && place.region === undefined
    return viewAt({ fn, root, base: raw, path: '0', offset: 0, direct }, root)
  }
  const id: IntName = member.kind === 'enum' ? 'u32' : (member as IntType).id
  return new Int(intType(id), canonical(emitter, id, raw), fn)
}

/** A bit field: its storage unit, shifted as the running kernel has it. */
function readBits(fn: FunctionContext, place: KernelPlace, member: BitsType, what: string): unknown {
  const { emitter } = fn
  fn.unit.need(5, 5, 'reading kernel memory')
  const slot = emitter.slot(8, 8, what)
  const frame: Operand = { kind: 'frame', slot, offset: 0 }
  const region = `stack${slot.id}` as const
  emitter.store(region, 8, frame, 0, constant(0))
  const size = emitter.core(relocation(fn, place, CORE.byteSize), member.size, 8n)
  emitter.call(helper('probe_read_kernel'), [frame, size, addressOf(fn, place)], { result: false, pure: true })
  emitter.touch(region)
  const unit = emitter.load(region, 8, frame, 0)
  const left = emitter.core(relocation(fn, place, CORE.leftShift), 64 - member.width, 63n)
  const right = emitter.core(relocation(fn, place, CORE.rightShift), 64 - member.width, 63n)
  const value = emitter.alu('rsh', 64, emitter.alu('lsh', 64, unit, left), right)
  return new Int(member.base, canonical(emitter, member.base.id, value), fn)
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
