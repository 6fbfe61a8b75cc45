/** The fact tables' words for register types as numbers. */

import * as R from '../state/registers.ts'
import type { ContextAccess, ContextRegister, TypeFlag } from './prototype.ts'

const CONTEXT: Readonly<Record<ContextRegister, number>> = {
  SCALAR_VALUE: R.SCALAR,
  PTR_TO_PACKET: R.PACKET,
  PTR_TO_PACKET_META: R.PACKET_META,
  PTR_TO_PACKET_END: R.PACKET_END,
  PTR_TO_FLOW_KEYS: R.FLOW_KEYS,
  PTR_TO_SOCKET: R.SOCKET,
  PTR_TO_SOCKET_OR_NULL: R.SOCKET | R.MAYBE_NULL,
  PTR_TO_SOCK_COMMON: R.SOCK_COMMON,
  PTR_TO_SOCK_COMMON_OR_NULL: R.SOCK_COMMON | R.MAYBE_NULL,
  PTR_TO_TCP_SOCK: R.TCP_SOCK,
  PTR_TO_TCP_SOCK_OR_NULL: R.TCP_SOCK | R.MAYBE_NULL,
  PTR_TO_XDP_SOCK: R.XDP_SOCK,
  PTR_TO_XDP_SOCK_OR_NULL: R.XDP_SOCK | R.MAYBE_NULL,
  PTR_TO_MEM: R.MEM,
  PTR_TO_BUF: R.BUF,
  PTR_TO_TP_BUFFER: R.TP_BUFFER,
  PTR_TO_BTF_ID: R.BTF_ID,
}

const FLAGS: Readonly<Record<TypeFlag, number>> = {
  PTR_MAYBE_NULL: R.MAYBE_NULL,
  MEM_RDONLY: R.RDONLY,
  MEM_RINGBUF: R.RINGBUF,
  MEM_USER: R.USER,
  MEM_PERCPU: R.PERCPU,
  OBJ_RELEASE: R.RELEASE,
  PTR_UNTRUSTED: R.UNTRUSTED,
  MEM_UNINIT: R.UNINIT,
  DYNPTR_TYPE_LOCAL: R.DYNPTR_LOCAL,
  DYNPTR_TYPE_RINGBUF: R.DYNPTR_RINGBUF,
  DYNPTR_TYPE_SKB: R.DYNPTR_SKB,
  DYNPTR_TYPE_XDP: R.DYNPTR_XDP,
  DYNPTR_TYPE_SKB_META: R.DYNPTR_SKB_META,
  DYNPTR_TYPE_FILE: R.DYNPTR_ANY,
  MEM_FIXED_SIZE: R.FIXED_SIZE,
  MEM_ALLOC: R.ALLOC,
  PTR_TRUSTED: R.TRUSTED,
  MEM_RCU: R.RCU,
  NON_OWN_REF: R.NON_OWN,
  MEM_WRITE: R.WRITE,
  MEM_ALIGNED: R.ALIGNED,
}

export function flagBits(flags: readonly TypeFlag[] | undefined): number {
  let bits = 0
  if (flags !== undefined) for (const flag of flags) bits |= FLAGS[flag]
  return bits
}

/** The register type that a context load gives. */
export function contextRegister(access: ContextAccess): number {
  return CONTEXT[access.register] | flagBits(access.flags)
}
