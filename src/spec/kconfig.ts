import { Btf } from '../btf/index.ts'
import { InputError } from '../errors/index.ts'
import { MAP_FLAGS, MAP_TYPES } from '../uapi/index.ts'
import type { MapSpec } from './map.ts'
import type { ObjectSpec } from './object.ts'
import type { ExternSpec } from './variable.ts'

/** A configuration value before it has a place; sizes in bytes. */
export interface UnplacedKconfig {
  readonly name: string
  readonly weak: boolean
  readonly typeId?: number
  readonly size: number
  readonly align: number
}

/** Gives configuration values their places in a `.kconfig` map, as libbpf does. @param datasecId of the section in the BTF */
export function placeKconfig(
  values: readonly UnplacedKconfig[],
  datasecId?: number,
): { readonly externs: ExternSpec[]; readonly map: MapSpec } {
  // largest alignment first leaves no holes; then by size and name, so that the place does not depend on symbol order
  const order = [...values].sort((a, b) => b.align - a.align || a.size - b.size || (a.name < b.name ? -1 : 1))
  let end = 0
  const externs = order.map(({ name, weak, typeId, size, align }): ExternSpec => {
    const offset = Math.ceil(end / align) * align
    end = offset + size
    return { name, kind: 'kconfig', weak, ...(typeId === undefined ? {} : { typeId }), offset, size }
  })
  return {
    externs,
    map: {
      name: '.kconfig',
      type: MAP_TYPES.array,
      keySize: 4,
      valueSize: Math.max(1, end),
      maxEntries: 1,
      flags: MAP_FLAGS.rdonly_prog | MAP_FLAGS.mmapable,
      section: '.kconfig',
      frozen: true,
      ...(datasecId === undefined ? {} : { btfValueTypeId: datasecId }),
    },
  }
}

export interface KconfigOptions {
  readonly kernelConfig?: (name: string) => string | undefined
  readonly kernelVersion?: number
}

/**
 * The value of the .kconfig map: each configuration extern as libbpf gives it. y, m, n become 1, 2, 0 (bool and the
 * tristate enum) or their letter (char); numbers and strings as written.
 * @throws InputError `link.kconfig` when a strong extern is not set or a value does not fit
 */
export function kconfigContents(
  object: ObjectSpec,
  map: MapSpec,
  options: KconfigOptions,
): readonly (readonly [Uint8Array, Uint8Array])[] {
  const bytes = new Uint8Array(map.valueSize)
  const view = new DataView(bytes.buffer)
  const btf = object.btf === undefined ? undefined : new Btf(object.btf, { what: `${object.name}: BTF` })
  for (const extern of object.externs) {
    if (extern.kind !== 'kconfig' || extern.offset === undefined || extern.size === undefined) continue
    if (extern.name === 'LINUX_KERNEL_VERSION') {
      if (options.kernelVersion !== undefined)
        writeNumber(view, extern, BigInt(options.kernelVersion), object.littleEndian)
      continue
    }
    if (options.kernelConfig === undefined) continue
    const text = options.kernelConfig(extern.name)
    if (text === undefined) {
      // what the loader finds out itself (LINUX_HAS_BPF_COOKIE) is no where nobody knows
      if (!extern.weak && !extern.name.startsWith('LINUX_'))
        throw new InputError('link.kconfig', `${object.name}: the kernel's configuration does not set ${extern.name}`)
      continue
    }
    writeValue(bytes, view, extern, text, btf, object.littleEndian)
  }
  return [[new Uint8Array(4), bytes]]
}

function writeValue(
  bytes: Uint8Array,
  view: DataView,
  extern: ExternSpec,
  text: string,
  btf: Btf | undefined,
  littleEndian: boolean,
): void {
  const type = btf === undefined || extern.typeId === undefined ? undefined : btf.resolve(extern.typeId)
  const fail = (): never => {
    throw new InputError('link.kconfig', `${extern.name}=${text} does not fit the type it is declared with`)
  }
  const [offset, size] = [extern.offset as number, extern.size as number]
  if (text === 'y' || text === 'm' || text === 'n') {
    const isChar = type?.kind === 'int' && type.size === 1 && !type.bool && (type.char || type.name === 'char')
    if (isChar) bytes[offset] = text.charCodeAt(0)
    else if (text === 'm' && type?.kind === 'int' && type.bool) fail()
    else writeNumber(view, extern, text === 'y' ? 1n : text === 'm' ? 2n : 0n, littleEndian)
    return
  }
  if (text.startsWith('"')) {
    if (type?.kind !== 'array') fail()
    const content = new TextEncoder().encode(text.replace(/^"|"$/g, ''))
    bytes.set(content.subarray(0, Math.max(0, size - 1)), offset)
    return
  }
  if (!/^-?(0x[0-9a-fA-F]+|\d+)$/.test(text) || type?.kind === 'array') fail()
  const value = text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text)
  const bits = size * 8
  if (BigInt.asUintN(bits, value) !== value && BigInt.asIntN(bits, value) !== value) fail()
  writeNumber(view, extern, value, littleEndian)
}

function writeNumber(view: DataView, extern: ExternSpec, value: bigint, littleEndian: boolean): void {
  const offset = extern.offset as number
  const size = extern.size as number
  for (let i = 0; i < size; i++) {
    const place = littleEndian ? offset + i : offset + size - 1 - i
    view.setUint8(place, Number(BigInt.asUintN(8, value >> BigInt(8 * i))))
  }
}
