import type { Btf } from '../../btf/index.ts'
import { InputError } from '../../errors/index.ts'
import { type Json, Raw } from './json.ts'

/** Types inside types before this counts as endless. */
const MAX_DEPTH = 32

const isPrint = (code: number): boolean => code >= 0x20 && code < 0x7f

function hex128(low: bigint, high: bigint, plain: boolean): Json {
  const text = high === 0n ? `0x${low.toString(16)}` : `0x${high.toString(16)}${low.toString(16).padStart(16, '0')}`
  return plain ? new Raw(text) : text
}

function bitField(data: DataView, bit: number, bits: number, plain: boolean): Json {
  let value = 0n
  const first = bit >> 3
  const bytes = ((bit & 7) + bits + 7) >> 3
  for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(data.getUint8(first + i))
  value = (value >> BigInt(bit & 7)) & ((1n << BigInt(bits)) - 1n)
  return hex128(BigInt.asUintN(64, value), value >> 64n, plain)
}

/**
 * A value by its BTF type, with the forms that bpftool's map dumps have: enumerators and character arrays as text, bit
 * fields and 128-bit integers in hex, pointers as numbers (hex text in `plain`).
 * @throws InputError `btf.*` for types without a value and endless nesting, `bytes.truncated` when the data is too short
 */
export function btfValue(btf: Btf, typeId: number, data: DataView, plain: boolean, pointer?: PointerText): Json {
  return read({ btf, data, plain, pointer }, typeId, 0, 0)
}

/** What stands for an address, by the type that it points at; undefined: the number. */
export type PointerText = (targetId: number, address: bigint) => string | undefined

/** What stays the same while a value is read. */
interface Reading {
  readonly btf: Btf
  readonly data: DataView
  readonly plain: boolean
  readonly pointer: PointerText | undefined
}

function sizeOf(btf: Btf, id: number, depth: number): number {
  if (depth > MAX_DEPTH) throw new InputError('btf.cycle', `${btf.what}: type [${id}] has itself inside`)
  const type = btf.type(id)
  switch (type.kind) {
    case 'typedef':
    case 'const':
    case 'volatile':
    case 'restrict':
    case 'type_tag':
      return sizeOf(btf, type.type, depth + 1)
    case 'ptr':
      return 8
    case 'array':
      return type.count * sizeOf(btf, type.type, depth + 1)
    case 'int':
    case 'enum':
    case 'enum64':
    case 'struct':
    case 'union':
    case 'float':
      return type.size
    default:
      throw new InputError('btf.no-size', `${btf.what}: a ${type.kind} has no value`)
  }
}

function integer(data: DataView, at: number, size: number, signed: boolean): number | bigint | undefined {
  switch (size) {
    case 1:
      return signed ? data.getInt8(at) : data.getUint8(at)
    case 2:
      return signed ? data.getInt16(at, true) : data.getUint16(at, true)
    case 4:
      return signed ? data.getInt32(at, true) : data.getUint32(at, true)
    case 8:
      return signed ? data.getBigInt64(at, true) : data.getBigUint64(at, true)
    default:
      return undefined
  }
}

function characters(btf: Btf, elementId: number, count: number, data: DataView, at: number): string | undefined {
  let type = btf.type(elementId)
  while (type.kind === 'const' || type.kind === 'volatile' || type.kind === 'restrict') type = btf.type(type.type)
  if (type.kind !== 'int' || type.size !== 1 || !(type.char || type.name === 'char')) return undefined
  let text = ''
  for (let i = 0; i < count; i++) {
    const code = data.getUint8(at + i)
    if (code === 0) return text
    if (!isPrint(code)) return undefined
    text += String.fromCharCode(code)
  }
  return undefined
}

/** @param bit the value's first bit from the start of the data */
function read(reading: Reading, id: number, bit: number, depth: number): Json {
  const { btf, data, plain } = reading
  if (depth > MAX_DEPTH) throw new InputError('btf.cycle', `${btf.what}: type [${id}] has itself inside`)
  const type = btf.type(id)
  const at = bit >> 3
  switch (type.kind) {
    case 'typedef':
    case 'const':
    case 'volatile':
    case 'restrict':
    case 'type_tag':
    case 'var':
      return read(reading, type.type, bit, depth + 1)
    case 'int': {
      if (type.bitOffset !== 0 || type.bits % 8 !== 0 || bit % 8 !== 0)
        return bitField(data, bit + type.bitOffset, type.bits, plain)
      if (type.size === 16) return hex128(data.getBigUint64(at, true), data.getBigUint64(at + 8, true), plain)
      if (type.bool) return data.getUint8(at) !== 0
      if (type.char) {
        const code = data.getUint8(at)
        if (isPrint(code)) return String.fromCharCode(code)
        return plain ? new Raw(`0x${code.toString(16)}`) : String.fromCharCode(code)
      }
      return integer(data, at, type.size, type.signed) ?? bitField(data, bit, type.bits, plain)
    }
    case 'ptr': {
      const address = data.getBigUint64(at, true)
      const text = reading.pointer?.(type.type, address)
      if (text !== undefined) return text
      return plain ? new Raw(address === 0n ? '(nil)' : `0x${address.toString(16)}`) : address
    }
    case 'enum':
    case 'enum64': {
      const value = integer(data, at, type.size, true) ?? 0
      const named = type.values.find((row) => BigInt.asIntN(8 * type.size, BigInt(row.value)) === BigInt(value))
      return named?.name ?? value
    }
    case 'array': {
      const text = characters(btf, type.type, type.count, data, at)
      if (text !== undefined) return text
      const step = sizeOf(btf, type.type, depth + 1)
      if (step === 0) return []
      if (type.count * step > data.byteLength)
        throw new InputError(
          'bytes.truncated',
          `${btf.what}: an array of ${type.count} does not fit ${data.byteLength} bytes`,
        )
      return Array.from({ length: type.count }, (_, i) => read(reading, type.type, (at + i * step) * 8, depth + 1))
    }
    case 'struct':
    case 'union': {
      const members: Record<string, Json> = {}
      for (const { name, type: member, bitOffset, bitSize } of type.members)
        members[name] =
          bitSize > 0
            ? bitField(data, bit + bitOffset, bitSize, plain)
            : read(reading, member, bit + bitOffset, depth + 1)
      return members
    }
    case 'datasec':
      return {
        [type.name]: type.entries.map(({ type: variable, offset }) => {
          const row = btf.type(variable)
          return { [row.kind === 'var' ? row.name : '']: read(reading, variable, bit + offset * 8, depth + 1) }
        }),
      }
    case 'float':
      return type.size === 4 ? data.getFloat32(at, true) : type.size === 8 ? data.getFloat64(at, true) : null
    default:
      throw new InputError('btf.no-size', `${btf.what}: a ${type.kind} has no value`)
  }
}
