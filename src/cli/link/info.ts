import { bpf, type OwnedFd, type Sys } from '../../syscall/index.ts'
import { LINK_TYPES, type LinkType } from '../../uapi/index.ts'

const INFO_BYTES = 128
const NAME_BYTES = 4096

const TYPE_NAMES = new Map<number, LinkType>(
  Object.entries(LINK_TYPES).map(([name, number]) => [number, name as LinkType]),
)

/** A link's struct bpf_link_info with the texts and arrays that it points at. */
export interface FullLinkInfo {
  readonly id: number
  readonly type: number
  /** undefined for a type that is newer than this table. */
  readonly typeName: LinkType | undefined
  readonly programId: number
  u32(offset: number): number
  u64(offset: number): bigint
  /** The text that the link points at (a tracepoint, a function, a path). */
  readonly text: string
  /** Its arrays of u64, in the order of {@link Pointers.arrays}. */
  readonly arrays: readonly (readonly bigint[])[]
}

/** Where a link type's info has addresses for the kernel to write through. */
interface Pointers {
  /** A text: its address and its length. */
  readonly text?: { readonly address: number; readonly length: number }
  /** Arrays of u64: their addresses, and where their common count is. */
  readonly arrays?: { readonly count: number; readonly addresses: readonly number[] }
}

/** Offsets in struct bpf_link_info (include/uapi/linux/bpf.h). */
const POINTERS: Readonly<Partial<Record<LinkType, Pointers>>> = {
  raw_tracepoint: { text: { address: 16, length: 24 } },
  iter: { text: { address: 16, length: 24 } },
  kprobe_multi: { arrays: { count: 24, addresses: [16, 40] } },
  uprobe_multi: { text: { address: 16, length: 48 }, arrays: { count: 52, addresses: [24, 32, 40] } },
}

/** What a perf event link is (enum bpf_perf_event_type). */
export const PERF_LINK = { uprobe: 1, uretprobe: 2, kprobe: 3, kretprobe: 4, tracepoint: 5, event: 6 } as const
const PERF_TEXT: Pointers = { text: { address: 24, length: 32 } }

function pointersOf(typeName: LinkType | undefined, view: DataView): Pointers {
  if (typeName !== 'perf_event') return typeName === undefined ? {} : (POINTERS[typeName] ?? {})
  return view.getUint32(16, true) === PERF_LINK.event ? {} : PERF_TEXT
}

/** BPF_OBJ_GET_INFO_BY_FD, asked again where the link has texts or arrays. Linux 5.8. */
export function fullLinkInfo(sys: Sys, fd: OwnedFd): FullLinkInfo {
  using block = sys.alloc(INFO_BYTES)
  const { view } = block
  const get = (): number =>
    bpf(sys, 'obj_get_info_by_fd', { bpf_fd: fd.fd, info_len: INFO_BYTES, info: block.address }, fd.what)
  get()
  const typeName = TYPE_NAMES.get(view.getUint32(0, true))
  const { text, arrays } = pointersOf(typeName, view)
  let name = ''
  let lists: bigint[][] = []
  if (text !== undefined || arrays !== undefined) {
    const count = arrays === undefined ? 0 : view.getUint32(arrays.count, true)
    const addresses = arrays?.addresses ?? []
    using room = sys.alloc(NAME_BYTES + 8 * count * addresses.length + 8)
    block.bytes.fill(0)
    if (text !== undefined) {
      view.setBigUint64(text.address, BigInt(room.address), true)
      view.setUint32(text.length, NAME_BYTES, true)
    }
    if (arrays !== undefined && count > 0) {
      addresses.forEach((offset, i) => {
        view.setBigUint64(offset, BigInt(room.address + NAME_BYTES + 8 * count * i), true)
      })
      view.setUint32(arrays.count, count, true)
    }
    get()
    const end = room.bytes.indexOf(0)
    name = new TextDecoder().decode(room.bytes.slice(0, Math.min(end, NAME_BYTES)))
    lists = addresses.map((_, i) =>
      Array.from({ length: count }, (_unused, k) => room.view.getBigUint64(NAME_BYTES + 8 * (count * i + k), true)),
    )
  }
  const copy = new DataView(block.bytes.slice().buffer)
  return {
    type: copy.getUint32(0, true),
    id: copy.getUint32(4, true),
    programId: copy.getUint32(8, true),
    typeName,
    u32: (offset) => copy.getUint32(offset, true),
    u64: (offset) => copy.getBigUint64(offset, true),
    text: name,
    arrays: lists,
  }
}
