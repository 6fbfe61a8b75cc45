import { assembleBytes } from '../../asm/index.ts'
import { BpfError, SystemError } from '../../errors/index.ts'
import type { MapSpec, ProgramImage } from '../../spec/index.ts'
import {
  ATTACH_TYPES,
  attrSize,
  BPF_ATTRS,
  BPF_COMMANDS,
  MAP_FLAGS,
  MAP_TYPES,
  MAP_TYPES_SINCE,
  type MapFlag,
  type MapType,
  PROGRAM_FLAGS,
  PROGRAM_TYPES,
  PROGRAM_TYPES_SINCE,
  type ProgramType,
} from '../../uapi/index.ts'
import { createRawMap } from '../maps/raw-map.ts'
import { type AttachTarget, resolveAttachTarget } from '../prog/attach-target.ts'
import { loadBtf } from '../prog/btf.ts'
import { kernelBtf } from '../prog/kernel-btf.ts'
import { LOG_LEVEL, loadImage } from '../prog/load-image.ts'
import { writeAttr } from '../sys/command.ts'
import { possibleCpus } from '../sys/cpus.ts'
import { ERRNO, errnoName } from '../sys/errno.ts'
import type { Sys } from '../sys/sys.ts'

/** What a probe found. `inconclusive` says why and is asked again next time. */
export type Feature =
  | { readonly answer: 'supported' }
  | { readonly answer: 'unsupported'; readonly since?: string }
  | { readonly answer: 'inconclusive'; readonly why: string }

const SUPPORTED: Feature = { answer: 'supported' }
const UNSUPPORTED: Feature = { answer: 'unsupported' }
const caches = new WeakMap<Sys, Map<string, Feature>>()

function cached(sys: Sys, key: string, probe: () => Feature): Feature {
  let cache = caches.get(sys)
  if (cache === undefined) {
    cache = new Map()
    caches.set(sys, cache)
  }
  const known = cache.get(key)
  if (known !== undefined) return known
  const answer = probe()
  if (answer.answer !== 'inconclusive') cache.set(key, answer)
  return answer
}

const inconclusive = (why: string): Feature => ({ answer: 'inconclusive', why })
const refusedBy = (errno: number): Feature =>
  inconclusive(
    errno === ERRNO.EPERM || errno === ERRNO.EACCES
      ? `${errnoName(errno)}: a capability is missing or a policy refuses it`
      : errnoName(errno),
  )

/** What types need beside a number so that the kernel gets as far as its verifier. */
const PROGRAM_NEEDS: { readonly [T in ProgramType]?: { attach?: number; flags?: number; target?: string } } = {
  cgroup_sock_addr: { attach: ATTACH_TYPES.cgroup_inet4_connect },
  cgroup_sockopt: { attach: ATTACH_TYPES.cgroup_getsockopt },
  sk_lookup: { attach: ATTACH_TYPES.sk_lookup },
  sk_reuseport: { attach: ATTACH_TYPES.sk_reuseport_select },
  syscall: { flags: PROGRAM_FLAGS.sleepable },
  netfilter: { attach: ATTACH_TYPES.netfilter },
  tracing: { attach: ATTACH_TYPES.trace_raw_tp, target: 'sched_switch' },
  lsm: { attach: ATTACH_TYPES.lsm_mac, target: 'file_open' },
  struct_ops: {},
  ext: {},
}

const assembled = new Map<string, Uint8Array>()

/** The same few programs are asked for again and again. */
function bytesOf(text: string): Uint8Array {
  let bytes = assembled.get(text)
  if (bytes === undefined) assembled.set(text, (bytes = assembleBytes(text)))
  return bytes
}

/** @param padding how many instructions stand before those of the text */
function imageFor(type: ProgramType, text: string, padding = 0): ProgramImage {
  const needs = PROGRAM_NEEDS[type]
  const code = bytesOf(text)
  const insns = new Uint8Array(padding * 8 + code.length)
  const nothing = bytesOf('r0 = 0\n')
  for (let at = 0; at < padding; at++) insns.set(nothing, at * 8)
  insns.set(code, padding * 8)
  return {
    name: 'probe',
    type: PROGRAM_TYPES[type],
    expectedAttachType: needs?.attach ?? 0,
    insns,
    license: 'GPL',
    flags: needs?.flags ?? 0,
    maps: [],
    relocations: [],
    ...(needs?.target === undefined ? {} : { attachTo: { name: needs.target } }),
  }
}

