import { missingPrivileges } from '../../syscall/sys/capabilities.ts'

/** Why the kernel cannot be used here; empty when it can. */
export function kernelUnavailable(): string[] {
  if (process.platform !== 'linux') return [`bpf(2) needs Linux, this is ${process.platform}`]
  return missingPrivileges()
}
