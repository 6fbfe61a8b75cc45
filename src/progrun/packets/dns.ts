import { type ByteReader, ByteWriter } from '../../bytes/index.ts'
import { InputError, UsageError } from '../../errors/index.ts'
import { bytesToIpv4, bytesToIpv6, ipv4ToBytes, ipv6ToBytes } from './address.ts'
import type { Codec, DnsQuestion, DnsRecord, LayerFields } from './layer.ts'

const NAME_TYPES = new Set([2, 5, 12]) // NS, CNAME, PTR

const text = new TextDecoder('latin1')

function readName(reader: ByteReader, start: number): string {
  const labels: string[] = []
  let at = reader.offset
  let after = -1
  // a pointer must point backwards, so that every name ends
  let limit = at
  for (;;) {
    reader.seek(at)
    const length = reader.u8()
    if (length === 0) {
      at++
      break
    }
    if (length >> 6 === 3) {
      const target = start + (((length & 63) << 8) | reader.u8())
      if (after < 0) after = at + 2
      if (target >= limit) throw new InputError('packet.malformed', 'a dns name that points forward')
      limit = target
      at = target
      continue
    }
    if (length > 63) throw new InputError('packet.malformed', `a dns label of type ${length >> 6}`)
    labels.push(text.decode(reader.take(length)))
    at = reader.offset
    if (labels.length > 128) throw new InputError('packet.malformed', 'a dns name of more than 128 labels')
  }
  reader.seek(after < 0 ? at : after)
  return labels.join('.')
}

/** Writes a name, the longest suffix written before as a pointer. */
function writeName(out: ByteWriter, name: string, seen: Map<string, number>): void {
  const labels = name === '' || name === '.' ? [] : name.replace(/\.$/, '').split('.')
  for (let i = 0; i < labels.length; i++) {
    const suffix = labels.slice(i).join('.')
    const known = seen.get(suffix)
    if (known !== undefined) {
      out.u16(0xc000 | known)
      return
    }
    if (out.length < 0x4000) seen.set(suffix, out.length)
    const bytes = Uint8Array.from(labels[i], (char) => char.charCodeAt(0))
    if (bytes.length === 0 || bytes.length > 63)
      throw new UsageError('packet.option', `dns label ${JSON.stringify(labels[i])}: 1 to 63 bytes are allowed`)
    out.u8(bytes.length).raw(bytes)
  }
  out.u8(0)
}

function readRecord(reader: ByteReader, start: number): DnsRecord {
  const name = readName(reader, start)
  const type = reader.u16()
  const recordClass = reader.u16()
  const ttl = reader.u32()
  const length = reader.u16()
  const at = reader.offset
  const bytes = reader.take(length)
  const end = reader.offset
  let data: string | Uint8Array = bytes.slice()
  if (type === 1 && length === 4) data = bytesToIpv4(bytes)
  else if (type === 28 && length === 16) data = bytesToIpv6(bytes)
  else if (NAME_TYPES.has(type)) {
    reader.seek(at)
    data = readName(reader, start)
    reader.seek(end)
  }
  return { name, type, class: recordClass, ttl, data }
}

function writeRecord(out: ByteWriter, record: DnsRecord, seen: Map<string, number>): void {
  writeName(out, record.name, seen)
  out.u16(record.type).u16(record.class).u32(record.ttl)
  if (typeof record.data !== 'string') {
    out.u16(record.data.length).raw(record.data)
  } else if (record.type === 1) out.u16(4).raw(ipv4ToBytes(record.data))
  else if (record.type === 28) out.u16(16).raw(ipv6ToBytes(record.data))
  else {
    const lengthAt = out.length
    out.u16(0)
    writeName(out, record.data, seen)
    patchU16(out, lengthAt, out.length - lengthAt - 2)
  }
}

/** The writer patches 32 bits: the two bytes after the length are the data's own first bytes. */
function patchU16(out: ByteWriter, at: number, value: number): void {
  const bytes = out.toBytes()
  out.patchU32(at, ((value << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0)
}

function encode(fields: Partial<LayerFields['dns']>): Uint8Array {
  if (fields.raw !== undefined) return fields.raw
  const lists = [fields.answers ?? [], fields.authorities ?? [], fields.additionals ?? []]
  const questions = fields.questions ?? []
  const out = new ByteWriter({ littleEndian: false })
    .u16(fields.id ?? 0)
    .u16(fields.flags ?? 0x0100)
    .u16(questions.length)
  for (const list of lists) out.u16(list.length)
  const seen = new Map<string, number>()
  for (const question of questions) {
    writeName(out, question.name, seen)
    out.u16(question.type).u16(question.class)
  }
  for (const record of lists.flat()) writeRecord(out, record, seen)
  return out.toBytes()
}

/** DNS messages (RFC 1035): header, questions and resource records with compressed names. */
export const dns: Codec<'dns'> = {
  encode,
  decode(reader) {
    const start = reader.offset
    const id = reader.u16()
    const flags = reader.u16()
    const counts = [reader.u16(), reader.u16(), reader.u16(), reader.u16()]
    const questions: DnsQuestion[] = []
    for (let i = 0; i < counts[0]; i++)
      questions.push({ name: readName(reader, start), type: reader.u16(), class: reader.u16() })
    const records = (count: number): DnsRecord[] => {
      const out: DnsRecord[] = []
      for (let i = 0; i < count; i++) out.push(readRecord(reader, start))
      return out
    }
    const fields = {
      id,
      flags,
      questions,
      answers: records(counts[1]),
      authorities: records(counts[2]),
      additionals: records(counts[3]),
    }
    const message = reader.bytes.subarray(start, reader.offset)
    const same = sameBytes(rebuild(fields), message)
    return { fields: same ? fields : { ...fields, raw: message.slice() } }
  },
}

function rebuild(fields: Partial<LayerFields['dns']>): Uint8Array | undefined {
  try {
    return encode(fields)
  } catch (error) {
    if (error instanceof UsageError) return undefined
    throw error
  }
}

function sameBytes(left: Uint8Array | undefined, right: Uint8Array): boolean {
  return left !== undefined && left.length === right.length && left.every((byte, i) => byte === right[i])
}
