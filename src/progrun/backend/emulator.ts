import {
  ArrayMap,
  CONTEXTS,
  type ContextInput,
  createEmulator,
  type EmulatedMap,
  type EmulatorOptions,
  type Fault,
  type TaskIdentity,
} from '../../emulator/index.ts'
import { InputError, NegativeError } from '../../errors/index.ts'
import type { MapSpec } from '../../spec/index.ts'
import { programTypeName } from '../../uapi/index.ts'
import type { PreparedRun } from '../harness/preflight.ts'
import { RUN_SHAPES } from '../harness/shapes.ts'
import type { ArrayImage } from './array-image.ts'
import type { Backend, BackendMap, Fleet, RawEntry, RawResult } from './backend.ts'

/** What the emulator's world looks like; the kernel's cannot be chosen. */
export interface EmulatorWorld extends Pick<EmulatorOptions, 'cpus' | 'cpu' | 'sanitizer' | 'memory' | 'engine'> {
  /** Nanoseconds that bpf_ktime_get_ns answers at the start. */
  readonly time?: bigint
  /** Seed of bpf_get_prandom_u32. */
  readonly random?: number
  readonly task?: Partial<TaskIdentity>
  /** Answers of helpers and kfuncs by name, in place of the emulator's own. */
  readonly helpers?: EmulatorOptions['mocks']
}

export interface EmulatorBackend extends Backend {
  readonly kind: 'emulator'
  run(program: number, input: PreparedRun): RawResult
  /** Moves the virtual clock. @param ns nanoseconds */
  advance(ns: bigint | number): void
  /** How often a helper or kfunc was called. */
  calls(name: string): number
  /** Tells every instruction before it runs; undefined stops it. */
  observe(observer: ((program: number, slot: number) => void) | undefined): void
}

/** The program did what the kernel's verifier would have kept it from, or ran into a limit. */
export class FaultError extends NegativeError {
  override readonly name = 'FaultError'
  readonly fault: Fault

  constructor(program: string, fault: Fault) {
    const { source } = fault
    const where = source === undefined ? `instruction ${fault.insn}` : `${source.file}:${source.line}:${source.column}`
    super(`progrun.fault.${fault.code}`, `${program}: ${fault.message} (emulator, ${where})`, {
      details: source?.text === undefined ? [] : [source.text.trim()],
    })
    this.fault = fault
  }
}

class EmulatorMap implements BackendMap {
  readonly spec: MapSpec
  readonly #map: EmulatedMap

  constructor(map: EmulatedMap) {
    this.spec = map.spec
    this.#map = map
  }
  entries(): RawEntry[] {
    return this.#map.entries()
  }
  image(): ArrayImage | undefined {
    const map = this.#map
    return map instanceof ArrayMap
      ? { bytes: map.bytes, stride: map.stride, copies: map.copies, cpuStride: map.perCpuBytes }
      : undefined
  }
  get(key: Uint8Array): readonly Uint8Array[] | undefined {
    return this.#map.get(key)
  }
  set(key: Uint8Array, value: Uint8Array | readonly Uint8Array[]): void {
    const answer = this.#map.set(key, value)
    if (answer < 0)
      throw new InputError('progrun.map-set', `map ${this.spec.name}: the entry is refused (errno ${-answer})`)
  }
  delete(key: Uint8Array): boolean {
    return this.#map.delete(key) === 0
  }
  reset(): void {
    const { frozen } = this.#map
    this.#map.frozen = false
    this.#map.reset()
    for (const [key, value] of this.spec.contents ?? []) this.#map.set(key, value)
    this.#map.frozen = frozen
  }
}

/** Context fields as the emulator names them: `cb: [..]` is cb0 to cb4. */
function contextInput(input: PreparedRun): ContextInput | undefined {
  if (input.args !== undefined) return new Uint8Array(BigUint64Array.from(input.args).buffer)
  if (input.fields === undefined) return input.context
  const out: Record<string, number | bigint> = {}
  for (const [name, value] of Object.entries(input.fields)) {
    if (typeof value === 'number' || typeof value === 'bigint') out[name] = value
    else if (Array.isArray(value))
      value.forEach((word: unknown, index) => {
        if (typeof word === 'number') out[`${name}${index}`] = word
      })
  }
  return out
}

/** Fields as the harness gives them everywhere: 64 bits as bigint, less as number. */
function contextFields(
  type: string | undefined,
  values: Readonly<Record<string, bigint>>,
): Record<string, number | bigint> {
  const table = type === undefined ? undefined : CONTEXTS[type]?.table
  return Object.fromEntries(
    (table?.fields ?? []).map(({ name, size }) => [
      name,
      size === 8 ? (values[name] ?? 0n) : Number(values[name] ?? 0n),
    ]),
  )
}

/** Programs that share maps in an emulated kernel of their own. */
export function openEmulator(fleet: Fleet, world: EmulatorWorld = {}): EmulatorBackend {
  const { time, random, task, helpers, ...rest } = world
  const emulator = createEmulator(fleet.images, { ...rest, seed: random, mocks: helpers })
  if (time !== undefined) emulator.environment.nowNs = time
  if (task !== undefined) emulator.environment.task = { ...emulator.environment.task, ...task }
  const maps = fleet.maps.map(({ name }) => new EmulatorMap(emulator.map(name)))
  let observer: ((program: number, slot: number) => void) | undefined
  return {
    kind: 'emulator',
    label: 'emulator',
    run(program, input) {
      const image = fleet.images[program]
      const type = programTypeName(image.type)
      const shape = type === undefined ? undefined : RUN_SHAPES[type]
      const options = {
        program,
        ctx: contextInput(input),
        ...(input.data === undefined
          ? {}
          : { packet: input.data.subarray(input.metadataSize), metadata: input.data.subarray(0, input.metadataSize) }),
      }
      if (input.cpu !== undefined) emulator.environment.cpu = input.cpu
      const started = performance.now()
      const watched = observer === undefined ? options : { ...options, observe: observer }
      const result = input.repeat === 1 ? emulator.run(watched) : emulator.repeat(watched, input.repeat)
      if (result.fault !== undefined) throw new FaultError(image.name, result.fault)
      const durationNs = Math.round(((performance.now() - started) * 1e6) / input.repeat)
      const { metadata, packet } = result
      const data =
        metadata !== undefined && metadata.length > 0 && packet !== undefined
          ? new Uint8Array([...metadata, ...packet])
          : packet
      return {
        backend: 'emulator',
        retval: result.retval,
        ...(data === undefined || (shape !== undefined && shape.data !== 'packet') ? {} : { data }),
        ...(input.context === undefined ? {} : { context: result.ctxBytes }),
        ...(shape === undefined ? { fields: contextFields(type, result.ctx) } : {}),
        ...(result.flowKeys === undefined ? {} : { flowKeys: result.flowKeys }),
        durationNs,
        instructions: result.steps,
        events: result.events.map(({ kind, map, data: bytes }) => ({ kind, map, data: bytes })),
        printk: result.printk,
        ...(result.redirect === undefined ? {} : { redirect: result.redirect }),
      }
    },
    advance: (ns) => emulator.advance(ns),
    calls: (name) => emulator.calls(name),
    observe(next) {
      observer = next
    },
    map: (index) => maps[index],
    close() {},
  }
}