/** Whether the kernel's BTF names a program type; undefined without BTF. */
function isNamed(type: ProgramType): boolean | undefined {
  const types = kernelBtf()?.find('bpf_prog_type', 'enum')
  if (types?.kind !== 'enum') return undefined
  return types.values.some(({ name }) => name === `BPF_PROG_TYPE_${type.toUpperCase()}`)
}

/** Whether the running kernel has a program type. Any word of the verifier means that it does. */
export function programTypeFeature(sys: Sys, type: ProgramType): Feature {
  return cached(sys, `program ${type}`, () => {
    try {
      using result = loadImage(sys, imageFor(type, 'r0 = 0\nexit\n'))
      if (result.verdict === 'accept' || result.verdict === 'reject') return SUPPORTED
      // Types with needs are refused for these too: then the kernel's own list of types tells.
      if (result.errno === ERRNO.EINVAL && (PROGRAM_NEEDS[type] === undefined || isNamed(type) === false))
        return { answer: 'unsupported', since: PROGRAM_TYPES_SINCE[type] }
      return refusedBy(result.errno)
    } catch (error) {
      return inconclusive(error instanceof Error ? error.message : String(error))
    }
  })
}

const STORAGE = {
  keySize: 4,
  valueSize: 4,
  maxEntries: 0,
  flags: MAP_FLAGS.no_prealloc,
  btfKeyTypeId: 1,
  btfValueTypeId: 1,
}

function mapShape(sys: Sys, type: MapType): Partial<MapSpec> {
  const shapes: { readonly [T in MapType]?: Partial<MapSpec> } = {
    lpm_trie: { keySize: 8, flags: MAP_FLAGS.no_prealloc },
    stack_trace: { valueSize: 80 },
    queue: { keySize: 0 },
    stack: { keySize: 0 },
    bloom_filter: { keySize: 0 },
    ringbuf: { keySize: 0, valueSize: 0, maxEntries: sys.pageSize },
    user_ringbuf: { keySize: 0, valueSize: 0, maxEntries: sys.pageSize },
    cgroup_storage: { keySize: 16, maxEntries: 0 },
    percpu_cgroup_storage: { keySize: 16, maxEntries: 0 },
    cpumap: { maxEntries: Math.min(possibleCpus(), 1) },
    reuseport_sockarray: { valueSize: 8 },
    sk_storage: STORAGE,
    inode_storage: STORAGE,
    task_storage: STORAGE,
    cgrp_storage: STORAGE,
    arena: { keySize: 0, valueSize: 0, flags: MAP_FLAGS.mmapable },
    hash: { valueSize: 8 },
    array: { valueSize: 8 },
    rhash: { valueSize: 8, flags: MAP_FLAGS.no_prealloc },
  }
  return shapes[type] ?? {}
}

/** The BTF with one int that storage maps need: a header, `int` of 32 bits, its name. */
function intBtf(): Uint8Array {
  const bytes = new Uint8Array(24 + 16 + 5)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 0xeb9f, true)
  view.setUint8(2, 1)
  view.setUint32(4, 24, true)
  view.setUint32(12, 16, true)
  view.setUint32(16, 16, true)
  view.setUint32(20, 5, true)
  view.setUint32(24, 1, true)
  view.setUint32(28, 1 << 24, true)
  view.setUint32(32, 4, true)
  view.setUint32(36, 32 | (1 << 24), true)
  bytes.set(new TextEncoder().encode('int'), 41)
  return bytes
}

/**
 * Whether the running kernel has a map type. A struct_ops map is asked for with a type of the kernel that is no struct_ops:
 * a kernel that has them answers ENOTSUPP, another one EINVAL.
 */
export function mapTypeFeature(sys: Sys, type: MapType): Feature {
  return cached(sys, `map ${type}`, () => {
    const storage = mapShape(sys, type) === STORAGE
    const spec: MapSpec = {
      name: 'probe',
      type: MAP_TYPES[type],
      keySize: 4,
      valueSize: 4,
      maxEntries: 1,
      flags: 0,
      ...mapShape(sys, type),
    }
    try {
      using btf = storage ? loadBtf(sys, intBtf()) : undefined
      using inner =
        type === 'array_of_maps' || type === 'hash_of_maps'
          ? createRawMap(sys, { ...spec, type: MAP_TYPES.array, valueSize: 4 })
          : undefined
      const btfVmlinuxValueTypeId = type === 'struct_ops' ? 1 : undefined
      using _ = createRawMap(sys, spec, { btfFd: btf?.fd, innerMapFd: inner?.fd, btfVmlinuxValueTypeId })
      return SUPPORTED
    } catch (error) {
      if (!(error instanceof SystemError)) throw error
      if (type === 'struct_ops' && error.errno === ERRNO.ENOTSUPP) return SUPPORTED
      return error.errno === ERRNO.EINVAL || error.errno === ERRNO.EOPNOTSUPP
        ? { answer: 'unsupported', since: MAP_TYPES_SINCE[type] }
        : refusedBy(error.errno)
    }
  })
}

