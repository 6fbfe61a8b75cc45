import { readFileSync, readlinkSync } from 'node:fs'
import { bytesToHex } from '../../bytes/index.ts'
import { UsageError } from '../../errors/index.ts'
import { type AttrLayout, BTF_INFO, LINK_INFO, MAP_INFO, PROG_INFO } from '../../uapi/index.ts'
import { attrOut, bpf, tryBpf } from '../sys/command.ts'
import { ERRNO } from '../sys/errno.ts'
import { explainErrno } from '../sys/explain.ts'
import type { Block, Sys } from '../sys/sys.ts'
import { type RecordOf, readRecord } from './record.ts'

const INFO_BYTES = 320

/** What /proc calls the descriptors of each kind. */
const KINDS = { map: /bpf-map/, program: /bpf-prog/, link: /bpf[_-]link/, btf: /\bbtf/ } as const

/**
 * The kernel answers for any kind of object in the same bytes: what is no map must not be read as one.
 * @throws UsageError `info.kind`
 */
function mustBe(sys: Sys, fd: number, kind: keyof typeof KINDS): void {
  if (sys.kind !== 'kernel') return
  let name: string
  try {
    name = readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return
  }
  if (!KINDS[kind].test(name)) throw new UsageError('info.kind', `descriptor ${fd} is no ${kind} but ${name}`)
}

/** BPF_OBJ_GET_INFO_BY_FD into a block; the answer is the length that the kernel filled in. */
function getInfo(sys: Sys, fd: number, block: Block): number {
  bpf(sys, 'obj_get_info_by_fd', { bpf_fd: fd, info_len: INFO_BYTES, info: block.address })
  return attrOut(sys, 4)
}

function readInfo<L extends AttrLayout>(sys: Sys, fd: number, layout: L): RecordOf<L> {
  using block = sys.alloc(INFO_BYTES)
  const length = getInfo(sys, fd, block)
  return readRecord(layout, block.view, length)
}

/** What the kernel knows of a map (struct bpf_map_info). */
export type MapInfo = RecordOf<typeof MAP_INFO>

/** Linux 4.13. */
export function mapInfo(sys: Sys, fd: number): MapInfo {
  mustBe(sys, fd, 'map')
  return readInfo(sys, fd, MAP_INFO)
}

/** What the kernel knows of a program, without the arrays (struct bpf_prog_info). */
export interface ProgramInfo {
  readonly id: number
  readonly type: number
  readonly name: string
  /** SHA-1 prefix of the instructions, 16 hex digits. */
  readonly tag: string
  readonly gplCompatible: boolean
  /** When it was loaded, nanoseconds since boot. */
  readonly loadTime: bigint
  readonly createdByUid: number
  readonly xlatedBytes: number
  /** 0 when it is not compiled; known even where the code itself is hidden. */
  readonly jitedBytes: number
  readonly btfId: number
  readonly attachBtfObjId: number
  readonly attachBtfId: number
  readonly mapCount: number
  readonly funcInfoCount: number
  readonly lineInfoCount: number
  /** Nanoseconds spent and runs counted while statistics were on. Linux 5.1. */
  readonly runTimeNs: bigint
  readonly runCount: bigint
  /** Runs that did not happen because the program was running on that CPU. Linux 5.12. */
  readonly recursionMisses: bigint
  /** Instructions that the verifier walked. Linux 5.16. */
  readonly verifiedInsns: number
  readonly ifindex: number
}

type RawProgramInfo = RecordOf<typeof PROG_INFO>

function programInfoOf(raw: RawProgramInfo, tag: string): ProgramInfo {
  return {
    id: raw.id,
    type: raw.type,
    name: raw.name,
    tag,
    gplCompatible: (raw.gpl_compatible & 1) === 1,
    loadTime: raw.load_time,
    createdByUid: raw.created_by_uid,
    xlatedBytes: raw.xlated_prog_len,
    jitedBytes: raw.jited_prog_len,
    btfId: raw.btf_id,
    attachBtfObjId: raw.attach_btf_obj_id,
    attachBtfId: raw.attach_btf_id,
    mapCount: raw.nr_map_ids,
    funcInfoCount: raw.nr_func_info,
    lineInfoCount: raw.nr_line_info,
    runTimeNs: raw.run_time_ns,
    runCount: raw.run_cnt,
    recursionMisses: raw.recursion_misses,
    verifiedInsns: raw.verified_insns,
    ifindex: raw.ifindex,
  }
}

const tagOf = (block: Block): string => bytesToHex(block.bytes.subarray(PROG_INFO.tag[0], PROG_INFO.tag[0] + 8))

/** Linux 4.13. */
export function programInfo(sys: Sys, fd: number): ProgramInfo {
  mustBe(sys, fd, 'program')
  using block = sys.alloc(INFO_BYTES)
  const length = getInfo(sys, fd, block)
  return programInfoOf(readRecord(PROG_INFO, block.view, length), tagOf(block))
}

