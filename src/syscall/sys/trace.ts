import {
  ATTACH_TYPES,
  type AttrField,
  attachTypeName,
  BPF_ATTRS,
  type BpfCommand,
  mapTypeName,
  programTypeName,
} from '../../uapi/index.ts'
import { errnoName } from './errno.ts'
import type { Sys } from './sys.ts'

let forced: boolean | undefined
let sink: (line: string) => void = (line) => process.stderr.write(line)
const fromEnvironment = process.env['TYPEBPF_TRACE'] === '1'

/** Whether commands are printed: TYPEBPF_TRACE=1, or as a program set it. */
export function tracing(): boolean {
  return forced ?? fromEnvironment
}

/** Turns the trace on or off for this process; `undefined` gives the decision back to TYPEBPF_TRACE. */
export function setTrace(on: boolean | undefined, write?: (line: string) => void): void {
  forced = on
  if (write !== undefined) sink = write
}

/** Numbers that have names. */
const NAMES: Readonly<Record<string, (value: number) => string | undefined>> = {
  map_type: mapTypeName,
  prog_type: programTypeName,
  attach_type: attachTypeName,
  expected_attach_type: attachTypeName,
}

/** Which part of BPF_LINK_CREATE's union an attach type means. */
const LINK_PARTS: readonly (readonly [part: string, types: readonly number[]])[] = [
  ['perf_event.', [ATTACH_TYPES.perf_event]],
  ['kprobe_multi.', [ATTACH_TYPES.trace_kprobe_multi, ATTACH_TYPES.trace_kprobe_session]],
  ['uprobe_multi.', [ATTACH_TYPES.trace_uprobe_multi, ATTACH_TYPES.trace_uprobe_session]],
  ['netfilter.', [ATTACH_TYPES.netfilter]],
  ['tcx.', [ATTACH_TYPES.tcx_ingress, ATTACH_TYPES.tcx_egress]],
  ['netkit.', [ATTACH_TYPES.netkit_primary, ATTACH_TYPES.netkit_peer]],
  ['iter_info', [ATTACH_TYPES.trace_iter]],
  ['tracing.', [ATTACH_TYPES.trace_fentry, ATTACH_TYPES.trace_fexit, ATTACH_TYPES.modify_return, ATTACH_TYPES.lsm_mac]],
]
const UNION_START = 16

/** Fields of the union of BPF_LINK_CREATE belong to one attach type each. */
function belongs(command: BpfCommand, name: string, [offset]: AttrField, view: DataView): boolean {
  if (command !== 'link_create' || offset < UNION_START) return true
  const type = view.getUint32(BPF_ATTRS.link_create.attach_type[0], true)
  const part = LINK_PARTS.find(([, types]) => types.includes(type))?.[0]
  if (part !== undefined) return name.startsWith(part)
  return attachTypeName(type)?.startsWith('cgroup_') === true && type !== 0
    ? name.startsWith('cgroup.')
    : name === 'target_btf_id'
}

const text = new TextDecoder()
const SHOWN_BYTES = 32

/** Memory behind an address, where it is the arena's: all that this room hands to the kernel is. */
function textAt(sys: Sys | undefined, address: bigint): string | undefined {
  const bytes = sys?.peek(Number(address), 256)
  if (bytes === undefined) return undefined
  const end = bytes.indexOf(0)
  return JSON.stringify(text.decode(bytes.slice(0, end < 0 ? bytes.length : end)))
}

function bytesAt(sys: Sys | undefined, address: bigint, size: number): string | undefined {
  const bytes = sys?.peek(Number(address), Math.min(size, SHOWN_BYTES))
  if (bytes === undefined) return undefined
  return `[${Buffer.from(bytes).toString('hex')}${size > bytes.length ? '…' : ''}]`
}

/** What a trace may know beside the attributes. */
export interface TraceContext {
  readonly sys?: Sys
  /** Bytes of keys and values, which the attributes do not say. */
  readonly keySize?: number
  readonly valueSize?: number
}

function shown(name: string, value: bigint, [, , meaning]: AttrField, context: TraceContext): string {
  const known = NAMES[name]?.(Number(value))
  if (known !== undefined) return known
  if (meaning === 'text') return textAt(context.sys, value) ?? `0x${value.toString(16)}`
  if (meaning === 'address') {
    const size =
      name === 'key' || name === 'next_key' ? context.keySize : name === 'value' ? context.valueSize : undefined
    const bytes = size === undefined ? undefined : bytesAt(context.sys, value, size)
    return bytes ?? `0x${value.toString(16)}`
  }
  return meaning === 'hex' ? `0x${value.toString(16)}` : String(value)
}

/** The fields of union bpf_attr that are set, as `name=value`: types by name, texts and keys with their bytes. */
export function decodeAttr(command: BpfCommand, view: DataView, size: number, context: TraceContext = {}): string[] {
  const parts: string[] = []
  for (const [name, field] of Object.entries(BPF_ATTRS[command]) as [string, AttrField][]) {
    const [offset, width, meaning] = field
    if (offset + width > size || !belongs(command, name, field, view)) continue
    if (width === 16) {
      const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, 16)
      const end = bytes.indexOf(0)
      if (end !== 0) parts.push(`${name}=${JSON.stringify(text.decode(bytes.slice(0, end < 0 ? 16 : end)))}`)
      continue
    }
    const value = width === 4 ? BigInt(view.getUint32(offset, true)) : view.getBigUint64(offset, true)
    // A zero is an absent field, except for the object that the command is about and attach types, where it is one.
    if (value === 0n && !(meaning === 'fd' && offset === 0) && name !== 'attach_type') continue
    parts.push(`${name}=${shown(name, value, field, context)}`)
  }
  return parts
}

/** One line a command, as strace would print it. */
export function traceCommand(
  command: BpfCommand,
  attr: DataView,
  size: number,
  result: number,
  context: TraceContext = {},
): void {
  const fields = decodeAttr(command, attr, size, context).join(', ')
  const answer = result < 0 ? `-1 ${errnoName(-result)}` : String(result)
  sink(`bpf(BPF_${command.toUpperCase()}, {${fields}}, ${size}) = ${answer}\n`)
}
