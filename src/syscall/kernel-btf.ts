import { readFileSync } from 'node:fs'
import { ByteReader } from '../bytes/index.ts'
import { InputError } from '../errors/index.ts'

/** BTF kinds that can be an attach target. */
export const TARGET_KIND = { struct: 4, typedef: 8, func: 12, var: 14 } as const
export type TargetKind = keyof typeof TARGET_KIND

/** Bytes behind struct btf_type for each kind: fixed ones, and per `vlen` ones (Documentation/bpf/btf.rst). */
const TRAILING: readonly (readonly [fixed: number, perMember: number])[] = [
  [0, 0], // void
  [4, 0], // int
  [0, 0], // ptr
  [12, 0], // array
  [0, 12], // struct
  [0, 12], // union
  [0, 8], // enum
  [0, 0], // fwd
  [0, 0], // typedef
  [0, 0], // volatile
  [0, 0], // const
  [0, 0], // restrict
  [0, 0], // func
  [0, 8], // func_proto
  [4, 0], // var
  [0, 12], // datasec
  [0, 0], // float
  [4, 0], // decl_tag
  [0, 0], // type_tag
  [0, 12], // enum64
]

/** Finds types of the running kernel's BTF by name, without building a model of all 100,000 of them. */
export class KernelTypes {
  readonly bytes: Uint8Array
  #names: Uint8Array
  #nameOffsets: Uint32Array
  #kinds: Uint8Array
  #offsets: Uint32Array
  /** Id of the first type: 1, or what a split BTF continues from. */
  readonly firstId: number
  #nameBase: number

  /** @param base for a module's BTF, whose ids and strings continue the kernel's */
  constructor(bytes: Uint8Array, base?: KernelTypes) {
    this.bytes = bytes
    const reader = new ByteReader(bytes, { what: 'kernel BTF' })
    if (reader.u16() !== 0xeb9f) throw new InputError('btf.magic', 'kernel BTF: no BTF magic')
    const headerLength = reader.seek(4).u32()
    const [typeOffset, typeLength, nameOffset, nameLength] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()]
    this.#names = reader.seek(headerLength + nameOffset).take(nameLength)
    this.firstId = base === undefined ? 1 : base.firstId + base.count
    this.#nameBase = base === undefined ? 0 : base.#nameBase + base.#names.length
    const types = new DataView(bytes.buffer, bytes.byteOffset + headerLength + typeOffset, typeLength)
    reader.seek(headerLength + typeOffset).take(typeLength)
    const capacity = Math.floor(typeLength / 12)
    const nameOffsets = new Uint32Array(capacity)
    const kinds = new Uint8Array(capacity)
    const offsets = new Uint32Array(capacity)
    let count = 0
    for (let at = 0; at + 12 <= typeLength; count++) {
      const info = types.getUint32(at + 4, true)
      const kind = (info >>> 24) & 0x1f
      const trailing = TRAILING[kind]
      if (trailing === undefined) throw new InputError('btf.kind', `kernel BTF: kind ${kind} is not known`)
      nameOffsets[count] = types.getUint32(at, true)
      kinds[count] = kind
      offsets[count] = at + headerLength + typeOffset
      at += 12 + trailing[0] + trailing[1] * (info & 0xffff)
    }
    this.#nameOffsets = nameOffsets.subarray(0, count)
    this.#kinds = kinds.subarray(0, count)
    this.#offsets = offsets.subarray(0, count)
  }

  get count(): number {
    return this.#kinds.length
  }

  /** The id of the type of that kind and name; undefined when there is none. */
  find(name: string, kind: TargetKind): number | undefined {
    const wanted = TARGET_KIND[kind]
    const pattern = Buffer.from(`\0${name}\0`)
    const names = Buffer.from(this.#names.buffer, this.#names.byteOffset, this.#names.length)
    for (let found = names.indexOf(pattern); found >= 0; found = names.indexOf(pattern, found + 1)) {
      const offset = found + 1 + this.#nameBase
      for (let i = this.#nameOffsets.indexOf(offset); i >= 0; i = this.#nameOffsets.indexOf(offset, i + 1))
        if (this.#kinds[i] === wanted) return i + this.firstId
    }
    return undefined
  }

  /** The index of a struct's member. */
  memberIndex(structId: number, member: string): number | undefined {
    const start = this.#offsets[structId - this.firstId]
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length)
    const members = view.getUint32(start + 4, true) & 0xffff
    for (let i = 0; i < members; i++) if (this.#nameAt(view.getUint32(start + 12 + 12 * i, true)) === member) return i
    return undefined
  }

  #nameAt(offset: number): string {
    const start = offset - this.#nameBase
    return Buffer.from(this.#names.subarray(start, this.#names.indexOf(0, start))).toString()
  }
}

const loaded = new Map<string, KernelTypes>()

/**
 * Types of the running kernel (`/sys/kernel/btf/vmlinux`) or of one of its modules; undefined where it has no BTF.
 */
export function kernelTypes(module = 'vmlinux'): KernelTypes | undefined {
  let types = loaded.get(module)
  if (types === undefined) {
    let bytes: Uint8Array
    try {
      bytes = readFileSync(`/sys/kernel/btf/${module}`)
    } catch {
      return undefined
    }
    types = new KernelTypes(bytes, module === 'vmlinux' ? undefined : kernelTypes())
    loaded.set(module, types)
  }
  return types
}