/** A function's place in the instructions: struct bpf_func_info. */
export interface FuncInfoRecord {
  readonly insn: number
  readonly typeId: number
}
/** A line's place in the instructions: struct bpf_line_info. Offsets are into the BTF's strings. */
export interface LineInfoRecord {
  readonly insn: number
  readonly fileNameOffset: number
  readonly lineOffset: number
  readonly line: number
  readonly column: number
}

/** {@link ProgramInfo} with everything that the kernel gives away of the program. */
export interface ProgramDetails extends ProgramInfo {
  /** Instructions as the verifier left them. Empty where they are hidden. */
  readonly xlated: Uint8Array
  /** Machine code of all subprograms, one behind the other; empty where it is hidden. */
  readonly jited: Uint8Array
  readonly jitedLengths: readonly number[]
  /** Kernel addresses of the subprograms; zeros where they are hidden. */
  readonly ksyms: readonly bigint[]
  readonly mapIds: readonly number[]
  readonly funcInfo: readonly FuncInfoRecord[]
  readonly lineInfo: readonly LineInfoRecord[]
  /** The machine address of each line, in the order of `lineInfo`. */
  readonly jitedLineInfo: readonly bigint[]
  readonly subprogramTags: readonly string[]
}

/** Arrays of struct bpf_prog_info: where their count and address stand, and bytes an element. */
const ARRAYS = [
  { name: 'xlated', count: PROG_INFO.xlated_prog_len, address: PROG_INFO.xlated_prog_insns, bytes: 1 },
  { name: 'jited', count: PROG_INFO.jited_prog_len, address: PROG_INFO.jited_prog_insns, bytes: 1 },
  { name: 'mapIds', count: PROG_INFO.nr_map_ids, address: PROG_INFO.map_ids, bytes: 4 },
  { name: 'ksyms', count: PROG_INFO.nr_jited_ksyms, address: PROG_INFO.jited_ksyms, bytes: 8 },
  { name: 'lengths', count: PROG_INFO.nr_jited_func_lens, address: PROG_INFO.jited_func_lens, bytes: 4 },
  {
    name: 'funcInfo',
    count: PROG_INFO.nr_func_info,
    address: PROG_INFO.func_info,
    bytes: 8,
    record: PROG_INFO.func_info_rec_size,
  },
  {
    name: 'lineInfo',
    count: PROG_INFO.nr_line_info,
    address: PROG_INFO.line_info,
    bytes: 16,
    record: PROG_INFO.line_info_rec_size,
  },
  {
    name: 'jitedLines',
    count: PROG_INFO.nr_jited_line_info,
    address: PROG_INFO.jited_line_info,
    bytes: 8,
    record: PROG_INFO.jited_line_info_rec_size,
  },
  { name: 'tags', count: PROG_INFO.nr_prog_tags, address: PROG_INFO.prog_tags, bytes: 8 },
] as const

/** Everything in bpf_prog_info: two calls, the first asks for the sizes. */
export function programDetails(sys: Sys, fd: number): ProgramDetails {
  mustBe(sys, fd, 'program')
  using block = sys.alloc(INFO_BYTES)
  const length = getInfo(sys, fd, block)
  const counts = ARRAYS.map(({ count }) => (count[0] + 4 <= length ? block.view.getUint32(count[0], true) : 0))
  const starts: number[] = []
  let total = 0
  ARRAYS.forEach(({ bytes }, index) => {
    starts.push(total)
    total += (counts[index] * bytes + 15) & ~15
  })
  using arrays = sys.alloc(total)
  block.bytes.fill(0)
  ARRAYS.forEach((row, index) => {
    if (counts[index] === 0) return
    block.view.setUint32(row.count[0], counts[index], true)
    block.view.setBigUint64(row.address[0], BigInt(arrays.address + starts[index]), true)
    if ('record' in row) block.view.setUint32(row.record[0], row.bytes, true)
  })
  const second = getInfo(sys, fd, block)
  const raw = readRecord(PROG_INFO, block.view, second)
  const part = (name: (typeof ARRAYS)[number]['name']): DataView => {
    const index = ARRAYS.findIndex((row) => row.name === name)
    const row = ARRAYS[index]
    // The kernel clears the address of what it hides.
    const hidden = block.view.getBigUint64(row.address[0], true) === 0n
    const given = hidden ? 0 : Math.min(counts[index], block.view.getUint32(row.count[0], true))
    const bytes = arrays.bytes.slice(starts[index], starts[index] + given * row.bytes)
    return new DataView(bytes.buffer)
  }
  const bytesOf = (view: DataView): Uint8Array => new Uint8Array(view.buffer)
  const each = <T>(view: DataView, size: number, read: (at: number) => T): T[] =>
    Array.from({ length: view.byteLength / size }, (_, index) => read(index * size))
  const [mapIds, ksyms, lengths] = [part('mapIds'), part('ksyms'), part('lengths')]
  const [functions, lines, machineLines, tags] = [part('funcInfo'), part('lineInfo'), part('jitedLines'), part('tags')]
  return {
    ...programInfoOf(raw, tagOf(block)),
    xlated: bytesOf(part('xlated')),
    jited: bytesOf(part('jited')),
    jitedLengths: each(lengths, 4, (at) => lengths.getUint32(at, true)),
    ksyms: each(ksyms, 8, (at) => ksyms.getBigUint64(at, true)),
    mapIds: each(mapIds, 4, (at) => mapIds.getUint32(at, true)),
    funcInfo: each(functions, 8, (at) => ({
      insn: functions.getUint32(at, true),
      typeId: functions.getUint32(at + 4, true),
    })),
    lineInfo: each(lines, 16, (at) => ({
      insn: lines.getUint32(at, true),
      fileNameOffset: lines.getUint32(at + 4, true),
      lineOffset: lines.getUint32(at + 8, true),
      line: lines.getUint32(at + 12, true) >>> 10,
      column: lines.getUint32(at + 12, true) & 0x3ff,
    })),
    jitedLineInfo: each(machineLines, 8, (at) => machineLines.getBigUint64(at, true)),
    subprogramTags: each(tags, 8, (at) => bytesToHex(bytesOf(tags).subarray(at, at + 8))),
  }
}

