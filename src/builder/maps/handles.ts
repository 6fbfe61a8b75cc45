import { buildError } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { call, helper } from '../kinds/helper-calls.ts'
import { type BpfProgram, ReturnCode } from '../kinds/program.ts'
import { i64, type Type, u32 } from '../types/types.ts'
import { Bool } from '../values/bool.ts'
import { Int, type Like, operandOf } from '../values/int.ts'
import { Maybe, nullable } from '../values/maybe.ts'
import { CONTEXT, PLACE, type Place, placeOf } from '../values/place.ts'
import type { InitOf, StructView } from '../values/views.ts'
import { typeOfView } from '../values/views.ts'
import { MapDefinition, type MapOptions } from './definition.ts'
import { materialize } from './keys.ts'

/** What has a context: the `b` of a program. */
export interface WithContext {
  readonly [CONTEXT]: () => Operand
}

/** Programs by index, for tail calls. */
export class ProgramArray extends MapDefinition {
  override readonly programs: readonly BpfProgram[]
  constructor(
    name: string,
    options: MapOptions & { readonly maxEntries: number; readonly programs?: Readonly<Record<number, BpfProgram>> },
  ) {
    const slots = Object.entries(options.programs ?? {}).map(([index, program]) => {
      const key = new Uint8Array(4)
      new DataView(key.buffer).setUint32(0, Number(index), true)
      return [key, program.name] as const
    })
    super('prog_array', name, { keySize: 4, valueSize: 4, maxEntries: options.maxEntries }, { ...options, slots })
    this.programs = Object.values(options.programs ?? {})
  }
  /** Goes on with another program of the same kind; comes back only when there is none at the index. */
  tailCall(b: WithContext, index: Like<'u32'>): void {
    const { fn, handle } = this.use('tailCall')
    fn.emitter.call(helper('tail_call'), [b[CONTEXT](), handle, operandOf(fn, u32, index)], {
      result: false,
      changesPacket: true,
    })
  }
}

/** Devices, CPUs or sockets that XDP redirects to. */
export class RedirectMap<T extends 'devmap' | 'devmap_hash' | 'cpumap' | 'xskmap'> extends MapDefinition {
  declare readonly mapType: T
  constructor(type: T, name: string, maxEntries: number, valueSize: number, options: MapOptions) {
    super(type, name, { keySize: 4, valueSize, maxEntries }, options)
  }
  /** Sends the packet to the entry; the answer is the return code (`missing` when there is no entry; XDP_ABORTED 0, DROP 1, PASS 2). */
  redirect(index: Like<'u32'>, missing: ReturnCode<'xdp'> | number = 0): Int<'u32'> {
    return this.#redirect(index, missing instanceof ReturnCode ? missing.value : missing)
  }
  #redirect(index: Like<'u32'>, flags: number): Int<'u32'> {
    const { fn, handle } = this.use('redirect')
    const raw = fn.emitter.call(helper('redirect_map'), [handle, operandOf(fn, u32, index), constant(flags)])
    return new Int(u32, fn.emitter.zext(32, raw), fn)
  }
  /** Whether there is an entry (Linux 5.3 for AF_XDP sockets, 4.14 for devices and CPUs). */
  has(index: Like<'u32'>): Bool {
    const { fn, handle } = this.use('has')
    const key = materialize(fn, u32, index, `key of ${this.name}`)
    return nullable(fn, fn.emitter.call(helper('map_lookup_elem'), [handle, key], { pure: true }))
  }
  /** Sends a copy of the packet to every device of the map, without the one it came in on when `exceptIngress` (devices, Linux 5.13). */
  broadcast(
    this: RedirectMap<'devmap' | 'devmap_hash'>,
    options: { readonly exceptIngress?: boolean } = {},
  ): Int<'u32'> {
    const { fn } = this.use('broadcast')
    fn.unit.need(5, 13, 'broadcast')
    return this.#redirect(0, 8 | (options.exceptIngress ? 16 : 0))
  }
}

