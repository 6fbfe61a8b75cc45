import { readFileSync } from 'node:fs'
import type { SymbolResolver } from '../asm/index.ts'
import { Btf } from '../btf/index.ts'
import { isElf, readElf, sectionNamed } from '../elf/container/index.ts'
import { InputError } from '../errors/index.ts'

/**
 * The BTF in a file: raw, as /sys/kernel/btf/vmlinux has it, or the `.BTF` section of an ELF file.
 * @throws InputError `input.unreadable`, `btf.*`, `elf.*`
 */
export function readBtf(path: string): Btf {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (cause) {
    throw new InputError('input.unreadable', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
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
