import { release } from 'node:os'
import { NegativeError, SystemError, UnsupportedError, UsageError } from '../../errors/index.ts'
import type { MapSpec, ProgramSpec } from '../../spec/index.ts'
import {
  type AttachOptions,
  attachProgram,
  type BatchChunk,
  createJudge,
  findTracefs,
  type Link,
  type LoadResult,
  missingPrivileges,
  onlineCpus,
  PerfBuffer,
  type RawMap,
  RingBuffer,
  readBatches,
  type Sys,
  testRun,
} from '../../syscall/index.ts'
import { MAP_TYPES, programTypeName } from '../../uapi/index.ts'
import { isOrdered } from '../harness/map-values.ts'
import { RUN_SHAPES, type RunShape } from '../harness/shapes.ts'
import { type ArrayImage, ArrayWatch } from './array-image.ts'
import type { Backend, BackendMap, Fleet, HarnessEvent, RawResult, RawRun } from './backend.ts'

const PER_CPU: readonly number[] = [
  MAP_TYPES.percpu_hash,
  MAP_TYPES.percpu_array,
  MAP_TYPES.lru_percpu_hash,
  MAP_TYPES.percpu_cgroup_storage,
]
const ARRAYS: readonly number[] = [MAP_TYPES.array, MAP_TYPES.percpu_array]
/** Maps that user space cannot walk by keys. */
const KEYLESS: readonly number[] = [
  MAP_TYPES.ringbuf,
  MAP_TYPES.user_ringbuf,
  MAP_TYPES.perf_event_array,
  MAP_TYPES.bloom_filter,
]

/** Kinds whose places are found in tracefs. */
const TRACEFS_KINDS: ReadonlySet<string | undefined> = new Set(['tracepoint', 'kprobe_multi'])

/** How much longer a packet may come out than it went in, bytes: what an skb may grow to. */
const ROOM = 65_536

const NO_KEY = new Uint8Array(0)
/** Pages a CPU for records that one run sends. */
const PERF_PAGES = 64

/** The kernel's side of a harness. */
export interface KernelBackend extends Backend {
  readonly kind: 'kernel'
  readonly sys: Sys
  /** The loaded program's file descriptor, valid until the harness is closed. */
  programFd(program: number): number
  /** Records of rings and perf buffers that were sent since the last look. */
  takeEvents(): HarnessEvent[]
  /** Attaches a program where its object says, at once: in the namespace that the thread is in. */
  attach(program: number, spec: ProgramSpec, where: AttachOptions): Link
  /** The verifier's log of the load, level 1. */
  log(program: number): string
}

class KernelMap implements BackendMap {
  readonly spec: MapSpec
  readonly #live: RawMap
  /** Whether its type has batch commands; undefined until it was asked. */
  #batches: boolean | undefined

  constructor(spec: MapSpec, live: RawMap) {
    this.spec = spec
    this.#live = live
  }

  #split(value: Uint8Array): Uint8Array[] {
    if (!PER_CPU.includes(this.spec.type)) return [value]
    const stride = this.#live.exchangedSize / this.#live.cpus
    return Array.from({ length: this.#live.cpus }, (_, cpu) =>
      value.slice(cpu * stride, cpu * stride + this.spec.valueSize),
    )
  }