/** Events to user space through per-CPU perf buffers (Linux 4.4: where there is no ring buffer yet, or with packet bytes). */
export class PerfEventArray<T extends Type = Type> extends MapDefinition {
  /** The type of a record; undefined: each call sends what it likes. */
  readonly recordType: T | undefined
  constructor(name: string, options: MapOptions & { readonly record?: T }) {
    super('perf_event_array', name, { keySize: 4, valueSize: 4, maxEntries: 0 }, options)
    this.recordType = options.record
  }
  /** Sends one record made on the stack; absent members are 0. The answer is 0 or a negative errno. */
  emit(b: WithContext, values: InitOf<T>, options: PerfOptions = {}): Int<'i64'> {
    const { fn } = this.use('emit')
    if (this.recordType === undefined)
      throw buildError(
        'build.record',
        `${this.name} has no record type`,
        'name it: map.perfEventArray(name, { record: Type })',
      )
    const from = materialize(fn, this.recordType, values, `record of ${this.name}`)
    return this.#output(b, from, this.recordType.size, options)
  }
  /** Sends the bytes of memory that the program has: a map value, scratch memory, the stack. */
  send(
    b: WithContext,
    record: StructView<never, 'shared'> | { readonly [PLACE]: Place },
    options: PerfOptions = {},
  ): Int<'i64'> {
    const { fn } = this.use('send')
    const place = placeOf(record)
    return this.#output(b, fn.emitter.address(place.base, place.offset), typeOfView(record).size, options)
  }
  #output(b: WithContext, from: Operand, size: number, { packetBytes = 0 }: PerfOptions): Int<'i64'> {
    const { fn, handle } = this.use('send')
    const flags = 0xffff_ffffn | (BigInt(packetBytes) << 32n)
    const args = [b[CONTEXT](), handle, constant(flags), from, constant(size)]
    return new Int(i64, fn.emitter.call(helper('perf_event_output'), args), fn)
  }
}
export interface PerfOptions {
  /** Bytes of the packet to send behind the record (XDP and socket-buffer programs). */
  readonly packetBytes?: number
}

/** Flags of bpf_get_stackid and bpf_get_stack (include/uapi/linux/bpf.h). */
export const STACK = { skipMask: 0xff, user: 256, fastCompare: 512, reuse: 1024, buildId: 2048 } as const

export interface StackOptions {
  /** The user stack instead of the kernel's. */
  readonly user?: boolean
  /** Innermost frames to leave out, at most 255. */
  readonly skip?: number
}
export function stackFlags({ user, skip = 0 }: StackOptions): number {
  if (!Number.isInteger(skip) || skip < 0 || skip > STACK.skipMask)
    throw buildError('build.stack-skip', `skip ${skip} frames`, 'skip 0 to 255 frames')
  return skip | (user ? STACK.user : 0)
}

/** Kernel and user stacks by id (Linux 4.6). */
export class StackTraces extends MapDefinition {
  constructor(name: string, maxEntries: number, options: MapOptions & { readonly depth?: number }) {
    super('stack_trace', name, { keySize: 4, valueSize: 8 * (options.depth ?? 127), maxEntries }, options)
  }
  /**
   * Stores the current stack; the answer is its id or a negative errno (-14: no such stack, -17: another stack has the
   * place). `fastCompare` trusts the hash, `reuse` replaces what is there.
   */
  capture(
    b: WithContext,
    options: StackOptions & { readonly fastCompare?: boolean; readonly reuse?: boolean } = {},
  ): Int<'i64'> {
    const { handle } = this.use('capture')
    const flags =
      stackFlags(options) | (options.fastCompare ? STACK.fastCompare : 0) | (options.reuse ? STACK.reuse : 0)
    return call('capture', 'get_stackid', b[CONTEXT](), handle, constant(flags))
  }
}

/** Cgroups by index; user space puts their file descriptors in (Linux 4.8). */
export class CgroupArray extends MapDefinition {
  constructor(name: string, options: MapOptions & { readonly maxEntries: number }) {
    super('cgroup_array', name, { keySize: 4, valueSize: 4, maxEntries: options.maxEntries }, options)
  }
  /** Whether the current task is in the cgroup at the index, or below it; missing when there is no cgroup there (Linux 4.9). */
  hasCurrentTask(index: Like<'u32'>): Maybe<Bool> {
    const { fn, handle } = this.use('hasCurrentTask')
    return this.#answer(fn.emitter.call(helper('current_task_under_cgroup'), [handle, operandOf(fn, u32, index)]))
  }
  /** Whether the packet's socket is in the cgroup at the index, or below it (tc programs). */
  hasPacket(b: WithContext, index: Like<'u32'>): Maybe<Bool> {
    const { fn, handle } = this.use('hasPacket')
    const args = [b[CONTEXT](), handle, operandOf(fn, u32, index)]
    return this.#answer(fn.emitter.call(helper('skb_under_cgroup'), args))
  }
  #answer(raw: Operand): Maybe<Bool> {
    const { fn } = this.use('the answer')
    const { site } = fn.emitter
    const known = new Bool({ kind: 'compare', cmp: 'sge', width: 64, a: raw, b: constant(0), site }, fn)
    return new Maybe(
      fn,
      known,
      () => new Bool({ kind: 'compare', cmp: 'eq', width: 64, a: raw, b: constant(1), site }, fn),
    )
  }
}
