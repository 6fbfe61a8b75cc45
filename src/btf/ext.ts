import { ByteReader, ByteWriter } from '../bytes/index.ts'
import { InputError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import { BTF_MAGIC, byteOrderOf } from './header.ts'

/** One record of func_info: a function starts at `offset`. */
export interface FuncInfo {
  /** Bytes from the section's start. */
  readonly offset: number
  /** The FUNC. */
  readonly typeId: number
}

/** One record of line_info. Strings are offsets into the BTF's strings. */
export interface LineInfo {
  /** Bytes from the section's start. */
  readonly offset: number
  readonly fileName: number
  readonly line: number
  readonly lineNumber: number
  readonly column: number
}

/** One CO-RE relocation record (struct bpf_core_relo). */
export interface CoreInfo {
  /** Bytes from the section's start. */
  readonly offset: number
  readonly typeId: number
  /** The access string's offset into the BTF's strings. */
  readonly access: number
  readonly kind: number
}

/** The records of a .BTF.ext section, by section name, in their order. */
export interface BtfExt {
  readonly functions: ReadonlyMap<string, readonly FuncInfo[]>
  readonly lines: ReadonlyMap<string, readonly LineInfo[]>
  readonly relocations: ReadonlyMap<string, readonly CoreInfo[]>
}

/** @throws InputError `btf-ext.*` naming the place */
export function readBtfExt(bytes: Uint8Array, btf: Btf, what = '.BTF.ext'): BtfExt {
  const littleEndian = byteOrderOf(bytes, what)
  const reader = new ByteReader(bytes, { littleEndian, what, offset: 2 })
  const version = reader.u8()
  if (version !== 1) throw new InputError('btf-ext.version', `${what}: version ${version}, 1 is known`)
  reader.u8()
  const headerLength = reader.u32()
  if (headerLength < 24 || headerLength > bytes.length)
    throw new InputError('btf-ext.header', `${what}: header length ${headerLength} of ${bytes.length} bytes`)
  const [funcOff, funcLen, lineOff, lineLen] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()]
  const [coreOff, coreLen] = headerLength >= 32 ? [reader.u32(), reader.u32()] : [0, 0]
  const part = <Row>(name: string, offset: number, length: number, minimum: number, row: (r: ByteReader) => Row) => {
    const out = new Map<string, Row[]>()
    if (length === 0) return out
    const at = headerLength + offset
    if (at % 4 !== 0 || at + length > bytes.length)
      throw new InputError('btf-ext.part', `${what}: ${name} at ${offset}, ${length} bytes, does not lie inside it`)
    const r = new ByteReader(bytes.subarray(at, at + length), { littleEndian, what: `${what}: ${name}` })
    const recordSize = r.u32()
    if (recordSize < minimum || recordSize % 4 !== 0)
      throw new InputError('btf-ext.record', `${what}: ${name} has records of ${recordSize} bytes, at least ${minimum}`)
    while (r.remaining > 0) {
      const section = btf.string(r.u32())
      const count = r.u32()
      if (count === 0) throw new InputError('btf-ext.record', `${what}: ${name} of section ${section} has no record`)
      if (count * recordSize > r.remaining)
        throw new InputError('btf-ext.record', `${what}: ${name} of section ${section}: ${count} records do not fit`)
      const rows = out.get(section) ?? []
      for (let i = 0; i < count; i++) {
        const start = r.offset
        rows.push(row(r))
        r.seek(start + recordSize)
      }
      out.set(section, rows)
    }
    return out
  }
  return {
    functions: part('func_info', funcOff, funcLen, 8, (r) => ({ offset: r.u32(), typeId: r.u32() })),
    lines: part('line_info', lineOff, lineLen, 16, (r) => {
      const [offset, fileName, line, place] = [r.u32(), r.u32(), r.u32(), r.u32()]
      return { offset, fileName, line, lineNumber: place >>> 10, column: place & 0x3ff }
    }),
    relocations: part('core_relo', coreOff, coreLen, 16, (r) => ({
      offset: r.u32(),
      typeId: r.u32(),
      access: r.u32(),
      kind: r.u32(),
    })),
  }
}

/** The bytes of a .BTF.ext section; `string` gives the offset of a section's name in the BTF's strings. */
export function writeBtfExt(ext: BtfExt, string: (text: string) => number, littleEndian = true): Uint8Array {
  const part = <Row>(
    groups: ReadonlyMap<string, readonly Row[]>,
    recordSize: number,
    row: (out: ByteWriter, item: Row) => void,
  ): Uint8Array => {
    const out = new ByteWriter({ littleEndian })
    const filled = [...groups].filter(([, rows]) => rows.length > 0)
    if (filled.length === 0) return out.toBytes()
    out.u32(recordSize)
    for (const [section, rows] of filled) {
      out.u32(string(section)).u32(rows.length)
      for (const item of rows) row(out, item)
    }
    return out.toBytes()
  }
  const functions = part(ext.functions, 8, (out, item) => out.u32(item.offset).u32(item.typeId))
  const lines = part(ext.lines, 16, (out, item) =>
    out.u32(item.offset).u32(item.fileName).u32(item.line).u32(packPlace(item.lineNumber, item.column)),
  )
  const core = part(ext.relocations, 16, (out, item) =>
    out.u32(item.offset).u32(item.typeId).u32(item.access).u32(item.kind),
  )
  // the long header even without CO-RE relocations: LLVM's reader looks for their place whatever the length says
  const head = new ByteWriter({ littleEndian }).u16(BTF_MAGIC).u8(1).u8(0).u32(32)
  head.u32(0).u32(functions.length).u32(functions.length).u32(lines.length)
  head.u32(functions.length + lines.length).u32(core.length)
  return head.raw(functions).raw(lines).raw(core).toBytes()
}

/** The line of code that has none: a record of it keeps a function's place in the line information, and is no source. */
export const NOWHERE = { file: '', line: 0, column: 0, text: '' } as const

/** Line and column in one word, as the kernel keeps them; columns above 1023 become 1023. */
export function packPlace(line: number, column: number): number {
  return ((Math.min(line, 0x3fffff) << 10) | Math.min(column, 0x3ff)) >>> 0
}
