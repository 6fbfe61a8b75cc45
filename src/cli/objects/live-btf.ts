import { Btf } from '../../btf/index.ts'
import { btfBytes, btfInfo, openById, type Sys } from '../../syscall/index.ts'

/** The kernel's own types, which those of modules and of programs split from them continue. */
function kernelTypes(sys: Sys): Btf | undefined {
  using fd = openById(sys, 'btf', 1)
  if (fd === undefined) return undefined
  const info = btfInfo(sys, fd.fd)
  return info.kernel && info.name === 'vmlinux' ? new Btf(btfBytes(sys, fd.fd), { what: 'vmlinux' }) : undefined
}

/** The BTF with that id, undefined when there is none (any more). Types of kernel modules are read over vmlinux. */
export function liveBtf(sys: Sys, id: number, base?: Btf): Btf | undefined {
  if (id === 0) return undefined
  using fd = openById(sys, 'btf', id)
  if (fd === undefined) return undefined
  const info = btfInfo(sys, fd.fd)
  const under = base ?? (info.kernel && info.name !== 'vmlinux' ? kernelTypes(sys) : undefined)
  return new Btf(btfBytes(sys, fd.fd), { what: `BTF ${id}`, ...(under !== undefined && { base: under }) })
}
