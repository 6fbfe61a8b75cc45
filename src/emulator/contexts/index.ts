/** Contexts: tables of fields by program type, and what puts a context and its packet into memory before a run. */
import { InputError } from '../../errors/index.ts'
import type { Machine } from '../machine.ts'
import { SHADOW } from '../memory.ts'
import type { PacketState, RunState } from '../run-state.ts'
import {
  CONTEXTS,
  type ContextField,
  type ContextRow,
  type ContextTable,
  SK_LOOKUP,
  SK_MSG,
  SK_REUSEPORT,
  XDP_MD,
} from './tables.ts'

export { CONTEXTS, type ContextField, type ContextRow, type ContextTable, RETURN_NAMES } from './tables.ts'

/** Field values of a context, or its bytes as BPF_PROG_TEST_RUN takes them. */
export type ContextInput = Readonly<Record<string, number | bigint>> | Uint8Array

/** Room before the data and behind it, bytes: XDP as the kernel's test run on 4 KiB pages, others by the same measure. */
export const XDP_HEADROOM = 256
export const XDP_TAILROOM = 320
const XDP_FRAME = 4096
/** The longest packet that a run takes. */
export const MAX_PACKET_BYTES = 65_535
const SKB_HEADROOM = 512
/** Where packets live: room for the longest packet with head and tail. */
export const PACKET_BUFFER_BYTES = 2 * SKB_HEADROOM + 2 * 65_536
const CONTEXT_BYTES = 4096
/** sizeof(struct bpf_flow_keys), and where __sk_buff points to it. */
const FLOW_KEYS_BYTES = 56
const FLOW_KEYS_FIELD = 144
const ETHERNET_BYTES = 14
/** Where sk_msg_md and sk_reuseport_md have the number of bytes. */
const MESSAGE_SIZE = 68
const REUSEPORT_LENGTH = 16

/** Of bpf_sk_lookup: where the family and the addresses of both families are. */
const FAMILY = 8
const AF_INET = 2
const AF_INET6 = 10
const IPV4_ADDRESSES = [
  [16, 4],
  [40, 4],
] as const
const IPV6_ADDRESSES = [
  [20, 16],
  [44, 16],
] as const

const EMPTY: ContextRow = { table: { kind: 'none', size: 0, fields: [] }, writable: [] }

export function contextRow(programType: string | undefined): ContextRow {
  return (programType === undefined ? undefined : CONTEXTS[programType]) ?? EMPTY
}

/** A context's fields from its bytes. */
export function readContext(table: ContextTable, bytes: Uint8Array): Record<string, bigint> {
  const values: Record<string, bigint> = {}
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (const { name, offset, size } of table.fields) {
    if (offset + size > bytes.length) break
    if (size === 8) values[name] = view.getBigUint64(offset, true)
    else if (size === 4) values[name] = BigInt(view.getUint32(offset, true))
    else values[name] = BigInt(size === 2 ? view.getUint16(offset, true) : view.getUint8(offset))
  }
  return values
}

const fieldIndex = new WeakMap<ContextTable, ReadonlyMap<string, ContextField>>()
function fieldOf(table: ContextTable, name: string): ContextField | undefined {
  let fields = fieldIndex.get(table)
  if (fields === undefined) {
    fields = new Map(table.fields.map((field) => [field.name, field]))
    fieldIndex.set(table, fields)
  }
  return fields.get(name)
}

export function setField(m: Machine, table: ContextTable, at: number, name: string, value: number | bigint): void {
  const field = fieldOf(table, name)
  if (field === undefined)
    throw new InputError('emulator.context', `${table.kind} has no field ${name}`, {
      details: [`its fields: ${table.fields.map((one) => one.name).join(' ')}`],
    })
  const { view } = m.memory
  if (field.size === 8) view.setBigUint64(at + field.offset, BigInt.asUintN(64, BigInt(value)), true)
  else if (field.size === 4) view.setUint32(at + field.offset, Number(BigInt.asUintN(32, BigInt(value))), true)
  else if (field.size === 2) view.setUint16(at + field.offset, Number(BigInt.asUintN(16, BigInt(value))), true)
  else view.setUint8(at + field.offset, Number(BigInt.asUintN(8, BigInt(value))))
}