  entries(): { key: Uint8Array; values: Uint8Array[] }[] {
    if (isOrdered(this.spec)) {
      const values = this.#take()
      this.refill(values)
      return values.map((value) => ({ key: NO_KEY, values: [value] }))
    }
    if (KEYLESS.includes(this.spec.type) || this.spec.keySize === 0) return []
    const { exchangedSize } = this.#live
    const { keySize } = this.spec
    const rows: { key: Uint8Array; values: Uint8Array[] }[] = []
    const walked = this.#walk(({ count, keys, values }) => {
      for (let i = 0; i < count; i++)
        rows.push({
          key: keys.slice(i * keySize, (i + 1) * keySize),
          values: this.#split(values.slice(i * exchangedSize, (i + 1) * exchangedSize)),
        })
    })
    return walked ? rows : [...this.#live.entries()].map(([key, value]) => ({ key, values: this.#split(value) }))
  }

  /** Reads the map in batches; false where its type has none, before Linux 5.6. */
  #walk(take: (chunk: BatchChunk) => void): boolean {
    if (this.#batches === false) return false
    const steps = readBatches(this.#live)
    for (;;) {
      const step = steps.next()
      if (step.done === true) {
        this.#batches = step.value
        return step.value
      }
      take(step.value)
    }
  }

  image(): ArrayImage | undefined {
    if (!ARRAYS.includes(this.spec.type)) return undefined
    const { exchangedSize, cpus } = this.#live
    const bytes = new Uint8Array(exchangedSize * this.spec.maxEntries)
    if (this.spec.maxEntries === 1) bytes.set(this.#live.lookup(new Uint8Array(4)) ?? [])
    else {
      let at = 0
      const walked = this.#walk(({ values }) => {
        bytes.set(values, at)
        at += values.length
      })
      if (!walked)
        for (const [key, value] of this.#live.entries())
          bytes.set(value, new DataView(key.buffer, key.byteOffset).getUint32(0, true) * exchangedSize)
    }
    const copies = PER_CPU.includes(this.spec.type) ? cpus : 1
    return { bytes, stride: exchangedSize, copies, cpuStride: exchangedSize / copies }
  }

  get(key: Uint8Array): readonly Uint8Array[] | undefined {
    const value = this.#live.lookup(key)
    return value === undefined ? undefined : this.#split(value)
  }

  set(key: Uint8Array, value: Uint8Array | readonly Uint8Array[]): void {
    if (value instanceof Uint8Array) {
      this.#live.update(key, value)
      return
    }
    const stride = this.#live.exchangedSize / this.#live.cpus
    const all = new Uint8Array(this.#live.exchangedSize)
    for (let cpu = 0; cpu < this.#live.cpus; cpu++) all.set(value[cpu] ?? value[0], cpu * stride)
    this.#live.update(key, all)
  }

  /** Everything out of a queue or stack, in the order of popping. */
  #take(): Uint8Array[] {
    const values: Uint8Array[] = []
    for (
      let value = this.#live.lookupAndDelete(NO_KEY);
      value !== undefined;
      value = this.#live.lookupAndDelete(NO_KEY)
    )
      values.push(value)
    return values
  }

  refill(values: readonly Uint8Array[]): void {
    this.#take()
    for (const value of this.spec.type === MAP_TYPES.stack ? [...values].reverse() : values)
      this.#live.update(NO_KEY, value)
  }

  delete(key: Uint8Array): boolean {
    return this.#live.delete(key)
  }

  reset(): void {
    if (this.spec.frozen === true || KEYLESS.includes(this.spec.type)) return
    if (isOrdered(this.spec)) this.#take()
    else if (ARRAYS.includes(this.spec.type)) this.#clear()
    else for (const key of [...this.#live.keys()]) this.#live.delete(key)
    for (const [key, value] of this.spec.contents ?? []) this.#live.update(key, value)
  }

  /** Zeros into every element that has something else. */
  #clear(): void {
    const image = this.image()
    if (image === undefined) return
    const zero = new Uint8Array(this.spec.valueSize)
    const key = new Uint8Array(4)
    for (const index of new ArrayWatch().changed(image, { ...image, bytes: new Uint8Array(0) })) {
      new DataView(key.buffer).setUint32(0, index, true)
      this.#live.update(key, zero)
    }
  }
}

/**
 * Loads programs that share maps into the running kernel.
 * @throws SystemError without privilege; NegativeError `progrun.rejected` with the verifier's reason and log when one is refused
 */
export function openKernel(fleet: Fleet): KernelBackend {
  const judge = createJudge()
  const loaded: LoadResult[] = []
  const live = new Map<number, RawMap>()
  const owners: { close(): void }[] = []
  const close = (): void => {
    for (const each of [...owners].reverse()) each.close()
  }
  try {
    for (const [number, image] of fleet.images.entries()) {
      const given = new Map<number, RawMap>()
      fleet.mapIndex[number].forEach((shared, own) => {
        const map = live.get(shared)
        if (map !== undefined) given.set(own, map)
      })
      // slots of program arrays are filled when all programs are there
      const maps = image.maps.map((spec) => (spec.type === MAP_TYPES.prog_array ? { ...spec, slots: [] } : spec))
      const result = judge.load({ ...image, maps }, { maps: given, logLevel: 1 })
      owners.push(result)
      if (result.program === undefined) throw refusal(image.name, result)
      loaded.push(result)
      fleet.mapIndex[number].forEach((shared, own) => {
        if (!live.has(shared)) live.set(shared, result.maps[own])
      })
    }
    fillProgramArrays(fleet, loaded, live)
  } catch (error) {
    close()
    throw error
  }
  const outlets: Outlet[] = []
  try {
    outlets.push(...openOutlets(fleet, live, owners))
  } catch (error) {
    close()
    throw error
  }
  const drain = (): HarnessEvent[] => outlets.flatMap((outlet) => outlet.drain())
  const maps = fleet.maps.map((spec, index) => {
    const map = live.get(index)
    return map === undefined ? undefined : new KernelMap(spec, map)
  })
  return {
    kind: 'kernel',
    sys: judge.sys,
    label: `kernel ${release()}`,
    run(program, input) {
      const image = fleet.images[program]
      const type = programTypeName(image.type)
      const shape = type === undefined ? undefined : RUN_SHAPES[type]
      const fd = loaded[program].program?.fd
      if (shape === undefined || fd === undefined)
        throw new UnsupportedError(
          'progrun.no-test-run',
          `${image.name}: ${type ?? image.type} programs have no BPF_PROG_RUN`,
          {
            details: ['run it with the backend "emulator", or attach it to something of the test\'s own'],
          },
        )
      if (input.cpu !== undefined && !onlineCpus().includes(input.cpu))
        throw new UsageError('progrun.cpu', `${image.name}: CPU ${input.cpu} is not online here`, {
          details: [`online: ${onlineCpus().join(', ')}`],
        })
      const result = runOnce(judge.sys, fd, input, shape)
      return outlets.length === 0 ? result : { ...result, events: drain() }
    },
    map(index) {
      const map = maps[index]
      if (map === undefined)
        throw new UnsupportedError('progrun.map', `map ${fleet.maps[index]?.name}: no program uses it`)
      return map
    },
    programFd(program) {
      const fd = loaded[program]?.program?.fd
      if (fd === undefined) throw new UnsupportedError('progrun.program', `there is no program ${program}`)
      return fd
    },
    attach: (program, spec, where) => {
      const fd = loaded[program]?.program?.fd
      if (fd === undefined) throw new UnsupportedError('progrun.program', `there is no program ${program}`)
      const found = new Map([...live].map(([index, map]) => [fleet.maps[index].name, map]))
      const trace = TRACEFS_KINDS.has(spec.attach?.kind) ? { tracefs: findTracefs(judge.sys) } : {}
      return attachProgram({ sys: judge.sys, fd }, spec, { maps: found, ...trace, ...where })
    },
    takeEvents: drain,
    log: (program) => loaded[program]?.log ?? '',
    close,
  }
}

/** Where a program sends records: what has come since the last look. */
interface Outlet {
  drain(): HarnessEvent[]
}

function openOutlets(fleet: Fleet, live: ReadonlyMap<number, RawMap>, owners: { close(): void }[]): Outlet[] {
  return fleet.maps.flatMap((spec, index): Outlet[] => {
    const map = live.get(index)
    if (map === undefined) return []
    const { name } = spec
    if (spec.type === MAP_TYPES.ringbuf) {
      const ring = new RingBuffer(map)
      owners.push(ring)
      return [{ drain: () => ring.drain().map((data) => ({ kind: 'ringbuf', map: name, data: data as Uint8Array })) }]
    }
    if (spec.type !== MAP_TYPES.perf_event_array) return []
    const buffer = new PerfBuffer(map, { pages: PERF_PAGES })
    owners.push(buffer)
    return [
      {
        drain: () =>
          buffer
            .drain()
            .flatMap((record) => ('event' in record ? [{ kind: 'perf', map: name, data: record.event }] : [])),
      },
    ]
  })
}

function runOnce(sys: Parameters<typeof testRun>[0], fd: number, input: RawRun, shape: RunShape): RawResult {
  const { data } = shape
  const args = input.args === undefined ? undefined : new Uint8Array(BigUint64Array.from(input.args).buffer)
  const out = testRun(sys, fd, {
    data: input.data,
    context: args ?? input.context,
    // a raw tracepoint's test run takes neither repeat nor room for answers
    repeat: data === 'none' && args !== undefined ? 0 : input.repeat > 1 ? input.repeat : 0,
    ...(data === 'packet' && input.data !== undefined ? { dataOutSize: input.data.length + ROOM } : {}),
    ...(data === 'keys' ? { dataOutSize: 56 } : {}),
    ...(data === 'in' || data === 'none' ? { dataOutSize: 0 } : {}),
    // raw tracepoints and syscall programs refuse room for a context
    ...(shape.context === undefined ? { contextOutSize: 0 } : {}),
    ...(input.cpu === undefined ? {} : { cpu: input.cpu, flags: 1 }),
  })
  return {
    backend: 'kernel',
    retval: out.retval,
    ...(data === 'packet' ? { data: out.data } : {}),
    ...(data === 'keys' ? { flowKeys: out.data } : {}),
    ...(shape.context !== undefined && input.context !== undefined ? { context: out.context } : {}),
    durationNs: out.durationNs,
    events: [],
  }
}

function fillProgramArrays(fleet: Fleet, loaded: readonly LoadResult[], live: ReadonlyMap<number, RawMap>): void {
  fleet.maps.forEach((spec, index) => {
    const map = live.get(index)
    if (spec.type !== MAP_TYPES.prog_array || map === undefined) return
    for (const [key, target] of spec.slots ?? []) {
      const program = loaded[fleet.images.findIndex(({ name }) => name === target)]?.program
      if (program === undefined)
        throw new UnsupportedError(
          'progrun.slot',
          `map ${spec.name}: its slot names the program ${target}, which is not loaded`,
        )
      const value = new Uint8Array(4)
      new DataView(value.buffer).setUint32(0, program.fd, true)
      map.update(key, value)
    }
  })
}

function refusal(name: string, result: LoadResult): NegativeError | SystemError {
  const tail = result.log
    .split('\n')
    .filter((line) => line !== '')
    .slice(-12)
  const message = `${name}: kernel ${release()} refuses it: ${result.message}`
  if (result.verdict === 'denied')
    return new SystemError('progrun.denied', message, { errno: result.errno, details: missingPrivileges() })
  return new NegativeError('progrun.rejected', message, { details: tail })
}
