import { ERRNO } from '../../uapi/index.ts'
import type { FibRoute } from '../environment.ts'
import type { Machine } from '../machine.ts'
import { HandleMap, StorageMap } from '../maps/index.ts'
import type { HelperTable } from './table.ts'

const AF_INET = 2
const AF_INET6 = 10
const FIB_BYTES = 64
/** BPF_FIB_LKUP_RET_NOT_FWDED: no route. */
const NOT_FORWARDED = 4

/** The bytes of an address in text, IPv4 or IPv6. */
function addressBytes(text: string): number[] {
  if (!text.includes(':')) return text.split('.').map(Number)
  const [head, tail] = text.split('::')
  const words = (part: string | undefined): number[] =>
    part === undefined || part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16))
  const front = words(head)
  const back = words(tail)
  const all =
    tail === undefined ? front : [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back]
  return all.flatMap((word) => [word >> 8, word & 0xff])
}

function matches(route: FibRoute, destination: Uint8Array): boolean {
  const [text, bits] = route.prefix.split('/')
  const network = addressBytes(text)
  if (network.length !== destination.length) return false
  const length = bits === undefined ? network.length * 8 : Number(bits)
  for (let bit = 0; bit < length; bit++) {
    const mask = 0x80 >> (bit & 7)
    if ((network[bit >> 3] & mask) !== (destination[bit >> 3] & mask)) return false
  }
  return true
}

function fib(m: Machine): number {
  const size = m.low(3)
  if (size < FIB_BYTES) return -ERRNO.EINVAL
  const at = m.writable(2, size)
  const { u8, view } = m.memory
  const family = u8[at]
  if (family !== AF_INET && family !== AF_INET6) return NOT_FORWARDED
  const destination = u8.slice(at + 32, at + 32 + (family === AF_INET ? 4 : 16))
  const route = m.environment.routes.find((one) => matches(one, destination))
  if (route === undefined) return NOT_FORWARDED
  view.setUint32(at + 8, route.ifindex, true)
  if (route.mtu !== undefined) view.setUint16(at + 6, route.mtu, true)
  view.setUint32(at + 48, 0, true)
  u8.set(route.smac.subarray(0, 6), at + 52)
  u8.set(route.dmac.subarray(0, 6), at + 58)
  return route.result ?? 0
}

function storage(m: Machine): number {
  const map = m.map(1)
  if (!(map instanceof StorageMap)) return m.fail('invalid-argument', `R1: map ${map.name} is no storage`)
  return map.storage(m.get64(2), (m.get64(4) & 1n) !== 0n, m.readableOrNull(3, map.spec.valueSize))
}
function dropStorage(m: Machine): number {
  const map = m.map(1)
  return map instanceof StorageMap ? map.drop(m.get64(2)) : -ERRNO.EINVAL
}

/** Whether the task's cgroup is below the one whose id stands in a cgroup_array: map in `register`, index in the next one. */
function underCgroup(m: Machine, register: number): number {
  const map = m.map(register)
  if (!(map instanceof HandleMap)) return m.fail('invalid-argument', `R${register}: map ${map.name} holds no cgroups`)
  const index = m.low(register + 1)
  if (index >= map.spec.maxEntries) return -ERRNO.E2BIG
  const cgroup = map.targetAt(index)
  if (cgroup === undefined) return -ERRNO.EAGAIN
  return m.environment.cgroupAncestors.includes(BigInt(cgroup)) ? 1 : 0
}

/** Routes, sockets and local storage. Socket look-ups find nothing unless they are mocked. */
export const NETWORK_CALLS: HelperTable = {
  fib_lookup: fib,
  check_mtu: (m) => {
    const at = m.writable(3, 4)
    const { packet } = m.run
    const length = packet === undefined ? 0 : packet.dataEnd - packet.data
    const limit = 65_536 + 14
    m.memory.view.setUint32(at, 65_536, true)
    return length + m.int(4) > limit ? 1 : 0
  },
  sk_lookup_tcp: () => 0,
  sk_lookup_udp: () => 0,
  skc_lookup_tcp: () => 0,
  sk_release: () => 0,
  sk_fullsock: () => 0,
  tcp_sock: () => 0,
  get_socket_cookie: () => 0,
  get_socket_uid: () => 65_534,
  get_netns_cookie: () => 1,
  skb_cgroup_id: (m) => m.environment.task.cgroupId,
  skb_ancestor_cgroup_id: (m) => m.environment.cgroupAncestors[m.int(2)] ?? 0n,
  skb_under_cgroup: (m) => underCgroup(m, 2),
  current_task_under_cgroup: (m) => underCgroup(m, 1),
  get_current_task: () => 0,
  get_current_task_btf: () => 0,
  sk_storage_get: storage,
  task_storage_get: storage,
  inode_storage_get: storage,
  cgrp_storage_get: storage,
  sk_storage_delete: dropStorage,
  task_storage_delete: dropStorage,
  inode_storage_delete: dropStorage,
  cgrp_storage_delete: dropStorage,
  get_local_storage: (m) => {
    const map = m.map(1)
    return map instanceof StorageMap
      ? map.storage(0n, true, 0)
      : m.fail('invalid-argument', `R1: map ${map.name} is no storage`)
  },
  get_attach_cookie: () => 0,
  get_func_ip: () => 0,
  override_return: () => 0,
}
