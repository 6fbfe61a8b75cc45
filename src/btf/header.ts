import { InputError } from '../errors/index.ts'

export const BTF_MAGIC = 0xeb9f
/** Bytes of the header that everybody writes. */
export const BTF_HEADER_BYTES = 24

export interface BtfHeader {
  readonly littleEndian: boolean
  readonly version: number
  readonly flags: number
  readonly headerLength: number
  /** Places in the file. */
  readonly typesStart: number
  readonly typesLength: number
  readonly stringsStart: number
  readonly stringsLength: number
}

/** The byte order that a magic of two bytes tells. @throws InputError `btf.magic` */
export function byteOrderOf(bytes: Uint8Array, what: string): boolean {
  if (bytes.length < 2) throw new InputError('btf.truncated', `${what}: ${bytes.length} bytes are too few for BTF`)
  const magic = bytes[0] | (bytes[1] << 8)
  if (magic === BTF_MAGIC) return true
  if (bytes[0] === BTF_MAGIC >> 8 && bytes[1] === (BTF_MAGIC & 0xff)) return false
  throw new InputError('btf.magic', `${what}: no BTF: it starts with 0x${magic.toString(16).padStart(4, '0')}`)
}

/** The checked header (struct btf_header). */
export function readHeader(bytes: Uint8Array, what: string): BtfHeader {
  const littleEndian = byteOrderOf(bytes, what)
  if (bytes.length < BTF_HEADER_BYTES)
    throw new InputError('btf.truncated', `${what}: ${bytes.length} bytes, the header alone takes ${BTF_HEADER_BYTES}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const version = view.getUint8(2)
  const flags = view.getUint8(3)
  const [headerLength, typeOff, typesLength, strOff, stringsLength] = [4, 8, 12, 16, 20].map((at) =>
    view.getUint32(at, littleEndian),
  )
  if (version !== 1) throw new InputError('btf.version', `${what}: BTF version ${version}, 1 is known`)
  if (headerLength < BTF_HEADER_BYTES || headerLength > bytes.length)
    throw new InputError('btf.header', `${what}: header length ${headerLength} of ${bytes.length} bytes`)
  const room = bytes.length - headerLength
  if (typeOff % 4 !== 0 || typeOff + typesLength > room)
    throw new InputError('btf.types', `${what}: types at ${typeOff}, ${typesLength} bytes, do not fit in ${room}`)
  if (strOff + stringsLength > room)
    throw new InputError('btf.strings', `${what}: strings at ${strOff}, ${stringsLength} bytes, do not fit in ${room}`)
  const stringsStart = headerLength + strOff
  if (stringsLength > 0 && bytes[stringsStart + stringsLength - 1] !== 0)
    throw new InputError('btf.strings', `${what}: the string section does not end with NUL`)
  return {
    littleEndian,
    version,
    flags,
    headerLength,
    typesStart: headerLength + typeOff,
    typesLength,
    stringsStart,
    stringsLength,
  }
}
