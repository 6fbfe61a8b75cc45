import { readFileSync } from 'node:fs'
import { Btf } from '../../btf/index.ts'

const loaded = new Map<string, Btf>()

/** BTF of the running kernel (`/sys/kernel/btf/vmlinux`) or of one of its modules; undefined where it has none. */
export function kernelBtf(module = 'vmlinux'): Btf | undefined {
  let btf = loaded.get(module)
  if (btf === undefined) {
    let bytes: Uint8Array
    try {
      bytes = readFileSync(`/sys/kernel/btf/${module}`)
    } catch {
      return undefined
    }
    btf = new Btf(bytes, { what: `BTF of ${module}`, base: module === 'vmlinux' ? undefined : kernelBtf() })
    loaded.set(module, btf)
  }
  return btf
}
