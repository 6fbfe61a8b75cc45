import { UsageError } from '../../errors/index.ts'
import { attrOut, bpf, tryBpf } from '../sys/command.ts'
import { OwnedFd } from '../sys/fd.ts'
import type { Sys } from '../sys/sys.ts'

const cached = new WeakMap<Sys, Map<string, OwnedFd>>()

/**
 * An fd of the kernel's own BTF object of that name (`vmlinux` or a module). It stays open for this process.
 * @throws UsageError `btf.module` when the running kernel has no BTF of that name
 */
export function kernelBtfFd(sys: Sys, name: string): OwnedFd {
  let fds = cached.get(sys)
  if (fds === undefined) {
    fds = new Map()
    cached.set(sys, fds)
  }
  const known = fds.get(name)
  if (known !== undefined) return known
  using info = sys.alloc(32)
  using nameBlock = sys.alloc(64)
  for (let id = 0; tryBpf(sys, 'btf_get_next_id', { start_id: id }) >= 0; ) {
    id = attrOut(sys, 4)
    const fd = tryBpf(sys, 'btf_get_fd_by_id', { btf_id: id })
    if (fd < 0) continue
    const owned = new OwnedFd(sys, fd, `BTF ${id}`)
    info.bytes.fill(0)
    nameBlock.bytes.fill(0)
    info.view.setBigUint64(16, BigInt(nameBlock.address), true)
    info.view.setUint32(24, nameBlock.size, true)
    bpf(sys, 'obj_get_info_by_fd', { bpf_fd: fd, info_len: 32, info: info.address })
    const text = Buffer.from(nameBlock.bytes.subarray(0, nameBlock.bytes.indexOf(0))).toString()
    if (info.view.getUint32(28, true) === 1 && text === name) {
      fds.set(name, owned)
      return owned
    }
    owned.close()
  }
  throw new UsageError('btf.module', `the running kernel has no BTF object named ${name}`)
}