/** BTF in the kernel. */
export interface BtfInfo {
  readonly id: number
  readonly name: string
  /** True of the kernel's own and its modules'. */
  readonly kernel: boolean
  readonly size: number
}

/** Bytes of struct bpf_btf_info in Linux 4.18. */
const BTF_INFO_FIRST = 16

/** Linux 4.18; name and `kernel` 5.11. */
export function btfInfo(sys: Sys, fd: number): BtfInfo {
  mustBe(sys, fd, 'btf')
  using block = sys.alloc(INFO_BYTES)
  using name = sys.alloc(64)
  block.view.setBigUint64(BTF_INFO.name[0], BigInt(name.address), true)
  block.view.setUint32(BTF_INFO.name_len[0], name.size, true)
  const asked = { bpf_fd: fd, info: block.address }
  const result = tryBpf(sys, 'obj_get_info_by_fd', { ...asked, info_len: 32 })
  if (result === -ERRNO.E2BIG) {
    // Before 5.11 a BTF has no name, and nobody may ask for it.
    block.bytes.fill(0)
    bpf(sys, 'obj_get_info_by_fd', { ...asked, info_len: BTF_INFO_FIRST })
  } else if (result < 0) throw explainErrno('obj_get_info_by_fd', -result)
  const raw = readRecord(BTF_INFO, block.view, attrOut(sys, 4))
  const end = name.bytes.indexOf(0)
  return {
    id: raw.id,
    name: new TextDecoder().decode(name.bytes.slice(0, end)),
    kernel: raw.kernel_btf === 1,
    size: raw.btf_size,
  }
}

/** The bytes of a BTF in the kernel. */
export function btfBytes(sys: Sys, fd: number): Uint8Array {
  const { size } = btfInfo(sys, fd)
  using block = sys.alloc(INFO_BYTES)
  using bytes = sys.alloc(size)
  block.view.setBigUint64(BTF_INFO.btf[0], BigInt(bytes.address), true)
  block.view.setUint32(BTF_INFO.btf_size[0], size, true)
  bpf(sys, 'obj_get_info_by_fd', { bpf_fd: fd, info_len: 32, info: block.address })
  return bytes.bytes.slice()
}

/** The part of struct bpf_link_info that all links have, and the bytes of the rest. */
export interface LinkInfo {
  readonly type: number
  readonly id: number
  readonly programId: number
  /** The union behind the common part, by the offsets of struct bpf_link_info. */
  readonly raw: DataView
}

/** Linux 5.8. */
export function linkInfo(sys: Sys, fd: number): LinkInfo {
  mustBe(sys, fd, 'link')
  using block = sys.alloc(INFO_BYTES)
  const length = getInfo(sys, fd, block)
  const { type, id, prog_id } = readRecord(LINK_INFO, block.view, length)
  return { type, id, programId: prog_id, raw: new DataView(block.bytes.slice(0, length).buffer) }
}

/** What /proc/self/fdinfo says of an fd: memlock (bytes of kernel memory), map_id, frozen, and so on. */
export function fdInfo(fd: number): ReadonlyMap<string, string> {
  const text = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
  return new Map(
    text
      .split('\n')
      .map((line) => /^([^:]+):\s*(.*)$/.exec(line))
      .filter((match) => match !== null)
      .map((match) => [match[1], match[2]]),
  )
}

/** Bytes of kernel memory that a map or program takes, as fdinfo counts them. */
export function kernelMemory(fd: number): number {
  return Number(fdInfo(fd).get('memlock') ?? 0)
}