/** Flags of maps, each with a map that takes it. */
const MAP_FLAG_PROBES = {
  no_prealloc: { type: 'hash', since: '4.6' },
  numa_node: { type: 'hash', since: '4.14' },
  rdonly: { type: 'array', since: '4.15' },
  wronly: { type: 'array', since: '4.15' },
  zero_seed: { type: 'hash', since: '5.0' },
  rdonly_prog: { type: 'array', since: '5.2' },
  wronly_prog: { type: 'array', since: '5.2' },
  mmapable: { type: 'array', since: '5.5' },
  preserve_elems: { type: 'perf_event_array', since: '5.10' },
  inner_map: { type: 'array', since: '5.10' },
} as const satisfies Readonly<Partial<Record<MapFlag, { type: MapType; since: string }>>>
export type ProbedMapFlag = keyof typeof MAP_FLAG_PROBES
export const PROBED_MAP_FLAGS = Object.keys(MAP_FLAG_PROBES) as ProbedMapFlag[]

/** Whether the running kernel knows a flag of BPF_MAP_CREATE. */
export function mapFlagFeature(sys: Sys, flag: ProbedMapFlag): Feature {
  return cached(sys, `map flag ${flag}`, () => {
    const { type, since } = MAP_FLAG_PROBES[flag]
    const shape = { name: 'probe', type: MAP_TYPES[type], keySize: 4, valueSize: 4, maxEntries: 1 }
    try {
      using _ = createRawMap(sys, { ...shape, flags: MAP_FLAGS[flag] })
      return SUPPORTED
    } catch (error) {
      if (!(error instanceof SystemError)) throw error
      return error.errno === ERRNO.EINVAL ? { answer: 'unsupported', since } : refusedBy(error.errno)
    }
  })
}

/**
 * Wordings with which kernels refuse a helper: no such number (`invalid func`), not for this program type (`unknown func`
 * before 6.8, `cannot use helper` since), not in probes, left out of this build.
 */
const HELPER_REFUSED = /invalid func |unknown func |cannot use helper |helper call is not allowed|misconfigured func /

/** Whether programs of a type may call a helper. */
export function helperFeature(sys: Sys, type: ProgramType, helper: number): Feature {
  return cached(sys, `helper ${type} ${helper}`, () => {
    if (type === 'ext' || type === 'struct_ops') return inconclusive(`${type} programs need a target to probe helpers`)
    try {
      using result = loadImage(sys, imageFor(type, `call ${helper}\nr0 = 0\nexit\n`))
      if (result.verdict === 'accept') return SUPPORTED
      if (result.verdict === 'reject') return HELPER_REFUSED.test(result.log) ? { answer: 'unsupported' } : SUPPORTED
      return refusedBy(result.errno)
    } catch (error) {
      if (!(error instanceof BpfError)) throw error
      return inconclusive(error.message)
    }
  })
}

const PROBE_LOG_BYTES = 4096

/**
 * {@link helperFeature} of many helpers at once, asked anew each time: the attributes are staged once and only the helper's
 * number changes, so that a probe costs little more than the kernel's part of it.
 */
