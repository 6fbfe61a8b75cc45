import { Btf, type BtfDatasec, type BtfFunc, readHeader, StringTable } from '../btf/index.ts'
import { ByteWriter } from '../bytes/index.ts'
import type { ObjectSpec } from './object.ts'

/** The BTF that goes to the kernel with a program, still open for the strings of its lines. */
export interface ImageBtf {
  /** The offset of a string, appended when it is not there. */
  string(text: string): number
  bytes(): Uint8Array
}

interface Known {
  readonly base: Uint8Array
  readonly strings: Map<string, number>
}

const cache = new WeakMap<Uint8Array, Known>()

/** @throws InputError `btf.*` */
export function imageBtf(object: ObjectSpec): ImageBtf | undefined {
  if (object.btf === undefined) return undefined
  let known = cache.get(object.btf)
  if (known === undefined) {
    const base = forKernel(object.btf, object)
    known = { base, strings: stringsOf(base, object.name) }
    cache.set(object.btf, known)
  }
  const { base, strings } = known
  const header = readHeader(base, object.name)
  const added = new StringTable(Math.max(1, header.stringsLength))
  let grown = false
  return {
    string(text) {
      const there = text === '' ? 0 : strings.get(text)
      if (there !== undefined) return there
      grown = true
      return added.add(text)
    },
    bytes() {
      if (!grown) return base
      const tail = added.toBytes()
      const types = base.subarray(header.typesStart, header.typesStart + header.typesLength)
      const old = base.subarray(header.stringsStart, header.stringsStart + header.stringsLength)
      const head = old.length === 0 ? new Uint8Array(1) : old
      return new ByteWriter({ littleEndian: header.littleEndian })
        .raw(base.subarray(0, 4))
        .u32(24)
        .u32(0)
        .u32(types.length)
        .u32(types.length)
        .u32(head.length + tail.length)
        .raw(types)
        .raw(head)
        .raw(tail)
        .toBytes()
    },
  }
}

function stringsOf(bytes: Uint8Array, what: string): Map<string, number> {
  const { stringsStart, stringsLength } = readHeader(bytes, what)
  const strings = bytes.subarray(stringsStart, stringsStart + stringsLength)
  const decoder = new TextDecoder()
  const out = new Map<string, number>()
  for (let at = 0; at < strings.length; ) {
    const end = strings.indexOf(0, at)
    if (end < 0) break
    const text = decoder.decode(strings.subarray(at, end))
    if (!out.has(text)) out.set(text, at)
    at = end + 1
  }
  return out
}

const EXTERN = 2
const GLOBAL = 1

/**
 * The object's BTF without what the kernel refuses, ids unchanged: extern functions and variables become global ones, a
 * section of kernel symbols becomes one of integers, .kconfig gets the places of its values, nameless parameters of functions
 * get a name.
 */
