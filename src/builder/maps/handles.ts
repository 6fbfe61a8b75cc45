import { constant, type Operand } from '../ir/ops.ts'
import { call, helper } from '../kinds/helper-calls.ts'
import { type BpfProgram, ReturnCode } from '../kinds/program.ts'
import { u32 } from '../types/types.ts'
import { Int, type Like, operandOf } from '../values/int.ts'
import { CONTEXT } from '../values/place.ts'
import { MapDefinition, type MapOptions } from './definition.ts'

/** Programs by index, for tail calls. */
export class ProgramArray extends MapDefinition {
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
  }
  /** Goes on with another program of the same kind; comes back only when there is none at the index. */
  tailCall(b: { readonly [CONTEXT]: () => Operand }, index: Like<'u32'>): void {
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
    const { fn, handle } = this.use('redirect')
    const otherwise = missing instanceof ReturnCode ? missing.value : missing
    const raw = fn.emitter.call(helper('redirect_map'), [handle, operandOf(fn, u32, index), constant(otherwise)])
    return new Int(u32, fn.emitter.zext(32, raw), fn)
  }
}

/** Events to user space through per-CPU perf buffers (where there is no ring buffer yet). */
export class PerfEventArray extends MapDefinition {
  constructor(name: string, options: MapOptions) {
    super('perf_event_array', name, { keySize: 4, valueSize: 4, maxEntries: 0 }, options)
  }
}

/** Kernel and user stacks by id. */
export class StackTraces extends MapDefinition {
  constructor(name: string, maxEntries: number, options: MapOptions & { readonly depth?: number }) {
    super('stack_trace', name, { keySize: 4, valueSize: 8 * (options.depth ?? 127), maxEntries }, options)
  }
  /** Stores the current stack; the answer is its id or a negative errno. */
  capture(b: { readonly [CONTEXT]: () => Operand }, options: { readonly user?: boolean } = {}): Int<'i64'> {
    const { handle } = this.use('capture')
    return call('capture', 'get_stackid', b[CONTEXT](), handle, constant(options.user ? 256 : 0))
  }
}
