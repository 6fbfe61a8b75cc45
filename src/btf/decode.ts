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
  const name = source.string(view.getUint32(at, le))
  const info = view.getUint32(at + 4, le)
  const sizeOrType = view.getUint32(at + 8, le)
  const kind = BTF_KINDS[(info >>> 24) & 0x1f]
  const flag = info >>> 31 === 1
  const vlen = info & 0xffff
  const data = at + 12
  switch (kind) {
    case 'int': {
      const word = view.getUint32(data, le)
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
      return {
        kind,
        type: view.getUint32(data, le),
        indexType: view.getUint32(data + 4, le),
        count: view.getUint32(data + 8, le),
      }
    case 'struct':
    case 'union': {
      const members = new Array(vlen)
      for (let i = 0; i < vlen; i++) {
        const place = data + 12 * i
        const offset = view.getUint32(place + 8, le)
        members[i] = {
          name: source.string(view.getUint32(place, le)),
          type: view.getUint32(place + 4, le),
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
          name: source.string(view.getUint32(place, le)),
          value: flag ? view.getInt32(place + 4, le) : view.getUint32(place + 4, le),
        }
      }
      return { kind, name, size: sizeOrType, signed: flag, values }
    }
    case 'enum64': {
      const values = new Array(vlen)
      for (let i = 0; i < vlen; i++) {
        const place = data + 12 * i
        const value = (BigInt(view.getUint32(place + 8, le)) << 32n) | BigInt(view.getUint32(place + 4, le))
        values[i] = { name: source.string(view.getUint32(place, le)), value: flag ? BigInt.asIntN(64, value) : value }
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
      for (let i = 0; i < vlen; i++)
        params[i] = {
          name: source.string(view.getUint32(data + 8 * i, le)),
          type: view.getUint32(data + 8 * i + 4, le),
        }
      return { kind, returnType: sizeOrType, params }
    }
    case 'var':
      return { kind, name, type: sizeOrType, linkage: view.getUint32(data, le) }
    case 'datasec': {
      const entries = new Array(vlen)
      for (let i = 0; i < vlen; i++) {
        const place = data + 12 * i
        entries[i] = {
          type: view.getUint32(place, le),
          offset: view.getUint32(place + 4, le),
          size: view.getUint32(place + 8, le),
        }
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
