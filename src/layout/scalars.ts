import { type ByteOrder, badValue, type Layout } from './layout.ts'

const little = (order: ByteOrder): boolean => order === 'little'

function integer(name: string, size: 1 | 2 | 4, signed: boolean, byteOrder?: ByteOrder): Layout<number> {
  const bits = size * 8
  const low = signed ? -(2 ** (bits - 1)) : 0
  const high = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1
  const read: (view: DataView, at: number, le: boolean) => number =
    size === 1
      ? signed
        ? (view, at) => view.getInt8(at)
        : (view, at) => view.getUint8(at)
      : size === 2
        ? signed
          ? (view, at, le) => view.getInt16(at, le)
          : (view, at, le) => view.getUint16(at, le)
        : signed
          ? (view, at, le) => view.getInt32(at, le)
          : (view, at, le) => view.getUint32(at, le)
  return {
    kind: 'int',
    name,
    size,
    align: size,
    signed,
    ...(byteOrder === undefined ? {} : { byteOrder }),
    read: (view, at, order) => read(view, at, little(byteOrder ?? order)),
    write(view, at, value, order, path) {
      const number = typeof value === 'bigint' ? Number(value) : value
      if (typeof number !== 'number' || !Number.isInteger(number) || number < low || number > high)
        badValue(path, value, `an integer from ${low} to ${high} (${name})`)
      const le = little(byteOrder ?? order)
      if (size === 1) view.setUint8(at, number)
      else if (size === 2) view.setUint16(at, number, le)
      else view.setUint32(at, number, le)
    },
  }
}

function wide(name: string, signed: boolean, byteOrder?: ByteOrder, kind: 'int' | 'pointer' = 'int'): Layout<bigint> {
  const low = signed ? -(1n << 63n) : 0n
  const high = signed ? (1n << 63n) - 1n : (1n << 64n) - 1n
  return {
    kind,
    name,
    size: 8,
    align: 8,
    signed,
    ...(byteOrder === undefined ? {} : { byteOrder }),
    read: (view, at, order) =>
      signed ? view.getBigInt64(at, little(byteOrder ?? order)) : view.getBigUint64(at, little(byteOrder ?? order)),
    write(view, at, value, order, path) {
      const number: unknown = value
      const big = typeof number === 'number' && Number.isInteger(number) ? BigInt(number) : value
      if (typeof big !== 'bigint' || big < low || big > high)
        badValue(path, value, `a bigint from ${low} to ${high} (${name})`)
      view.setBigUint64(at, BigInt.asUintN(64, big), little(byteOrder ?? order))
    },
  }
}

export const u8: Layout<number> = integer('__u8', 1, false)
export const u16: Layout<number> = integer('__u16', 2, false)
export const u32: Layout<number> = integer('__u32', 4, false)
export const u64: Layout<bigint> = wide('__u64', false)
export const i8: Layout<number> = integer('__s8', 1, true)
export const i16: Layout<number> = integer('__s16', 2, true)
export const i32: Layout<number> = integer('__s32', 4, true)
export const i64: Layout<bigint> = wide('__s64', true)
/** Network byte order whatever the machine. */
export const be16: Layout<number> = integer('__be16', 2, false, 'big')
export const be32: Layout<number> = integer('__be32', 4, false, 'big')
export const be64: Layout<bigint> = wide('__be64', false, 'big')

export const bool: Layout<boolean> = {
  kind: 'bool',
  name: '_Bool',
  size: 1,
  align: 1,
  read: (view, at) => view.getUint8(at) !== 0,
  write(view, at, value, _order, path) {
    if (typeof value !== 'boolean') badValue(path, value, 'a boolean')
    view.setUint8(at, value ? 1 : 0)
  },
}

function float(name: string, size: 4 | 8): Layout<number> {
  return {
    kind: 'float',
    name,
    size,
    align: size,
    read: (view, at, order) => (size === 4 ? view.getFloat32(at, little(order)) : view.getFloat64(at, little(order))),
    write(view, at, value, order, path) {
      if (typeof value !== 'number') badValue(path, value, 'a number')
      if (size === 4) view.setFloat32(at, value, little(order))
      else view.setFloat64(at, value, little(order))
    },
  }
}
export const f32: Layout<number> = float('float', 4)
export const f64: Layout<number> = float('double', 8)

