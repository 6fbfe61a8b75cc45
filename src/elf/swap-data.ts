import { Btf } from '../btf/index.ts'
import type { MapSpec, ObjectSpec } from '../spec/index.ts'

/** The initial bytes of a global-data map in the other byte order: every integer of every typed variable is turned. */
export function swapData(object: ObjectSpec, map: MapSpec, bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes)
  if (object.btf === undefined) return out
  const btf = new Btf(object.btf, { what: `${object.name}: BTF` })
  for (const variable of object.variables)
    if (variable.section === map.section && variable.typeId !== undefined)
      swap(btf, variable.typeId, out, variable.offset, 0)
  return out
}

function swap(btf: Btf, id: number, bytes: Uint8Array, at: number, depth: number): void {
  if (depth > 32) return
  const type = btf.resolve(id)
  switch (type.kind) {
    case 'int':
    case 'float':
    case 'enum':
    case 'enum64':
      bytes.subarray(at, at + type.size).reverse()
      return
    case 'ptr':
      bytes.subarray(at, at + 8).reverse()
      return
    case 'array': {
      const size = btf.sizeOf(type.type) ?? 0
      if (size === 0) return
      for (let i = 0; i < type.count && at + i * size < bytes.length; i++)
        swap(btf, type.type, bytes, at + i * size, depth + 1)
      return
    }
    case 'struct': {
      // bit fields share a storage unit, which is turned once
      const units = new Set<number>()
      for (const { type: member, bitOffset, bitSize } of type.members) {
        if (bitSize === 0) {
          swap(btf, member, bytes, at + bitOffset / 8, depth + 1)
          continue
        }
        const size = btf.sizeOf(member) ?? 1
        const unit = Math.floor(bitOffset / (size * 8)) * size
        if (!units.has(unit)) swap(btf, member, bytes, at + unit, depth + 1)
        units.add(unit)
      }
      return
    }
    case 'union':
      // which member holds the value is not known: the first one, as C initialises
      if (type.members[0] !== undefined) swap(btf, type.members[0].type, bytes, at, depth + 1)
      return
    default:
  }
}