/** Prepares contexts and packets of one emulator; the buffers are reused from run to run. */
export class ContextSetup {
  readonly #machine: Machine
  readonly #context: number
  readonly #packet: number
  /** Bytes of the context of the current run. */
  contextSize = 0
  #contextRow: ContextRow | undefined
  #keys: number | undefined
  #shown: readonly [number, number] = [0, 0]

  constructor(machine: Machine) {
    this.#machine = machine
    this.#context = machine.memory.mustAllocate(CONTEXT_BYTES, SHADOW.none, 'context')
    this.#packet = machine.memory.mustAllocate(PACKET_BUFFER_BYTES, SHADOW.none, 'packet')
  }

  /** Makes exactly [meta, dataEnd) of the packet's buffer accessible. */
  show(packet: PacketState): void {
    const { memory } = this.#machine
    if (this.#shown[0] === packet.meta && this.#shown[1] === packet.dataEnd) return
    memory.protect(this.#shown[0], this.#shown[1] - this.#shown[0], SHADOW.none)
    memory.protect(packet.meta, packet.dataEnd - packet.meta, SHADOW.readWrite)
    this.#shown = [packet.meta, packet.dataEnd]
  }

  hide(): void {
    const { memory } = this.#machine
    memory.protect(this.#shown[0], this.#shown[1] - this.#shown[0], SHADOW.none)
    this.#shown = [0, 0]
  }

  /** flow_dissector: gives the program fresh flow keys as the kernel fills them in, behind ctx->flow_keys. */
  flowKeys(run: RunState, frame: Uint8Array): number {
    const { memory } = this.#machine
    this.#keys ??= memory.mustAllocate(FLOW_KEYS_BYTES, SHADOW.readWrite, 'flow keys')
    const at = this.#keys
    memory.u8.fill(0, at, at + FLOW_KEYS_BYTES)
    // nhoff, thoff: behind the Ethernet header; n_proto as in the frame
    memory.view.setUint16(at, ETHERNET_BYTES, true)
    memory.view.setUint16(at + 2, ETHERNET_BYTES, true)
    if (frame.length >= ETHERNET_BYTES) memory.u8.set(frame.subarray(12, 14), at + 10)
    memory.setU64(run.ctx + FLOW_KEYS_FIELD, BigInt(at))
    return at
  }

  /** The flow keys after a run: both header offsets are brought inside the packet, as the kernel does. */
  flowKeysOut(keys: number, frameBytes: number): Uint8Array {
    const { view, u8 } = this.#machine.memory
    const clamp = (value: number, low: number): number => Math.min(Math.max(value, low), frameBytes & 0xffff)
    const network = clamp(view.getUint16(keys, true), ETHERNET_BYTES)
    view.setUint16(keys, network, true)
    view.setUint16(keys + 2, clamp(view.getUint16(keys + 2, true), network), true)
    return u8.slice(keys, keys + FLOW_KEYS_BYTES)
  }

  /** @param metadata XDP: bytes in front of the data */
  packetState(row: ContextRow, bytes: Uint8Array, metadata: Uint8Array): PacketState {
    if (bytes.length > MAX_PACKET_BYTES)
      throw new InputError('emulator.packet', `a packet of ${bytes.length} bytes; the limit is ${MAX_PACKET_BYTES}`)
    if (metadata.length % 4 !== 0 || metadata.length > 216)
      throw new InputError(
        'emulator.packet',
        `${metadata.length} bytes of metadata; a multiple of 4 up to 216 is possible`,
      )
    const { memory } = this.#machine
    const xdp = row.packet === 'xdp'
    const start = this.#packet
    const data = start + (xdp ? XDP_HEADROOM : SKB_HEADROOM)
    // the kernel's buffers are zeroed: nothing of an earlier packet shows
    memory.u8.fill(0, start, data)
    memory.u8.set(bytes, data)
    if (metadata.length > 0) memory.u8.set(metadata, data - metadata.length)
    const frame = Math.max(XDP_FRAME, data - start + bytes.length + XDP_TAILROOM)
    return {
      start,
      end: xdp ? start + frame - XDP_TAILROOM : start + PACKET_BUFFER_BYTES - SKB_HEADROOM,
      meta: data - metadata.length,
      data: data,
      dataEnd: data + bytes.length,
    }
  }

  /** Puts the context at its place; its fields that mirror the packet are filled by {@link mirror}. */
  context(row: ContextRow, run: RunState, input: ContextInput | undefined): void {
    const { memory } = this.#machine
    const { table } = row
    const given = input instanceof Uint8Array ? input : undefined
    const size = table.open === true && given !== undefined ? given.length : table.size
    if (size > CONTEXT_BYTES || (given !== undefined && given.length > size))
      throw new InputError(
        'emulator.context',
        `${given?.length ?? size} bytes of context; ${table.kind} has ${Math.min(size, CONTEXT_BYTES)}`,
      )
    const at = this.#context
    memory.u8.fill(0, at, at + Math.max(size, this.contextSize))
    run.ctx = at
    if (this.#contextRow !== row || this.contextSize !== size) this.#protect(row, size)
    if (given !== undefined) memory.u8.set(given, at)
    else if (input !== undefined)
      for (const [name, value] of Object.entries(input)) setField(this.#machine, table, at, name, value)
    if (table === SK_LOOKUP) this.#oneFamily(at)
  }

  /** bpf_sk_lookup: the addresses of the other family read as zeros. */
  #oneFamily(at: number): void {
    const { memory } = this.#machine
    const family = memory.view.getUint32(at + FAMILY, true)
    const ranges = family === AF_INET ? IPV6_ADDRESSES : family === AF_INET6 ? IPV4_ADDRESSES : []
    for (const [offset, size] of ranges) memory.u8.fill(0, at + offset, at + offset + size)
  }

  #protect(row: ContextRow, size: number): void {
    const { memory } = this.#machine
    const at = this.#context
    memory.protect(at, this.contextSize, SHADOW.none)
    memory.protect(at, size, row.writable === 'all' ? SHADOW.readWrite : SHADOW.read)
    if (row.writable !== 'all')
      for (const field of row.table.fields)
        if (row.writable.includes(field.name)) memory.protect(at + field.offset, field.size, SHADOW.readWrite)
    this.#contextRow = row
    this.contextSize = size
  }

  /** Writes the packet's place into the context: after setup and after every helper that moves it. */
  mirror(run: RunState): void {
    const { packet, ctx } = run
    if (packet === undefined) return
    const { view } = this.#machine.memory
    this.show(packet)
    if (run.contextKind === XDP_MD.kind) {
      view.setUint32(ctx, packet.data, true)
      view.setUint32(ctx + 4, packet.dataEnd, true)
      view.setUint32(ctx + 8, packet.meta, true)
      return
    }
    const size = packet.dataEnd - packet.data
    if (run.contextKind === SK_MSG.kind || run.contextKind === SK_REUSEPORT.kind) {
      view.setBigUint64(ctx, BigInt(packet.data), true)
      view.setBigUint64(ctx + 8, BigInt(packet.dataEnd), true)
      view.setUint32(ctx + (run.contextKind === SK_MSG.kind ? MESSAGE_SIZE : REUSEPORT_LENGTH), size, true)
      return
    }
    view.setUint32(ctx, size, true)
    view.setUint32(ctx + 76, packet.data, true)
    view.setUint32(ctx + 80, packet.dataEnd, true)
    view.setUint32(ctx + 140, packet.meta, true)
  }
}

/** Fields of __sk_buff that a test run copies back (net/bpf/test_run.c's behaviour). */
const SKB_OUT = [
  'mark',
  'priority',
  'ingress_ifindex',
  'ifindex',
  'tstamp',
  'cb0',
  'cb1',
  'cb2',
  'cb3',
  'cb4',
  'wire_len',
  'gso_segs',
  'hwtstamp',
]

/** A context after the run as BPF_PROG_TEST_RUN gives it back: what went in, with the fields that the kernel fills in. */
export function contextOut(
  row: ContextRow,
  bytes: Uint8Array,
  input: ContextInput | undefined,
  run: RunState,
): Uint8Array {
  const { packet } = run
  if (packet === undefined || row.packet === 'message') return bytes
  const out = new Uint8Array(bytes.length)
  if (input instanceof Uint8Array) out.set(input)
  if (row.packet === 'xdp') {
    const view = new DataView(out.buffer)
    if (!(input instanceof Uint8Array)) out.set(bytes.subarray(12), 12)
    view.setUint32(0, packet.data - packet.meta, true)
    view.setUint32(4, packet.dataEnd - packet.meta, true)
    view.setUint32(8, 0, true)
    return out
  }
  for (const name of SKB_OUT) {
    const field = fieldOf(row.table, name)
    if (field !== undefined) out.set(bytes.subarray(field.offset, field.offset + field.size), field.offset)
  }
  return out
}