function forKernel(bytes: Uint8Array, object: ObjectSpec): Uint8Array {
  const btf = new Btf(bytes, { what: `${object.name}: BTF` })
  const header = readHeader(bytes, btf.what)
  const le = btf.littleEndian
  const out = new Uint8Array(bytes)
  const view = new DataView(out.buffer)
  const places = new Map(object.externs.map((extern) => [extern.name, extern]))
  let intId = 0
  let changed = false
  const ksyms: number[] = []
  for (let id = btf.firstId; id < btf.endId; id++) {
    const kind = btf.kind(id)
    if (kind === 'int' && intId === 0 && btf.sizeOf(id) === 4) intId = id
    if (kind === 'func' && (view.getUint32(btf.place(id) + 4, le) & 0xffff) === EXTERN) {
      view.setUint32(btf.place(id) + 4, ((view.getUint32(btf.place(id) + 4, le) & ~0xffff) | GLOBAL) >>> 0, le)
      changed = true
    }
    if (kind === 'func' && nameParameters(btf, view, (btf.type(id) as BtfFunc).type, view.getUint32(btf.place(id), le)))
      changed = true
    if (kind === 'var' && view.getUint32(btf.place(id) + 12, le) === EXTERN) {
      view.setUint32(btf.place(id) + 12, GLOBAL, le)
      changed = true
    }
    if (kind !== 'datasec') continue
    const type = btf.type(id) as BtfDatasec
    if (type.name === '.ksyms') ksyms.push(id)
    if (type.name !== '.kconfig') continue
    changed = true
    const at = btf.place(id)
    const entries = type.entries.map((entry) => {
      const extern = places.get(btf.name(entry.type))
      view.setUint32(btf.place(entry.type) + 12, GLOBAL, le)
      return { type: entry.type, offset: extern?.offset ?? 0, size: extern?.size ?? entry.size }
    })
    entries.sort((a, b) => a.offset - b.offset)
    const map = object.maps.find(({ section }) => section === '.kconfig')
    view.setUint32(at + 8, map?.valueSize ?? type.size, le)
    writeEntries(view, at, entries, le)
  }
  if (ksyms.length === 0) return changed ? out : bytes
  // the stand-in for functions in the section, and an integer if the object has none
  const added = new ByteWriter({ littleEndian: le })
  const nameOffset = header.stringsLength
  if (intId === 0) {
    added
      .u32(0)
      .u32(1 << 24)
      .u32(4)
      .u32(32)
    patchNames(added, [0], nameOffset)
    intId = btf.endId
  }
  const standIn = btf.endId + added.length / 16
  added
    .u32(nameOffset)
    .u32(14 << 24)
    .u32(intId)
    .u32(GLOBAL)
  for (const id of ksyms) {
    const type = btf.type(id) as BtfDatasec
    const at = btf.place(id)
    const entries = type.entries.map((entry, i) => {
      const target = btf.type(entry.type)
      const place = btf.place(entry.type)
      if (target.kind === 'func') {
        view.setUint32(place + 4, ((view.getUint32(place + 4, le) & ~0xffff) | GLOBAL) >>> 0, le)
        nameParameters(btf, view, target.type, nameOffset)
      } else if (target.kind === 'var') {
        view.setUint32(place + 8, intId, le)
        view.setUint32(place + 12, GLOBAL, le)
      }
      return { type: target.kind === 'func' ? standIn : entry.type, offset: 4 * i, size: 4 }
    })
    view.setUint32(at + 8, 4 * entries.length, le)
    writeEntries(view, at, entries, le)
  }
  const types = out.subarray(header.typesStart, header.typesStart + header.typesLength)
  const strings = out.subarray(header.stringsStart, header.stringsStart + header.stringsLength)
  const typesLength = types.length + added.length
  return new ByteWriter({ littleEndian: le })
    .raw(out.subarray(0, 4))
    .u32(24)
    .u32(0)
    .u32(typesLength)
    .u32(typesLength)
    .u32(strings.length + STAND_IN.length)
    .raw(types)
    .raw(added.toBytes())
    .raw(strings)
    .raw(STAND_IN)
    .toBytes()
}

const STAND_IN = new TextEncoder().encode('extern_ksym\0')

function patchNames(writer: ByteWriter, places: readonly number[], nameOffset: number): void {
  for (const place of places) writer.patchU32(place, nameOffset)
}

function writeEntries(
  view: DataView,
  at: number,
  entries: readonly { readonly type: number; readonly offset: number; readonly size: number }[],
  le: boolean,
): void {
  entries.forEach(({ type, offset, size }, i) => {
    const place = at + 12 + 12 * i
    view.setUint32(place, type, le)
    view.setUint32(place + 4, offset, le)
    view.setUint32(place + 8, size, le)
  })
}

/**
 * Compilers leave parameters without names that the source does not name; the kernel wants every one of a function named.
 * Answers whether there were such.
 */
function nameParameters(btf: Btf, view: DataView, protoId: number, nameOffset: number): boolean {
  const proto = btf.type(protoId)
  if (proto.kind !== 'func_proto') return false
  const at = btf.place(protoId) + 12
  let named = false
  proto.params.forEach(({ name, type }, i) => {
    if (name !== '' || type === 0) return
    view.setUint32(at + 8 * i, nameOffset, btf.littleEndian)
    named = true
  })
  return named
}