export function helperFeatures(sys: Sys, type: ProgramType, helpers: readonly number[]): Feature[] {
  if (type === 'lsm' || type === 'ext' || type === 'struct_ops')
    return helpers.map((helper) => helperFeature(sys, type, helper))
  const image = imageFor(type, 'call 1\nr0 = 0\nexit\n')
  let target: AttachTarget | undefined
  try {
    target = resolveAttachTarget(image, sys)
  } catch (error) {
    if (!(error instanceof BpfError)) throw error
    return helpers.map(() => inconclusive(error.message))
  }
  const layout = BPF_ATTRS.prog_load
  const size = attrSize(layout)
  using block = sys.alloc(size + image.insns.length + 16 + PROBE_LOG_BYTES)
  const insnsAt = size
  const licenseAt = insnsAt + image.insns.length
  const logAt = licenseAt + 16
  block.bytes.set(image.insns, insnsAt)
  block.bytes.set(new TextEncoder().encode(`${image.license}\0`), licenseAt)
  writeAttr(block.view, block.bytes, layout, {
    prog_type: image.type,
    insn_cnt: image.insns.length / 8,
    insns: block.address + insnsAt,
    license: block.address + licenseAt,
    // the verifier's refusals without the instructions and states on the way there
    log_level: LOG_LEVEL.statistics,
    log_size: PROBE_LOG_BYTES,
    log_buf: block.address + logAt,
    prog_flags: image.flags,
    expected_attach_type: image.expectedAttachType,
    attach_btf_id: target?.btfId ?? 0,
  })
  const log = Buffer.from(block.bytes.buffer, block.bytes.byteOffset + logAt, PROBE_LOG_BYTES)
  return helpers.map((helper) => {
    block.view.setInt32(insnsAt + 4, helper, true)
    log[0] = 0
    const result = sys.bpf(BPF_COMMANDS.prog_load, block.address, size)
    if (result >= 0) {
      sys.call('close', result)
      return SUPPORTED
    }
    const end = log.indexOf(0)
    if (end === 0) return refusedBy(-result)
    return HELPER_REFUSED.test(log.toString('latin1', 0, end < 0 ? log.length : end)) ? UNSUPPORTED : SUPPORTED
  })
}

/** Whether programs of a type can be loaded for an attach type. */
export function attachTypeFeature(sys: Sys, type: ProgramType, attachType: number): Feature {
  return cached(sys, `attach ${type} ${attachType}`, () => {
    const image = imageFor(type, 'r0 = 0\nexit\n')
    using result = loadImage(sys, { ...image, expectedAttachType: attachType, attachTo: undefined })
    if (result.verdict === 'accept' || result.verdict === 'reject') return SUPPORTED
    return result.errno === ERRNO.EINVAL ? { answer: 'unsupported' } : refusedBy(result.errno)
  })
}

interface InstructionProbe {
  readonly since: string
  readonly text: string
  /** Instructions before the text. */
  readonly padding?: number
}

/** Instruction-set levels and limits: a program that only kernels with them take. */
const INSTRUCTION_PROBES = {
  'cpu v2': { since: '4.14', text: 'r0 = 0\nif r0 < 1 goto +0\nexit\n' },
  'cpu v3': { since: '5.1', text: 'r0 = 0\nif w0 < 1 goto +0\nexit\n' },
  'cpu v4': { since: '6.6', text: 'r1 = 1\nr0 = (s8)r1\ngotol +0\nexit\n' },
  'bounded loops': { since: '5.3', text: 'r0 = 10\nr0 -= 1\nif r0 != 0 goto -2\nexit\n' },
  'one million instructions': { since: '5.2', text: 'exit\n', padding: 4096 },
  'atomic fetch and add': {
    since: '5.12',
    text: 'r1 = 1\n*(u64 *)(r10 - 8) = r1\nr1 = atomic_fetch_add((u64 *)(r10 - 8), r1)\nr0 = 0\nexit\n',
  },
  // A jump over nothing would be refused before 6.13.
  may_goto: { since: '6.9', text: 'r0 = 0\nmay_goto +1\ngoto -2\nexit\n' },
  'load-acquire': {
    since: '6.15',
    text: 'r1 = 1\n*(u64 *)(r10 - 8) = r1\nr0 = load_acquire((u64 *)(r10 - 8))\nexit\n',
  },
} as const
export type InstructionFeature = keyof typeof INSTRUCTION_PROBES
export const INSTRUCTION_FEATURES = Object.keys(INSTRUCTION_PROBES) as InstructionFeature[]

/** Whether the running kernel has an instruction set level or limit. */
export function instructionFeature(sys: Sys, name: InstructionFeature): Feature {
  return cached(sys, `instructions ${name}`, () => {
    const { since, text, padding }: InstructionProbe = INSTRUCTION_PROBES[name]
    using result = loadImage(sys, imageFor('socket_filter', text, padding))
    if (result.verdict === 'accept') return SUPPORTED
    if (result.verdict === 'denied') return refusedBy(result.errno)
    return { answer: 'unsupported', since }
  })
}
