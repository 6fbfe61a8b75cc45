import { UsageError } from '../../errors/index.ts'
import { callError } from '../sys/explain.ts'
import type { Sys } from '../sys/sys.ts'

const AF_INET = 2
const SOCK_DGRAM = 2
const SIOCGIFINDEX = 0x8933
const NAME_BYTES = 16

/**
 * The index of a network interface in this process's network namespace.
 * @throws UsageError `link.interface` when there is none of that name
 */
export function interfaceIndex(sys: Sys, nameOrIndex: string | number): number {
  if (typeof nameOrIndex === 'number') return nameOrIndex
  const name = new TextEncoder().encode(nameOrIndex)
  const missing = (): UsageError =>
    new UsageError('link.interface', `there is no network interface ${JSON.stringify(nameOrIndex)}`)
  if (name.length === 0 || name.length >= NAME_BYTES) throw missing()
  // struct ifreq: the name, then the answer
  using request = sys.alloc(40)
  request.bytes.set(name)
  const socket = sys.call('socket', AF_INET, SOCK_DGRAM, 0)
  if (socket < 0) throw callError('socket', -socket)
  const result = sys.call('ioctl', socket, SIOCGIFINDEX, request.address)
  sys.call('close', socket)
  if (result < 0) throw missing()
  return request.view.getInt32(NAME_BYTES, true)
}
