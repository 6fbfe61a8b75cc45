import type { SymbolResolver } from '../asm/index.ts'
import { Btf } from '../btf/index.ts'
import { isElf, readElf, sectionNamed } from '../elf/container/index.ts'
import { InputError } from '../errors/index.ts'
import { readInput } from './read-input.ts'

/**
 * The BTF in a file: raw, as /sys/kernel/btf/vmlinux has it, or the `.BTF` section of an ELF file.
 * @throws UsageError `input.missing`; InputError `btf.*`, `elf.*`
 */
export function readBtf(path: string): Btf {
  const bytes = readInput(path)
  if (!isElf(bytes)) return new Btf(bytes)
  const section = sectionNamed(readElf(bytes, path), '.BTF')
  if (section === undefined) throw new InputError('btf.none', `${path}: no section .BTF`)
  return new Btf(section.data)
}

/** Kernel functions by the ids of a kernel's own BTF (modules have BTF of their own and are not looked at). */
export function kfuncResolver(btf: Btf): SymbolResolver {
  return {
    kfunc: (name) => btf.idByName(name, 'func'),
    kfuncName: (id, module) => (module === 0 && btf.has(id) && btf.kind(id) === 'func' ? btf.name(id) : undefined),
  }
}
