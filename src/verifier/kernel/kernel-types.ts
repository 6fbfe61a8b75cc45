/** Questions that the verifier asks of BTF: walks through structs, names, and what a pointer found there may be trusted with. */
import type { Btf, BtfType } from '../../btf/index.ts'

/** What lies at an offset of a struct (enum bpf_struct_walk_result of Linux). */
export type Walk =
  | { readonly kind: 'scalar' }
  | { readonly kind: 'untrusted pointer' }
  | { readonly kind: 'struct'; readonly id: number }
  | { readonly kind: 'pointer'; readonly id: number; readonly field: string; readonly tag: PointerTag | undefined }
  | { readonly kind: 'error'; readonly message: string; readonly errno: number }

export type PointerTag = 'user' | 'percpu' | 'rcu'

/** A walk that goes through a union with several members gives untrusted pointers; the caller's flag is set. */
export interface WalkFlags {
  untrusted: boolean
}

const EINVAL = 22
const EACCES = 13
const EFAULT = 14
const KIND_TEXT: Readonly<Record<string, string>> = { void: 'UNKNOWN', func_proto: 'FUNC_PROTO', enum64: 'ENUM64' }

/** The kernel's name of a BTF kind in messages: `STRUCT`. */
export function kindText(kind: string): string {
  return KIND_TEXT[kind] ?? kind.toUpperCase()
}

const TAGS: ReadonlySet<string> = new Set(['user', 'percpu', 'rcu'])

export class KernelTypes {
  readonly btf: Btf
  readonly #trusted = new Map<string, boolean>()

  constructor(btf: Btf) {
    this.btf = btf
  }

  name(id: number): string {
    return this.btf.has(id) ? this.btf.name(id) : ''
  }

  struct(name: string): number | undefined {
    return this.btf.idByName(name, 'struct')
  }

  isStruct(id: number): boolean {
    const kind = this.btf.kind(id)
    return kind === 'struct' || kind === 'union'
  }

  /** The type behind a pointer without modifiers, when that is a struct or a union. */
  pointedStruct(pointer: number): number | undefined {
    const id = this.btf.skipModifiers(pointer)
    const type = this.btf.type(id)
    if (type.kind !== 'ptr') return undefined
    const target = this.btf.skipModifiers(type.type)
    return this.isStruct(target) ? target : undefined
  }

  /** A type tag directly behind a pointer. */
  tagOf(pointer: number): PointerTag | undefined {
    const type = this.btf.type(this.btf.skipModifiers(pointer))
    if (type.kind !== 'ptr' || !this.btf.has(type.type)) return undefined
    const target = this.btf.type(type.type)
    return target.kind === 'type_tag' && TAGS.has(target.name) ? (target.name as PointerTag) : undefined
  }

  /** What lies at `off` of a struct or union (btf_struct_walk of Linux 6.18). */
  walk(id: number, off: number, size: number, flags: WalkFlags, flexibleArrays: boolean): Walk {
    let at = off
    let current = this.btf.skipModifiers(id)
    for (;;) {
      const type = this.btf.type(current)
      const name = ('name' in type ? type.name : '') || '(anon)'
      if (type.kind !== 'struct' && type.kind !== 'union')
        return { kind: 'error', message: `Type '${name}' is not a struct`, errno: EINVAL }
      if (type.kind === 'union' && type.members.length !== 1) flags.untrusted = true
      if (at + size > type.size) {
        const inner = flexibleArrays ? this.#flexible(type, at) : undefined
        if (inner === undefined)
          return {
            kind: 'error',
            message: `access beyond struct ${name} at off ${at} size ${size}`,
            errno: EACCES,
          }
        if (inner.scalar) return { kind: 'scalar' }
        at = inner.off
        current = inner.id
        continue
      }
      const found = this.#member(type, at, size, flags)
      if (!('inner' in found)) return found
      if (at === found.moff) return { kind: 'struct', id: found.inner }
      at -= found.moff
      current = found.inner
    }
  }

