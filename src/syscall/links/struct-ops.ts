import { Btf, type BtfComposite } from '../../btf/index.ts'
import { UsageError } from '../../errors/index.ts'
import { imageBtf, type MapSpec } from '../../spec/index.ts'
import { ATTACH_TYPES } from '../../uapi/index.ts'
import { createRawMap, type RawMap } from '../maps/raw-map.ts'
import { loadBtf } from '../prog/btf.ts'
import { kernelBtf } from '../prog/kernel-btf.ts'
import type { LoadedObject } from '../prog/load-object.ts'
import type { Sys } from '../sys/sys.ts'
import { createLink, Link } from './link.ts'

/** A kernel struct's implementation: the map with its value, and the link that put it into force. */
export class StructOpsLink extends Link {
  #map: RawMap

  constructor(sys: Sys, fd: number, what: string, map: RawMap) {
    super(sys, fd, what)
    this.#map = map
  }

  override close(): void {
    super.close()
    this.#map.close()
  }
}

interface KernelStruct {
  readonly wrapperId: number
  readonly wrapperSize: number
  /** Where the struct itself stands in its wrapper, in bytes. */
  readonly start: number
  readonly struct: BtfComposite
  readonly btf: Btf
}

function kernelStruct(typeName: string): KernelStruct {
  const name = typeName.split('___')[0]
  const btf = kernelBtf()
  const wrapperId = btf?.idByName(`bpf_struct_ops_${name}`, 'struct')
  const struct = btf?.find(name, 'struct')
  if (btf === undefined || wrapperId === undefined || struct === undefined)
    throw new UsageError('link.struct-ops', `the running kernel takes no implementations of struct ${name}`)
  const wrapper = btf.type(wrapperId)
  const data = wrapper.kind === 'struct' ? wrapper.members.find((member) => member.name === 'data') : undefined
  if (wrapper.kind !== 'struct' || data === undefined)
    throw new UsageError('link.struct-ops', `bpf_struct_ops_${name} is not what this code knows`)
  return { wrapperId, wrapperSize: wrapper.size, start: data.bitOffset / 8, struct, btf }
}

/** The object's struct in the kernel's layout: members by name, programs as fds. */
function kernelValue(spec: MapSpec, loaded: LoadedObject, kernel: KernelStruct): Uint8Array {
  const ops = spec.structOps
  const own = spec.contents?.[0]?.[1]
  const { object } = loaded
  if (ops === undefined || own === undefined || object.btf === undefined || spec.btfValueTypeId === undefined)
    throw new UsageError('link.struct-ops', `${spec.name} is no struct_ops map with types`)
  const local = new Btf(object.btf, { what: object.name })
  const struct = local.resolve(spec.btfValueTypeId)
  if (struct.kind !== 'struct') throw new UsageError('link.struct-ops', `${spec.name}: its type is no struct`)
  const value = new Uint8Array(kernel.wrapperSize)
  const view = new DataView(value.buffer)
  for (const member of struct.members) {
    const from = member.bitOffset / 8
    const size = local.sizeOf(member.type) ?? 0
    const bytes = own.subarray(from, from + size)
    const program = ops.members.find((row) => row.member === member.name)?.program
    const target = kernel.struct.members.find(({ name }) => name === member.name)
    if (target === undefined || member.bitSize !== 0 || target.bitSize !== 0) {
      // A member that this kernel lacks may only be there when it says nothing.
      if (program === undefined && bytes.every((byte) => byte === 0)) continue
      throw new UsageError('link.struct-ops', `${spec.name}: this kernel's struct has no member ${member.name}`)
    }
    const at = kernel.start + target.bitOffset / 8
    if (program === undefined) {
      if (kernel.btf.sizeOf(target.type) !== size && bytes.some((byte) => byte !== 0))
        throw new UsageError('link.struct-ops', `${spec.name}: ${member.name} has another size in this kernel`)
      value.set(bytes.subarray(0, kernel.btf.sizeOf(target.type) ?? 0), at)
      continue
    }
    const fd = loaded.programs.find(({ spec: row }) => row.name === program)?.result.program?.fd
    if (fd === undefined) throw new UsageError('link.struct-ops', `${spec.name}: the program ${program} is not loaded`)
    view.setBigUint64(at, BigInt(fd), true)
  }
  return value
}

/** The struct_ops map of a loaded object with its value: the map's own update checks it. */
function filledMap(loaded: LoadedObject, name: string, legacy: boolean): RawMap {
  const spec = loaded.object.maps.find((map) => map.name === name)
  if (spec?.structOps === undefined) throw new UsageError('link.struct-ops', `there is no struct_ops map ${name}`)
  if ((spec.structOps.legacy === true) !== legacy)
    throw new UsageError(
      'link.struct-ops',
      legacy
        ? `${name} is of the section .struct_ops.link: it is put into force by a link`
        : `${name}: move it to the section .struct_ops.link, so that it can be a link`,
    )
  const { sys } = loaded
  const kernel = kernelStruct(spec.structOps.typeName)
  const value = kernelValue(spec, loaded, kernel)
  // The kernel wants a BTF of the object with the map, although it looks at its own: as the programs have it, without externs.
  using btf = loadBtf(sys, imageBtf(loaded.object)?.bytes() ?? new Uint8Array())
  const map = createRawMap(
    sys,
    { ...spec, valueSize: kernel.wrapperSize, btfValueTypeId: undefined },
    { btfFd: btf.fd, btfVmlinuxValueTypeId: kernel.wrapperId },
  )
  try {
    map.update(new Uint8Array(4), value)
    return map
  } catch (error) {
    map.close()
    throw error
  }
}

/**
 * Puts a struct_ops map of a loaded object into force: its programs implement the kernel struct (a TCP congestion control,
 * a scheduler). Linux 5.6; as a link that ends with its fd 6.4, which is what this function makes: the map must be of the
 * section `.struct_ops.link`.
 * @throws UsageError `link.struct-ops` when struct, member or program is missing
 */
export function attachStructOps(loaded: LoadedObject, name: string): StructOpsLink {
  const { sys } = loaded
  const map = filledMap(loaded, name, false)
  try {
    const link = createLink({ sys, fd: map.fd }, `struct_ops ${name}`, '6.4', { attach_type: ATTACH_TYPES.struct_ops })
    return new StructOpsLink(sys, link.release(), `struct_ops ${name}`, map)
  } catch (error) {
    map.close()
    throw error
  }
}

/**
 * Puts a struct_ops map of the section `.struct_ops` into force. Linux 5.6. It has no link: it stays in force after its fd
 * and this process, until its element 0 is deleted.
 * @throws UsageError `link.struct-ops`
 */
export function registerStructOps(loaded: LoadedObject, name: string): RawMap {
  return filledMap(loaded, name, true)
}
