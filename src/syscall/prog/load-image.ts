import { type BpfError, SystemError, UnsupportedError, UsageError } from '../../errors/index.ts'
import type { ProgramImage } from '../../spec/index.ts'
import {
  type AttrValues,
  BPF_ATTRS,
  PROGRAM_TYPES,
  PROGRAM_TYPES_SINCE,
  type ProgramType,
  programTypeName,
} from '../../uapi/index.ts'
import { createMapSet } from '../maps/map-set.ts'
import { kernelName, type RawMap } from '../maps/raw-map.ts'
import { attrOut, tryBpf } from '../sys/command.ts'
import { ERRNO, errnoName } from '../sys/errno.ts'
import { errnoCauses } from '../sys/explain.ts'
import { OwnedFd } from '../sys/fd.ts'
import { newerThanThis } from '../sys/since.ts'
import type { Block, Sys } from '../sys/sys.ts'
import { type AttachTarget, resolveAttachTarget } from './attach-target.ts'
import { type LiveBtf, loadBtf } from './btf.ts'
import { kernelBtfFd } from './kernel-btf-fd.ts'
import { type LogStatistics, logStatistics, reasonLine, type Verdict, verdictOf } from './verdict.ts'

/** Bits of a log level: instructions, every state, statistics (include/linux/bpf_verifier.h). */
export const LOG_LEVEL = { instructions: 1, states: 2, statistics: 4 } as const

export interface LoadImageOptions {
  /** Log level bits; statistics (4) are always added. Absent: the reason of a rejection and the statistics only. */
  readonly logLevel?: number
  /** The longest log that is kept, in bytes (default 16 MiB): of a longer one the end. */
  readonly maxLogBytes?: number
  /** Maps that exist already, by the index of the image's `maps`: they are used and not closed. */
  readonly maps?: ReadonlyMap<number, RawMap>
  /** Lines for instructions: BTF that is loaded already. Not closed. */
  readonly btfFd?: number
}

/** What the kernel said of a program, and what it made of it. */
export interface LoadResult {
  readonly verdict: Verdict
  /** Positive; 0 when accepted. */
  readonly errno: number
  /** The line of the log that says why; the failed command when the verifier never spoke. */
  readonly message?: string
  readonly log: string
  /** True when the beginning of the log is missing. */
  readonly logTruncated: boolean
  readonly statistics: LogStatistics
  /** The program, when it was accepted. */
  readonly program?: OwnedFd
  /** The image's maps, by index; empty when creating them failed. */
  readonly maps: readonly RawMap[]
  /** Closes the program and the maps that were made here. */
  close(): void
  [Symbol.dispose](): void
}

const FIRST_LOG = 64 * 1024
const LOG_LIMIT = 16 * 1024 * 1024
const RETRIES_WHEN_INTERRUPTED = 5
const LD_IMM64 = 0x18
const LOG_TRUE_SIZE: number = BPF_ATTRS.prog_load.log_true_size[0]
const PSEUDO_MAP_FD = 1
const PSEUDO_MAP_VALUE = 2

/** Memory that every load uses again: bytes for the kernel to read, and the log. */
interface Staging {
  bytes: Block
  log: Block
}
const stagings = new WeakMap<Sys, Staging>()

function stagingFor(sys: Sys, bytes: number): Staging {
  let staging = stagings.get(sys)
  if (staging === undefined) {
    staging = { bytes: sys.alloc(Math.max(bytes, 64 * 1024)), log: sys.alloc(FIRST_LOG) }
    stagings.set(sys, staging)
  }
  if (staging.bytes.size < bytes) {
    staging.bytes.free()
    staging.bytes = sys.alloc(bytes)
  }
  return staging
}

const encoder = new TextEncoder()

/** A Buffer turns bytes into text several times faster than a TextDecoder. */
function readLog({ bytes }: Block, length: number): string {
  const end = bytes.indexOf(0)
  const size = end < 0 || end > length ? length : end
  return size === 0 ? '' : Buffer.from(bytes.buffer, bytes.byteOffset, size).toString('utf8')
}

