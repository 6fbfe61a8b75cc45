import { Btf, simplerBtf } from '../../btf/index.ts'
import { BpfError, SystemError } from '../../errors/index.ts'
import { tryBpf } from '../sys/command.ts'
import { ERRNO, errnoName } from '../sys/errno.ts'
import { errnoCauses } from '../sys/explain.ts'
import { OwnedFd } from '../sys/fd.ts'
import type { Sys } from '../sys/sys.ts'

/** BTF that lives in the kernel. */
export class LiveBtf extends OwnedFd {}

/** What older kernels may take; none of bytes that do not read as BTF: the kernel says what is wrong with them. */
function formsFor(bytes: Uint8Array): Uint8Array[] {
  try {
    return [...simplerBtf(new Btf(bytes))].map((form) => form.bytes)
  } catch (error) {
    if (error instanceof BpfError) return []
    throw error
  }
}

const LOG_BYTES = 64 * 1024

/**
 * BPF_BTF_LOAD. Linux 4.18. What a kernel does not know yet is said in its own terms where it can be, as libbpf does.
 * @throws SystemError with the kernel's own line when it does not take the types
 */
export function loadBtf(sys: Sys, bytes: Uint8Array): LiveBtf {
  using data = sys.alloc(bytes.length)
  data.bytes.set(bytes)
  const fd = tryBpf(sys, 'btf_load', { btf: data.address, btf_size: bytes.length })
  if (fd >= 0) return new LiveBtf(sys, fd, 'BTF')
  if (fd === -ERRNO.EINVAL)
    for (const simpler of formsFor(bytes)) {
      data.bytes.set(simpler)
      const older = tryBpf(sys, 'btf_load', { btf: data.address, btf_size: bytes.length })
      if (older >= 0) return new LiveBtf(sys, older, 'BTF')
    }
  data.bytes.set(bytes)
  using log = sys.alloc(LOG_BYTES)
  const again = tryBpf(sys, 'btf_load', {
    btf: data.address,
    btf_size: bytes.length,
    btf_log_buf: log.address,
    btf_log_size: LOG_BYTES,
    btf_log_level: 1,
  })
  if (again >= 0) return new LiveBtf(sys, again, 'BTF')
  const end = log.bytes.indexOf(0)
  const lines = new TextDecoder()
    .decode(log.bytes.slice(0, end < 0 ? LOG_BYTES : end))
    .trim()
    .split('\n')
  const last = lines.at(-1) ?? ''
  const details = last === '' ? errnoCauses('btf_load', -fd) : [last]
  throw new SystemError('sys.btf', `btf_load: ${errnoName(-fd)}`, { errno: -fd, details })
}
