import { BTF_LINKAGE, type Btf, type BtfDatasec } from '../btf/index.ts'
import { SYMBOL_VISIBILITY } from './container/index.ts'
import type { ObjectSections } from './object-sections.ts'

/**
 * The object's BTF with what only the ELF file knows: sizes of data sections and places of their variables (compilers
 * leave them 0 and the kernel refuses that), and static linkage for functions of hidden visibility. Ids and strings stay.
 */
export function finishBtf(object: ObjectSections, btf: Btf): Uint8Array {
  const { file, symbols } = object
  let bytes: Uint8Array | undefined
  const writable = (): DataView => {
    bytes ??= btf.bytes.slice()
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
  const hidden = new Set(
    symbols
      .filter((s) => s.visibility === SYMBOL_VISIBILITY.hidden || s.visibility === SYMBOL_VISIBILITY.internal)
      .map(({ name }) => name),
  )
  const sizes = new Map(file.sections.map((section) => [section.name, section]))
  for (let id = btf.firstId; id < btf.endId; id++) {
    const kind = btf.kind(id)
    if (kind === 'func' && hidden.size > 0 && hidden.has(btf.name(id))) {
      const at = btf.place(id)
      const info = btf.view.getUint32(at + 4, btf.littleEndian)
      if ((info & 0xffff) === BTF_LINKAGE.global) writable().setUint32(at + 4, info & ~0xffff, btf.littleEndian)
    }
    if (kind !== 'datasec') continue
    const section = sizes.get(btf.name(id))
    const type = btf.type(id) as BtfDatasec
    if (section === undefined) continue
    const at = btf.place(id)
    if (type.size === 0 && section.size > 0) writable().setUint32(at + 8, section.size, btf.littleEndian)
    const values = new Map((object.symbolsOf.get(section.index) ?? []).map((s) => [s.name, s.value]))
    const entries = type.entries.map((entry) => ({
      ...entry,
      offset: values.get(btf.name(entry.type)) ?? entry.offset,
    }))
    entries.sort((a, b) => a.offset - b.offset)
    if (entries.every((entry, i) => entry.offset === type.entries[i].offset && entry.type === type.entries[i].type))
      continue
    const view = writable()
    entries.forEach((entry, i) => {
      view.setUint32(at + 12 + 12 * i, entry.type, btf.littleEndian)
      view.setUint32(at + 16 + 12 * i, entry.offset, btf.littleEndian)
      view.setUint32(at + 20 + 12 * i, entry.size, btf.littleEndian)
    })
  }
  return bytes ?? btf.bytes
}