/** A 64-bit address; `target` absent: void. */
export function pointer(target?: Layout): Layout<bigint> {
  return { ...wide('', false, undefined, 'pointer'), ...(target === undefined ? {} : { element: target }) }
}

const hex2 = (byte: number): string => byte.toString(16).padStart(2, '0')

/** An Ethernet address as "02:00:00:00:00:01". */
export const mac: Layout<string> = {
  kind: 'address',
  name: 'mac',
  size: 6,
  align: 1,
  element: u8,
  count: 6,
  read: (view, at) => Array.from({ length: 6 }, (_, i) => hex2(view.getUint8(at + i))).join(':'),
  write(view, at, value, _order, path) {
    if (typeof value !== 'string' || !/^[0-9a-f]{1,2}([:-][0-9a-f]{1,2}){5}$/i.test(value))
      badValue(path, value, 'an Ethernet address such as "02:00:00:00:00:01"')
    value.split(/[:-]/).forEach((part, i) => {
      view.setUint8(at + i, Number.parseInt(part, 16))
    })
  },
}

/** An IPv4 address as "192.0.2.1", in network order. */
export const ipv4: Layout<string> = {
  kind: 'address',
  name: '__be32',
  size: 4,
  align: 4,
  byteOrder: 'big',
  element: be32,
  read: (view, at) => [0, 1, 2, 3].map((i) => view.getUint8(at + i)).join('.'),
  write(view, at, value, _order, path) {
    const parts = typeof value === 'string' && /^\d{1,3}(\.\d{1,3}){3}$/.test(value) ? value.split('.').map(Number) : []
    if (parts.length !== 4 || parts.some((part) => part > 255))
      badValue(path, value, 'an IPv4 address such as "192.0.2.1"')
    parts.forEach((part, i) => {
      view.setUint8(at + i, part)
    })
  },
}

/** An IPv6 address in its short form ("2001:db8::1"). */
export const ipv6: Layout<string> = {
  kind: 'address',
  name: 'in6_addr',
  size: 16,
  align: 1,
  element: u8,
  count: 16,
  read: (view, at) => formatIpv6(Array.from({ length: 8 }, (_, i) => view.getUint16(at + 2 * i, false))),
  write(view, at, value, _order, path) {
    const words = typeof value === 'string' ? parseIpv6(value) : undefined
    if (words === undefined) badValue(path, value, 'an IPv6 address such as "2001:db8::1"')
    words.forEach((word, i) => {
      view.setUint16(at + 2 * i, word, false)
    })
  },
}

function formatIpv6(words: readonly number[]): string {
  let start = -1
  let length = 1
  for (let i = 0; i < 8; i++) {
    let run = 0
    while (i + run < 8 && words[i + run] === 0) run++
    if (run > length) {
      start = i
      length = run
    }
  }
  const text = (part: readonly number[]): string => part.map((word) => word.toString(16)).join(':')
  return start < 0 ? text(words) : `${text(words.slice(0, start))}::${text(words.slice(start + length))}`
}

function parseIpv6(text: string): number[] | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const words = (half: string): number[] | undefined => {
    if (half === '') return []
    const out: number[] = []
    for (const [i, part] of half.split(':').entries()) {
      const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(part)
      if (v4 !== null && i === half.split(':').length - 1) {
        const bytes = v4.slice(1).map(Number)
        if (bytes.some((byte) => byte > 255)) return undefined
        out.push((bytes[0] << 8) | bytes[1], (bytes[2] << 8) | bytes[3])
      } else if (/^[0-9a-f]{1,4}$/i.test(part)) out.push(Number.parseInt(part, 16))
      else return undefined
    }
    return out
  }
  const head = words(halves[0])
  const tail = halves.length === 2 ? words(halves[1]) : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined
  return [...head, ...Array.from({ length: halves.length === 1 ? 0 : missing }, () => 0), ...tail]
}