  #flexible(type: BtfType, off: number): { scalar: boolean; id: number; off: number } | undefined {
    if (type.kind !== 'struct' && type.kind !== 'union') return undefined
    const last = type.members.at(-1)
    if (last === undefined) return undefined
    const array = this.btf.type(this.btf.skipModifiers(last.type))
    if (array.kind !== 'array' || array.count !== 0) return undefined
    const moff = last.bitOffset >> 3
    if (off < moff) return undefined
    const id = this.btf.skipModifiers(array.type)
    const element = this.btf.type(id)
    if (element.kind === 'int') return { scalar: true, id, off }
    if ((element.kind !== 'struct' && element.kind !== 'union') || element.size === 0) return undefined
    return { scalar: false, id, off: (off - moff) % element.size }
  }

  #member(
    type: Extract<BtfType, { kind: 'struct' | 'union' }>,
    off: number,
    size: number,
    flags: WalkFlags,
  ): Walk | { readonly inner: number; readonly moff: number } {
    const name = type.name || '(anon)'
    for (const member of type.members) {
      let moff = member.bitOffset >> 3
      if (off + size <= moff) break
      if (member.bitSize !== 0) {
        const end = member.bitOffset + member.bitSize
        if (off <= moff && Math.ceil(end / 8) <= off + size) return { kind: 'scalar' }
        continue
      }
      if (off < moff) break
      const resolved = this.#sized(member.type)
      if (resolved === undefined)
        return { kind: 'error', message: `field ${member.name} doesn't have size`, errno: EFAULT }
      let { size: msize } = resolved
      const trueEnd = moff + msize
      if (off >= trueEnd) continue
      if (resolved.elements !== undefined) {
        if (moff === trueEnd) continue
        msize /= resolved.elements
        moff += Math.floor((off - moff) / msize) * msize
      }
      const element = this.btf.type(resolved.id)
      if (element.kind === 'struct' || element.kind === 'union') return { inner: resolved.id, moff }
      if (element.kind === 'ptr') {
        if (msize !== size || off !== moff)
          return {
            kind: 'error',
            message: `cannot access ptr member ${member.name} with moff ${moff} in struct ${name} with off ${off} size ${size}`,
            errno: EACCES,
          }
        const target = this.btf.skipModifiers(element.type)
        if (!this.isStruct(target)) return { kind: 'untrusted pointer' }
        return { kind: 'pointer', id: target, field: member.name, tag: this.tagOf(resolved.id) }
      }
      if (off + size > trueEnd && !flags.untrusted)
        return {
          kind: 'error',
          message: `access beyond the end of member ${member.name} (mend:${trueEnd}) in struct ${name} with off ${off} size ${size}`,
          errno: EACCES,
        }
      return { kind: 'scalar' }
    }
    return { kind: 'error', message: `struct ${name} doesn't have field at offset ${off}`, errno: EINVAL }
  }

  /** Size and, of an array of any number of dimensions, its element and their number. */
  #sized(id: number): { id: number; size: number; elements?: number } | undefined {
    let current = this.btf.skipModifiers(id)
    let elements: number | undefined
    for (let depth = 0; depth < 32; depth++) {
      const type = this.btf.type(current)
      if (type.kind !== 'array') break
      elements = (elements ?? 1) * type.count
      current = this.btf.skipModifiers(type.type)
    }
    const size = this.btf.sizeOf(current)
    if (size === undefined) return undefined
    return elements === undefined ? { id: current, size } : { id: current, size: size * elements, elements }
  }

  /** A pointer `off` bytes into a struct is one to `wanted`, or to a struct that begins with it (btf_struct_ids_match). */
  matches(id: number, off: number, wanted: number, strict: boolean, say: (line: string) => void): boolean {
    if (off === 0 && id === wanted) return true
    if (strict) return false
    const flags = { untrusted: false }
    let current = id
    let at = off
    for (let depth = 0; depth < 64; depth++) {
      const found = this.walk(current, at, 1, flags, true)
      if (found.kind === 'error') say(found.message)
      if (found.kind !== 'struct') return false
      if (found.id === wanted) return true
      current = found.id
      at = 0
    }
    return false
  }

  /** The kernel lists a field as one whose pointer keeps its parent's trust: `task_struct__safe_rcu` has its name and type. */
  isListed(struct: string, suffix: string, field: string, target: number): boolean {
    const key = `${struct}${suffix}.${field}:${target}`
    let known = this.#trusted.get(key)
    if (known === undefined) {
      known = this.#lists(struct + suffix, field, target)
      this.#trusted.set(key, known)
    }
    return known
  }

  #lists(list: string, field: string, target: number): boolean {
    const id = this.btf.idByName(list, 'struct')
    const type = id === undefined ? undefined : this.btf.type(id)
    if (type?.kind !== 'struct') return false
    return type.members.some((m) => m.name === field && this.pointedStruct(m.type) === target)
  }
}

/** Owners of a BTF type id, as registers keep them. */
export const KERNEL_OBJECT = 0
export const PROGRAM_OBJECT = 1
