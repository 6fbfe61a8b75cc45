import { InputError } from '../../errors/index.ts'

/** A field of a tracepoint's record, as the `format` file of tracefs has it. */
export interface TracepointField {
  readonly name: string
  /** The C declaration. */
  readonly type: string
  readonly offset: number
  /** Bytes of the field; of an array all its elements. */
  readonly size: number
  readonly signed: boolean
  /** `__data_loc`: the field holds the place of the bytes (low half) and their number (high half). */
  readonly dynamic: boolean
  /** Text: an array of char. */
  readonly text: boolean
}

const FIELD = /^\s*field:(.+?)\s*;\s*offset:\s*(\d+)\s*;\s*size:\s*(\d+)\s*;\s*signed:\s*([01])\s*;/
const MAX_RECORD = 4096

/**
 * The fields of a tracepoint from the text of /sys/kernel/tracing/events/CATEGORY/NAME/format, the common ones (the first
 * eight bytes) included.
 * @throws InputError `emulator.tracepoint-format` when the text has no field
 */
export function readTracepointFormat(text: string): TracepointField[] {
  const fields: TracepointField[] = []
  for (const line of text.split('\n')) {
    const match = FIELD.exec(line)
    if (match === null) continue
    const [, declaration, offset, size, signed] = match
    const name = /([A-Za-z_]\w*)\s*(\[[^\]]*\])?$/.exec(declaration)
    if (name === null || Number(offset) + Number(size) > MAX_RECORD)
      throw new InputError('emulator.tracepoint-format', `a field that does not read: ${line.trim().slice(0, 200)}`)
    const type = declaration.slice(0, name.index).trim()
    const dynamic = type.startsWith('__data_loc')
    fields.push({
      name: name[1],
      type: `${type}${name[2] ?? ''}`,
      offset: Number(offset),
      size: Number(size),
      signed: signed === '1',
      dynamic,
      text: /\bchar\b/.test(type) && (dynamic || name[2] !== undefined),
    })
  }
  if (fields.length === 0)
    throw new InputError('emulator.tracepoint-format', 'the text has no field: it is no tracepoint format of tracefs')
  return fields
}

/** A value of a field: a number, text, or bytes. */
export type TracepointValue = number | bigint | string | Uint8Array

/**
 * A record for a run's `ctx`: named fields are set, the others 0; what `__data_loc` fields say follows the record.
 * @throws InputError `emulator.tracepoint-field` for names and values that the record does not take
 */
export function tracepointRecord(
  fields: readonly TracepointField[],
  values: Readonly<Record<string, TracepointValue>>,
): Uint8Array {
  const end = Math.max(...fields.map(({ offset, size }) => offset + size))
  const out = new Uint8Array(MAX_RECORD)
  const view = new DataView(out.buffer)
  let length = end
  for (const [name, value] of Object.entries(values)) {
    const fail = (why: string): never => {
      throw new InputError('emulator.tracepoint-field', `${name}: ${why}`, {
        details: [`fields: ${fields.map((field) => field.name).join(' ')}`],
      })
    }
    const field = fields.find((one) => one.name === name) ?? fail('the record has no such field')
    const bytes =
      value instanceof Uint8Array
        ? value
        : typeof value === 'string'
          ? new TextEncoder().encode(`${value}\0`)
          : numberBytes(BigInt(value), field.dynamic ? 0 : field.size, fail)
    if (field.dynamic) {
      if (length + bytes.length > MAX_RECORD) fail(`the record would pass ${MAX_RECORD} bytes`)
      view.setUint32(field.offset, (bytes.length << 16) | length, true)
      out.set(bytes, length)
      length += bytes.length
      continue
    }
    if (typeof value === 'string' && !field.text) fail(`it is ${field.type}, no text`)
    // text is cut as the kernel cuts it: the last byte stays 0
    const cut = typeof value === 'string' ? bytes.subarray(0, Math.max(0, field.size - 1)) : bytes
    if (cut.length > field.size) fail(`${cut.length} bytes for a field of ${field.size}`)
    out.set(cut, field.offset)
  }
  return out.slice(0, length)
}

function numberBytes(value: bigint, size: number, fail: (why: string) => never): Uint8Array {
  if (![1, 2, 4, 8].includes(size)) fail('a number does not fit this field')
  const bits = 8 * size
  if (value >= 1n << BigInt(bits) || value < -(1n << BigInt(bits - 1))) fail(`${value} does not fit ${size} bytes`)
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true)
  return bytes.subarray(0, size)
}
