import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Btf } from '../btf/index.ts'
import { isElf, readElf, sectionNamed } from '../elf/container/index.ts'
import { InputError, UsageError } from '../errors/index.ts'

/**
 * The BTF in a file: raw BTF, or an ELF file's .BTF section. A kernel module's BTF (/sys/kernel/btf/NAME) is read over
 * the vmlinux beside it.
 * @throws UsageError `input.missing`; InputError `btf.*`, `elf.*`
 */
export function loadBtf(path: string, basePath?: string): Btf {
  if (!existsSync(path)) throw new UsageError('input.missing', `${path}: there is no such file`)
  const bytes = readFileSync(path)
  const sibling = join(dirname(path), 'vmlinux')
  const implied =
    basePath === undefined && path.startsWith('/sys/kernel/btf/') && path !== sibling && existsSync(sibling)
  const base = basePath !== undefined ? loadBtf(basePath) : implied ? loadBtf(sibling) : undefined
  if (!isElf(bytes)) return new Btf(bytes, { what: path, base })
  const section = sectionNamed(readElf(bytes, path), '.BTF')
  if (section === undefined) throw new InputError('btf.missing', `${path}: the file has no .BTF section`)
  return new Btf(section.data, { what: `${path}: section .BTF`, base })
}

/** Where a running kernel keeps its BTF. */
export const KERNEL_BTF = '/sys/kernel/btf/vmlinux'