/** What a load made, until it is closed. A class, because a batch makes tens of thousands. */
class Loaded implements LoadResult {
  readonly verdict: Verdict
  readonly errno: number
  readonly message?: string
  readonly log: string
  readonly logTruncated: boolean
  readonly statistics: LogStatistics
  readonly program?: OwnedFd
  readonly maps: readonly RawMap[]
  #owned: Owned

  constructor(sys: Sys, { name, type }: ProgramImage, { result, log, truncated }: RawLoad, owned: Owned) {
    this.verdict = verdictOf(result, log)
    this.errno = result < 0 ? -result : 0
    if (result < 0) this.message = reasonLine(log) ?? silentReason(this.errno, type)
    else this.program = new OwnedFd(sys, result, `program ${name}`)
    this.log = log
    this.logTruncated = truncated
    this.statistics = logStatistics(log)
    this.maps = owned.maps
    this.#owned = owned
  }

  close(): void {
    this.program?.close()
    closeOwned(this.#owned)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** What a load opens beside the program. */
interface Owned {
  maps: readonly RawMap[]
  btf?: LiveBtf
  /** Maps that came from outside and stay open. */
  readonly given?: ReadonlyMap<number, RawMap>
}

function closeOwned({ maps, btf, given }: Owned): void {
  for (let index = 0; index < maps.length; index++) if (given?.get(index) !== maps[index]) maps[index].close()
  btf?.close()
}

/** The addresses of an image's parts in memory; 0 for a part that is not there. */
interface StagedImage {
  readonly memory: Staging
  readonly insns: DataView
  readonly address: number
  readonly license: number
  readonly funcInfo: number
  readonly lineInfo: number
  readonly modules: number
}

const isThere = (part: { readonly length: number } | undefined): boolean => part !== undefined && part.length > 0
const rounded = (bytes: number): number => (bytes + 15) & ~15

/** Copies everything that the kernel reads of an image into memory that it can see. */
function stageImage(sys: Sys, image: ProgramImage): StagedImage {
  const { insns, license, funcInfo, lineInfo, fdArray } = image
  const licenseAt = rounded(insns.length)
  // A UTF-16 unit takes at most three bytes of UTF-8.
  const funcsAt = licenseAt + rounded(3 * license.length + 1)
  const linesAt = funcsAt + rounded(funcInfo?.length ?? 0)
  const modulesAt = linesAt + rounded(lineInfo?.length ?? 0)
  const memory = stagingFor(sys, modulesAt + 4 * (fdArray?.length ?? 0))
  const { bytes, view, address } = memory.bytes
  bytes.set(insns)
  const { written } = encoder.encodeInto(license, bytes.subarray(licenseAt, funcsAt - 1))
  bytes[licenseAt + written] = 0
  if (funcInfo !== undefined) bytes.set(funcInfo, funcsAt)
  if (lineInfo !== undefined) bytes.set(lineInfo, linesAt)
  if (fdArray !== undefined)
    for (let i = 0; i < fdArray.length; i++)
      view.setUint32(modulesAt + 4 * i, fdArray[i] === '' ? 0 : kernelBtfFd(sys, fdArray[i]).fd, true)
  return {
    memory,
    insns: new DataView(bytes.buffer, bytes.byteOffset, insns.length),
    address,
    license: address + licenseAt,
    funcInfo: isThere(funcInfo) ? address + funcsAt : 0,
    lineInfo: isThere(lineInfo) ? address + linesAt : 0,
    modules: isThere(fdArray) ? address + modulesAt : 0,
  }
}

/** Puts map fds into the instructions; an instruction that already has a pseudo source keeps it. */
function patchMaps(view: DataView, image: ProgramImage, maps: readonly RawMap[]): void {
  const slots = view.byteLength / 8
  for (const { insn, map, kind, offset } of image.relocations) {
    if (!Number.isInteger(insn) || insn < 0 || insn + 1 >= slots || view.getUint8(insn * 8) !== LD_IMM64)
      throw new UsageError('load.relocation', `instruction ${insn} is no 64-bit immediate load: no map can stand there`)
    const target = maps[map]
    if (target === undefined) throw new UsageError('load.relocation', `instruction ${insn}: there is no map ${map}`)
    const registers = view.getUint8(insn * 8 + 1)
    if (registers >> 4 === 0)
      view.setUint8(insn * 8 + 1, registers | ((kind === 'fd' ? PSEUDO_MAP_FD : PSEUDO_MAP_VALUE) << 4))
    view.setInt32(insn * 8 + 4, target.fd, true)
    view.setInt32(insn * 8 + 12, kind === 'value' ? (offset ?? 0) : 0, true)
  }
}

interface RawLoad {
  readonly result: number
  readonly log: string
  readonly truncated: boolean
}

/** One object for all tries: the log's fields are filled in for each. */
type LoadValues = { -readonly [F in keyof AttrValues<'prog_load'>]: AttrValues<'prog_load'>[F] }

/** BPF_PROG_LOAD with a log buffer that grows until the whole log fits, or its end when it passes `limit`. */
function loadWithLog(sys: Sys, staging: Staging, values: LoadValues, level: number, limit: number): RawLoad {
  let interrupted = 0
  for (;;) {
    const { log } = staging
    const size = Math.min(log.size, limit)
    log.view.setUint8(0, 0)
    values.log_level = level
    values.log_size = size
    values.log_buf = log.address
    const result = tryBpf(sys, 'prog_load', values)
    const trueSize = attrOut(sys, LOG_TRUE_SIZE)
    if (result === -ERRNO.EAGAIN && interrupted++ < RETRIES_WHEN_INTERRUPTED) continue
    const short = trueSize > size || (result === -ERRNO.ENOSPC && trueSize === 0)
    if (!short) return { result, log: readLog(log, trueSize > 0 ? trueSize : size), truncated: false }
    if (result >= 0) sys.call('close', result)
    if (size < limit) {
      // Kernels before 6.4 do not say how long the log is.
      const wanted = trueSize > 0 ? trueSize : size * 4
      staging.log.free()
      staging.log = sys.alloc(Math.min(limit, wanted))
      continue
    }
    // The end of the log is here; the verdict comes from a second load that logs the statistics only.
    const text = readLog(log, size)
    if (level === LOG_LEVEL.statistics) return { result, log: text, truncated: true }
    return { ...loadWithLog(sys, staging, values, LOG_LEVEL.statistics, limit), log: text, truncated: true }
  }
}

/** Why the kernel refused without a word of the verifier. */
function silentReason(errno: number, type: number): string {
  const name = programTypeName(type)
  const since = name === undefined ? undefined : PROGRAM_TYPES_SINCE[name as ProgramType]
  const hint = errno === ERRNO.EINVAL ? newerThanThis(`program type ${name}`, since) : undefined
  const causes = errnoCauses('prog_load', errno, undefined, { type, hint })
  return [`prog_load: ${errnoName(errno)} without a reason in the log`, ...causes].join('; ')
}

/** The answer for a program that the verifier never saw: an error on the way to it. */
export function refusal(error: BpfError): LoadResult {
  const errno = error instanceof SystemError ? error.errno : 0
  return {
    verdict: errno === ERRNO.EPERM ? 'denied' : 'invalid',
    errno,
    message: [error.message, ...error.details].join('; '),
    log: '',
    logTruncated: false,
    statistics: {},
    maps: [],
    close() {},
    [Symbol.dispose]() {},
  }
}

/** The attributes of an image. Those that most programs lack are left out: tens of thousands of loads pay for each. */
function loadValues(
  sys: Sys,
  image: ProgramImage,
  { address, license, funcInfo, lineInfo, modules }: StagedImage,
  target: AttachTarget | undefined,
  btfFd: number | undefined,
): LoadValues {
  const values: LoadValues = {
    prog_type: image.type,
    insn_cnt: image.insns.length / 8,
    insns: address,
    license,
    log_level: 0,
    log_size: 0,
    log_buf: 0,
    prog_flags: image.flags,
    prog_name: kernelName(image.name),
    expected_attach_type: image.expectedAttachType,
  }
  if (btfFd !== undefined) values.prog_btf_fd = btfFd
  if (funcInfo !== 0) {
    values.func_info_rec_size = 8
    values.func_info = funcInfo
    values.func_info_cnt = (image.funcInfo?.length ?? 0) / 8
  }
  if (lineInfo !== 0) {
    values.line_info_rec_size = 16
    values.line_info = lineInfo
    values.line_info_cnt = (image.lineInfo?.length ?? 0) / 16
  }
  if (modules !== 0) values.fd_array = modules
  if (target !== undefined) {
    values.attach_btf_id = target.btfId
    if (target.module !== undefined) values.attach_prog_fd = kernelBtfFd(sys, target.module).fd
    if (image.type === PROGRAM_TYPES.struct_ops && target.memberIndex !== undefined)
      values.expected_attach_type = target.memberIndex
  }
  if (image.attachTo?.programFd !== undefined) values.attach_prog_fd = image.attachTo.programFd
  return values
}

/** A program that replaces or traces another one, which is loaded first; the kernel keeps it as long as it is needed. */
function loadAttached(sys: Sys, image: ProgramImage, target: ProgramImage, options: LoadImageOptions): LoadResult {
  using loaded = loadImage(sys, target)
  if (loaded.program === undefined)
    throw new UsageError('load.attach-target', `the target program is refused: ${loaded.message ?? loaded.verdict}`)
  const { name = '' } = image.attachTo ?? {}
  return loadImage(sys, { ...image, attachTo: { name, programFd: loaded.program.fd } }, options)
}

/**
 * Creates the image's maps, loads its BTF and asks the kernel for the program. Whatever the kernel says is an answer,
 * not an exception; `close()` gives everything back.
 * @throws UsageError when the image itself is inconsistent (a relocation that names no map, an unknown attach target)
 */
export function loadImage(sys: Sys, image: ProgramImage, options: LoadImageOptions = {}): LoadResult {
  const { attachTo } = image
  if (attachTo?.program !== undefined && attachTo.programFd === undefined)
    return loadAttached(sys, image, attachTo.program, options)
  const owned: Owned = { maps: [], given: options.maps }
  try {
    if (image.insns.length % 8 !== 0)
      throw new UsageError('load.instructions', `${image.insns.length} bytes are no whole instructions of 8`)
    if (image.littleEndian === false)
      throw new UnsupportedError('load.byte-order', 'a big-endian program cannot be loaded into this kernel')
    const target = resolveAttachTarget(image, sys)
    if (image.btf !== undefined && options.btfFd === undefined) owned.btf = loadBtf(sys, image.btf)
    const btfFd = options.btfFd ?? owned.btf?.fd
    if (image.maps.length > 0) owned.maps = createMapSet(sys, image.maps, { given: options.maps, btfFd })
    const staging = stageImage(sys, image)
    if (image.relocations.length > 0) patchMaps(staging.insns, image, owned.maps)
    const level = options.logLevel === undefined ? LOG_LEVEL.statistics : options.logLevel | LOG_LEVEL.statistics
    const values = loadValues(sys, image, staging, target, btfFd)
    const loaded = loadWithLog(sys, staging.memory, values, level, options.maxLogBytes ?? LOG_LIMIT)
    return new Loaded(sys, image, loaded, owned)
  } catch (error) {
    closeOwned(owned)
    if (error instanceof SystemError && error.errno > 0) return refusal(error)
    throw error
  }
}
