import type { Btf } from '../../../src/btf/index.ts'
import { kernelBtf } from '../../../src/syscall/prog/kernel-btf.ts'

let other: Btf | undefined

/** The types of the kernel that is asked: the running one, or the one of {@link useTypesOf}. */
export function kernelTypes(module = 'vmlinux'): Btf | undefined {
  if (other === undefined) return kernelBtf(module)
  return module === 'vmlinux' ? other : undefined
}

/** From now on another kernel is asked than the running one: before the generators are imported, which keep what they find. */
export function useTypesOf(btf: Btf): void {
  other = btf
}
