import { InputError } from '../errors/index.ts'
import { BTF_KINDS, type BtfType } from './types.ts'

/** What decoding needs of a {@link Btf}. */
export interface TypeSource {
  readonly view: DataView
  readonly littleEndian: boolean
  readonly what: string
  string(offset: number): string
}

/** Decodes the type at `at`; the walk over the headers has checked that its bytes are there. */
export function decodeType(source: TypeSource, id: number, at: number): BtfType {
  const { view, littleEndian: le } = source
  const u32 = (offset: number): number => view.getUint32(offset, le)
  const name = source.string(u32(at))
  const info = u32(at + 4)
  const sizeOrType = u32(at + 8)
  const kind = BTF_KINDS[(info >>> 24) & 0x1f]
  const flag = info >>> 31 === 1
  const vlen = info & 0xffff
  const data = at + 12
  switch (kind) {
    case 'int': {
      const word = u32(data)
      const encoding = (word >>> 24) & 0x0f
      return {
        kind,
        name,
        size: sizeOrType,
        bits: word & 0xff,
        bitOffset: (word >>> 16) & 0xff,
        signed: (encoding & 1) !== 0,
        char: (encoding & 2) !== 0,
        bool: (encoding & 4) !== 0,
      }
    }
    case 'ptr':
      return { kind, type: sizeOrType }
    case 'array':
      return { kind, type: u32(data), indexType: u32(data + 4), count: u32(data + 8) }
    case 'struct':
    case 'union': {
      const members = new Array(vlen)
      for (let i = 0; i < vlen; i++) {
        const place = data + 12 * i
        const offset = u32(place + 8)
        members[i] = {
          name: source.string(u32(place)),
          type: u32(place + 4),
          bitOffset: flag ? offset & 0xffffff : offset,
          bitSize: flag ? offset >>> 24 : 0,
        }
      }
      return { kind, name, size: sizeOrType, members, bitFields: flag }
    }
    case 'enum': {
      const values = new Array(vlen)
      for (let i = 0; i < vlen; i++) {
        const place = data + 8 * i
        values[i] = {
          name: source.string(u32(place)),
          value: flag ? view.getInt32(place + 4, le) : u32(place + 4),
        }
      }
      return { kind, name, size: sizeOrType, signed: flag, values }
    }
    case 'enum64': {
      const values = new Array(vlen)
      for (let i = 0; i < vlen; i++) {
        const place = data + 12 * i
        const value = (BigInt(u32(place + 8)) << 32n) | BigInt(u32(place + 4))
        values[i] = { name: source.string(u32(place)), value: flag ? BigInt.asIntN(64, value) : value }
      }
      return { kind, name, size: sizeOrType, signed: flag, values }
    }
    case 'fwd':
      return { kind, name, union: flag }
    case 'typedef':
      return { kind, name, type: sizeOrType }
    case 'volatile':
    case 'const':
    case 'restrict':
      return { kind, type: sizeOrType }
    case 'func':
      return { kind, name, type: sizeOrType, linkage: vlen }
    case 'func_proto': {
      const params = new Array(vlen)
      for (let i = 0; i < vlen; i++) params[i] = { name: source.string(u32(data + 8 * i)), type: u32(data + 8 * i + 4) }
      return { kind, returnType: sizeOrType, params }
    }
    case 'var':
      return { kind, name, type: sizeOrType, linkage: u32(data) }
    case 'datasec': {
      const entries = new Array(vlen)
      for (let i = 0; i < vlen; i++) {
        const place = data + 12 * i
        entries[i] = { type: u32(place), offset: u32(place + 4), size: u32(place + 8) }
      }
      return { kind, name, size: sizeOrType, entries }
    }
    case 'float':
      return { kind, name, size: sizeOrType }
    case 'decl_tag': {
      const component = view.getInt32(data, le)
      return flag
        ? { kind, name, type: sizeOrType, component, attribute: true }
        : { kind, name, type: sizeOrType, component }
    }
    case 'type_tag':
      return flag ? { kind, name, type: sizeOrType, attribute: true } : { kind, name, type: sizeOrType }
    default:
      throw new InputError('btf.kind', `${source.what}: type [${id}] at offset ${at} has no known kind`)
  }
}
