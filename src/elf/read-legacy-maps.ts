import { ByteReader } from '../bytes/index.ts'
import { InputError } from '../errors/index.ts'
import type { MapSpec } from '../spec/index.ts'
import { SYMBOL_TYPE } from './container/index.ts'
import type { ObjectSections } from './object-sections.ts'
import type { PlacedMap } from './read-btf-maps.ts'

/** Bytes of iproute2's struct bpf_elf_map: type, key, value, entries, flags, id, pinning, inner id, inner index. */
const IPROUTE2_BYTES = 36

/**
 * Maps of `maps` and `maps/…` sections (before BTF): an array of structs that start with type, key size, value size,
 * entries and flags. What follows the flags depends on the loader the object was made for; the size of one definition
 * tells iproute2's form, else the rest is an inner map's index and a NUMA node (the kernel's samples) or unused.
 * @throws InputError `elf.map`
 */
export function readLegacyMaps(object: ObjectSections): PlacedMap[] {
  const { file, roles, what } = object
  const out: PlacedMap[] = []
  for (const section of file.sections) {
    if (roles[section.index] !== 'legacy-maps') continue
    const symbols = (object.symbolsOf.get(section.index) ?? []).filter(
      ({ name, type }) => name !== '' && (type === SYMBOL_TYPE.notype || type === SYMBOL_TYPE.object),
    )
    if (symbols.length === 0) continue
    // where definitions were left out by a linker, their sizes say more than the section's
    const [{ size: first }] = symbols
    const each = first >= 16 && symbols.every(({ size }) => size === first) ? first : section.size / symbols.length
    if (!Number.isInteger(each) || each < 16)
      throw new InputError(
        'elf.map',
        `${what}: section ${section.name}: ${section.size} bytes do not divide into ${symbols.length} map definitions`,
      )
    const definitions = symbols.map((symbol) => {
      const reader = new ByteReader(section.data, {
        littleEndian: file.littleEndian,
        what: `${what}: map ${symbol.name}`,
      })
      if (symbol.value % 4 !== 0 || symbol.value + each > section.size)
        throw new InputError(
          'elf.map',
          `${what}: map ${symbol.name} at ${symbol.value} does not fit in section ${section.name}`,
        )
      reader.seek(symbol.value)
      const words = Array.from({ length: Math.floor(each / 4) }, () => reader.u32())
      const [type, keySize, valueSize, maxEntries, flags = 0] = words
      // old definitions leave the value of a map of maps open: it is a map's fd
      const size = isMapInMap(type) && valueSize === 0 ? 4 : valueSize
      const map: MapSpec = { name: symbol.name, type, keySize, valueSize: size, maxEntries, flags }
      return { symbol, map, words }
    })
    for (const { symbol, map, words } of definitions) {
      const inner =
        each === IPROUTE2_BYTES
          ? definitions.find((other) => words[7] !== 0 && other.words[5] === words[7])
          : isMapInMap(map.type) && words.length > 5
            ? definitions[words[5]]
            : undefined
      const byName = each === IPROUTE2_BYTES && words[6] !== 0
      out.push({
        section: section.index,
        offset: symbol.value,
        map: {
          ...map,
          ...(inner === undefined || inner.symbol === symbol ? {} : { inner: { ...inner.map } }),
          ...(byName ? { pinning: 'by_name' as const } : {}),
        },
      })
    }
  }
  return out
}

/** array_of_maps and hash_of_maps. */
function isMapInMap(type: number): boolean {
  return type === 12 || type === 13
}
