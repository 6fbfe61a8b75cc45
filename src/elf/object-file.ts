import elfy from 'elfy'
import { InputError } from '../errors/index.ts'
import { ELF_MACHINE, ELF_TYPE, type ElfFile, readElf } from './container/index.ts'

/**
 * Opens a BPF object: elfy reads the section table, the container reads it again with every number checked, and the two
 * must agree. What elfy reads wrongly (machine, alignment, entry sizes, sections outside the file; symbols and relocations
 * it does not know) comes from the container alone.
 * @throws InputError `elf.*`
 */
export function openObjectFile(bytes: Uint8Array, what: string): ElfFile {
  const file = readElf(bytes, what)
  if (!file.is64) throw new InputError('elf.class', `${what}: a 32-bit ELF file; BPF objects are 64-bit`)
  if (file.type !== ELF_TYPE.rel)
    throw new InputError('elf.type', `${what}: ELF type ${file.type} is no relocatable object (1)`)
  if (file.machine !== ELF_MACHINE.bpf && file.machine !== ELF_MACHINE.none)
    throw new InputError('elf.machine', `${what}: built for machine ${file.machine}, BPF is ${ELF_MACHINE.bpf}`)
  compareWithElfy(file)
  return file
}

function compareWithElfy(file: ElfFile): void {
  let table: ReturnType<typeof elfy.parse>
  try {
    table = elfy.parse(asBuffer(file.bytes))
  } catch (cause) {
    throw new InputError('elf.section', `${file.what}: the section table does not read: ${(cause as Error).message}`, {
      cause,
    })
  }
  const { sections } = table.body
  // elfy does not know the extended count of more than 65,279 sections
  if (table.shnum === 0 && file.sections.length > 0) return
  for (const [index, section] of file.sections.entries()) {
    const other = sections[index]
    if (
      other === undefined ||
      other.off !== section.offset ||
      other.size !== section.size ||
      other.link !== section.link
    )
      throw new InputError('elf.section', `${file.what}: two readers disagree on section ${index} (${section.name})`)
  }
}

/** elfy needs Node's Buffer (its polyfill in a browser): the same bytes, no copy. */
function asBuffer(bytes: Uint8Array): Uint8Array {
  const NodeBuffer = (globalThis as { Buffer?: { from(b: ArrayBufferLike, o: number, n: number): Uint8Array } }).Buffer
  return NodeBuffer === undefined ? bytes : NodeBuffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
