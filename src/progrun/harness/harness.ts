import type { Js, Type } from '../../builder/index.ts'
import { layoutOf } from '../../builder/types/layout.ts'
import { UsageError } from '../../errors/index.ts'
import type { Layout } from '../../layout/index.ts'
import type { LinkProgramOptions, MapSpec, ObjectSpec, ProgramImage } from '../../spec/index.ts'
import { possibleCpus } from '../../syscall/sys/cpus.ts'
import { programTypeName } from '../../uapi/index.ts'
import { kernelUnavailable } from '../backend/available.ts'
import { type Backend, type Fleet, fleetOf } from '../backend/backend.ts'
import { type EmulatorBackend, type EmulatorWorld, openEmulator } from '../backend/emulator.ts'
import type { KernelBackend } from '../backend/kernel.ts'
import type { CoverageRecorder } from '../coverage/recorder.ts'
import { MapComparer, type MapWords } from './compare-maps.ts'
import { compareResults, type Difference, DifferenceError } from './difference.ts'
import { variableLayout, withGlobals } from './globals.ts'
import { decodeWith, isComparable, isOrdered, mapCodec } from './map-values.ts'
import { type PreparedRun, prepareRun } from './preflight.ts'
import { RunResult } from './result.ts'
import type { AnyRun, RunOptions, TypeOfKind } from './run-options.ts'
import { RUN_SHAPES } from './shapes.ts'
import {
  chosenPrograms,
  type HarnessSource,
  linkSource,
  loadSource,
  needsKernel,
  type ResolvedSource,
  type TypedMapLike,
} from './source.ts'
import { TestMap } from './test-map.ts'

/**
 * Where programs run. `auto`: in both where the kernel lets this process load programs, else in the emulator; the
 * environment variable TYPEBPF_BACKEND chooses for all tests that say `auto`.
 */
export type BackendChoice = 'auto' | 'emulator' | 'kernel' | 'both'

export interface HarnessOptions extends EmulatorWorld {
  readonly backend?: BackendChoice
  /** Only these programs of an object (and what their tail calls reach); default: all that load by themselves. */
  readonly programs?: readonly string[]
  /** Entries written before the first run, by map: `{ denied: [[0x0a000001, 0n]] }`. */
  readonly maps?: Readonly<Record<string, readonly (readonly [key: unknown, value: unknown])[]>>
  /** Values of global variables by name (.rodata, .data, .bss). */
  readonly globals?: Readonly<Record<string, unknown>>
  /** Counts executed lines and branches. Default: where the environment variable TYPEBPF_COVERAGE names a folder, into it. */
  readonly coverage?: CoverageRecorder
  /** Maps that may differ between the backends: what depends on time, random numbers or addresses. */
  readonly ignoreMaps?: readonly string[]
  /** Global variables that may differ between the backends. */
  readonly ignoreGlobals?: readonly string[]
  /**
   * How CO-RE, kfuncs and kernel configuration are resolved. Default: for the running kernel where it is a backend, else not
   * at all: CO-RE keeps the compiler's values.
   */
  readonly link?: LinkProgramOptions
}

/** A program by name, or a value of the builder that has a name and knows its type. */
export type ProgramRef<K extends string = string> = string | { readonly name: string; readonly kind: K }

/** A map of the builder: its types decode keys and values. */
export interface TypedMap<K extends Type, V extends Type> {
  readonly spec: MapSpec
  readonly keyType: K
  readonly valueType: V
}

function choose(choice: BackendChoice, types: readonly number[]): ('emulator' | 'kernel')[] {
  const wanted = choice === 'auto' ? fromEnvironment() : choice
  if (wanted === 'emulator') return ['emulator']
  const missing = kernelUnavailable()
  if (wanted === 'kernel' || wanted === 'both') {
    if (missing.length > 0)
      throw new UsageError('progrun.no-kernel', `the backend "${wanted}" needs bpf(2)`, { details: missing })
    return wanted === 'kernel' ? ['kernel'] : ['emulator', 'kernel']
  }
  const runnable = types.every((type) => {
    const name = programTypeName(type)
    return name !== undefined && RUN_SHAPES[name] !== undefined
  })
  return missing.length === 0 && runnable ? ['emulator', 'kernel'] : ['emulator']
}

function fromEnvironment(): BackendChoice {
  const text = process.env['TYPEBPF_BACKEND']
  if (text === undefined || text === '' || text === 'auto') return 'auto'
  if (text === 'emulator' || text === 'kernel' || text === 'both') return text
  throw new UsageError('progrun.backend', `TYPEBPF_BACKEND=${text}: auto, emulator, kernel or both is possible`)
}

/** Programs under test with their maps; made by {@link harness}. Close it (or declare it with `using`). */
export class Harness {
  readonly images: readonly ProgramImage[]
  /** The object that the programs are of, where there is one: it says where each belongs. */
  readonly object: ObjectSpec | undefined
  /** Where it runs: `emulator`, `kernel 6.18.44`, `emulator + kernel 6.18.44`. */
  readonly backend: string
  readonly emulator: EmulatorBackend | undefined
  readonly kernel: KernelBackend | undefined
  readonly #backends: readonly Backend[]
  readonly #automatic: boolean
  readonly #types: ReadonlyMap<string, TypedMapLike>
  readonly #fleet: Fleet
  readonly #ignored: ReadonlySet<string>
  readonly #ignoredGlobals: ReadonlySet<string>
  readonly #comparer: MapComparer | undefined
  readonly #maps = new Map<number, TestMap>()
  readonly #words = new Map<number, MapWords>()
  readonly #saveCoverage: (() => void) | undefined
  #closed = false

  constructor({ source, fleet, emulator, kernel, saveCoverage }: Opened, options: HarnessOptions = {}) {
    this.images = source.images
    this.object = source.object
    this.#types = source.types
    this.#fleet = fleet
    this.#ignored = new Set(options.ignoreMaps)
    this.#ignoredGlobals = new Set(options.ignoreGlobals)
    this.#automatic = (options.backend ?? 'auto') === 'auto'
    this.emulator = emulator
    this.kernel = kernel
    this.#saveCoverage = saveCoverage
    this.#comparer = emulator === undefined || kernel === undefined ? undefined : new MapComparer(emulator, kernel)
    this.#backends = [emulator, kernel].filter((each) => each !== undefined)
    this.backend = this.#backends.map(({ label }) => label).join(' + ')
    try {
      for (const [name, entries] of Object.entries(options.maps ?? {}))
        for (const [key, value] of entries) this.map(name).set(key, value)
    } catch (error) {
      this.close()
      throw error
    }
  }

  #programIndex(program: ProgramRef | undefined): number {
    const name = typeof program === 'string' ? program : program?.name
    const index = name === undefined ? 0 : this.images.findIndex((image) => image.name === name)
    if (index >= 0 && (name !== undefined || this.images.length === 1)) return index
    throw new UsageError('progrun.program', name === undefined ? 'say which program' : `there is no program ${name}`, {
      details: [`there are: ${this.images.map((image) => image.name).join(', ')}`],
    })
  }

  /**
   * Runs a program once (or `repeat` times) in every backend of this harness.
   * @throws DifferenceError when two backends disagree; FaultError when the emulator stops it; UsageError for a run that does
   * not fit the program's type
   */
  run<K extends string>(program: ProgramRef<K>, options: RunOptions<TypeOfKind<K>>): RunResult<TypeOfKind<K>> {
    const index = this.#programIndex(program)
    const image = this.images[index]
    const type = programTypeName(image.type)
    if (type === undefined)
      throw new UsageError('progrun.type', `${image.name}: program type ${image.type} is not known`)
    const prepared = prepareRun(image, type, options as AnyRun)
    const backends = this.#usable(image.name, prepared)
    const results = backends.map((backend) => backend.run(index, prepared))
    if (backends.length < this.#backends.length) this.#bringInLine()
    const label = backends.map((each) => each.label).join(' + ')
    if (results.length === 2) {
      const differences: Difference[] = compareResults(type, results[0], results[1])
      for (const map of this.#fleet.maps.keys()) differences.push(...this.#differences(map))
      if (differences.length > 0) throw new DifferenceError(image.name, backends[1].label, differences)
    }
    return new RunResult<TypeOfKind<K>>(image.name, type as TypeOfKind<K>, label, results, prepared.metadataSize)
  }

  /** Runs in one backend, the kernel where it is there, without comparing anything: for measuring. Maps may drift apart. */
  measure<K extends string>(program: ProgramRef<K>, options: RunOptions<TypeOfKind<K>>): RunResult<TypeOfKind<K>> {
    const index = this.#programIndex(program)
    const image = this.images[index]
    const type = programTypeName(image.type) as TypeOfKind<K>
    const prepared = prepareRun(image, type, options as AnyRun)
    const backend = this.kernel ?? this.#backends[0]
    if (backend === this.kernel && prepared.kernelRefuses !== undefined)
      throw new UsageError('progrun.kernel-refuses', `${image.name}: ${prepared.kernelRefuses}`)
    const result = backend.run(index, prepared)
    return new RunResult<TypeOfKind<K>>(image.name, type, backend.label, [result], prepared.metadataSize)
  }

  /** What two backends have differently in a map, unless it may differ. */
  #differences(index: number): Difference[] {
    const spec = this.#fleet.maps[index]
    if (this.#comparer === undefined || this.#ignored.has(spec.name)) return []
    return this.#comparer.differences(index, this.#wordsOf(index), this.#ignoredGlobals)
  }

  /** After a run that only the emulator could do, the kernel's maps get what it changed: later runs start alike. */
  #bringInLine(): void {
    const { emulator, kernel } = this
    if (emulator === undefined || kernel === undefined || this.#comparer === undefined) return
    for (const [index, spec] of this.#fleet.maps.entries()) {
      if (spec.frozen === true || this.#ignored.has(spec.name)) continue
      const different = this.#comparer.entries(index)
      if (different.length === 0) continue
      const [from, to] = [emulator.map(index), kernel.map(index)]
      if (isOrdered(spec)) {
        to.refill?.(from.entries().map(({ values }) => values[0]))
        continue
      }
      for (const { key } of different) {
        const values = from.get(key)
        if (values === undefined) to.delete(key)
        else to.set(key, values)
      }
    }
  }

  #usable(name: string, prepared: PreparedRun): readonly Backend[] {
    if (prepared.kernelRefuses === undefined || this.kernel === undefined) return this.#backends
    if (this.#automatic && this.emulator !== undefined) return [this.emulator]
    throw new UsageError('progrun.kernel-refuses', `${name}: ${prepared.kernelRefuses}`, {
      details: [
        'run it with the backend "emulator" or "auto"',
        ...(prepared.kernelRefuses.includes('at least') ? ['or make the packet longer: padTo(packet, 60)'] : []),
      ],
    })
  }

  /** A map by name or by the builder's value, which brings its key and value types. */
  map<K extends Type, V extends Type>(map: TypedMap<K, V>): TestMap<Js<K>, Js<V>>
  map<K = unknown, V = unknown>(map: string): TestMap<K, V>
  map(map: string | TypedMapLike): TestMap {
    const name = typeof map === 'string' ? map : map.spec.name
    const index = this.#fleet.maps.findIndex((spec) => spec.name === name)
    if (index < 0)
      throw new UsageError('progrun.map', `there is no map ${name}`, {
        details: [`there are: ${this.#fleet.maps.map((spec) => spec.name).join(', ') || 'none'}`],
      })
    const known = this.#maps.get(index)
    if (known !== undefined) return known
    const { codec } = this.#wordsOf(index, typeof map === 'string' ? undefined : map)
    const made = new TestMap(this.#fleet.maps[index], codec, this.#backends, index, () => {
      const differences = this.#differences(index)
      if (differences.length > 0) throw new DifferenceError(`map ${name}`, this.#backends[1].label, differences)
    })
    this.#maps.set(index, made)
    return made
  }

  /**
   * A global variable's value now, by its type: `t.global('dropped')`. Those of the builder's `globals('state', …)` and
   * `config` are called `state_dropped`.
   * @throws UsageError `progrun.global`; DifferenceError where two backends differ in it
   */
  global(name: string): unknown {
    const variable = this.object?.variables.find((each) => each.name === name)
    const index = this.#fleet.maps.findIndex(({ section }) => section !== undefined && section === variable?.section)
    if (variable === undefined || index < 0) {
      const there = new Set(this.#fleet.maps.map(({ section }) => section))
      const names = this.object?.variables.filter(({ section }) => there.has(section)).map((each) => each.name)
      throw new UsageError('progrun.global', `no program uses a global variable ${name}`, {
        details: [`there are: ${names?.join(', ') || 'none'}`],
      })
    }
    const what = `global ${name}`
    const differences = this.#differences(index).filter((each) => each.what.startsWith(what))
    if (differences.length > 0) throw new DifferenceError(what, this.#backends[1].label, differences)
    const value =
      this.#backends[0].map(index).get(new Uint8Array(4))?.[0] ?? new Uint8Array(variable.offset + variable.size)
    const layout = variableLayout(variable, this.object)
    return decodeWith(layout, value.slice(variable.offset, variable.offset + variable.size))
  }

  /** Types of a map's keys and values: the builder's, else those of BTF, else plain integers and bytes. */
  #wordsOf(index: number, given?: TypedMapLike): MapWords {
    const known = this.#words.get(index)
    if (known !== undefined) return known
    const spec = this.#fleet.maps[index]
    const owner = this.images.find((image) => image.maps.some(({ name }) => name === spec.name))
    const fallback = mapCodec(spec, owner?.btf)
    const types = given ?? this.#types.get(spec.name)
    const words = {
      codec: {
        key: types?.keyType === undefined ? fallback.key : (layoutOf(types.keyType) as Layout),
        value: types?.valueType === undefined ? fallback.value : (layoutOf(types.valueType) as Layout),
      },
      variables: (this.object?.variables ?? [])
        .filter(({ section }) => section !== undefined && section === spec.section)
        .map((variable) => ({ spec: variable, layout: variableLayout(variable, this.object) })),
    }
    this.#words.set(index, words)
    return words
  }

  /** All maps whose entries can be read, by name: for snapshots. */
  mapState(): Record<string, unknown> {
    return Object.fromEntries(this.#fleet.maps.filter(isComparable).map(({ name }) => [name, this.map(name).toJSON()]))
  }

  /** All maps as they were in the beginning. */
  reset(): void {
    for (const index of this.#fleet.maps.keys()) for (const backend of this.#backends) backend.map(index).reset()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#saveCoverage?.()
    for (const backend of this.#backends) backend.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** What a harness is made of. */
interface Opened {
  readonly source: ResolvedSource
  readonly fleet: Fleet
  readonly emulator: EmulatorBackend | undefined
  readonly kernel: KernelBackend | undefined
  readonly saveCoverage: (() => void) | undefined
}

/** The recorder of a harness, and what keeps its counts when it closes. Its code is loaded only where it is needed. */
async function recorderOf(
  given: CoverageRecorder | undefined,
): Promise<{ readonly recorder?: CoverageRecorder; readonly save?: () => void }> {
  if (given !== undefined) return { recorder: given }
  const folder = process.env['TYPEBPF_COVERAGE']
  if (folder === undefined || folder === '') return {}
  const recorder = new (await import('../coverage/recorder.ts')).CoverageRecorder()
  return { recorder, save: () => recorder.save(folder) }
}

/**
 * Puts programs under test.
 *
 * ```ts
 * using t = await harness(firewall, { maps: { denied: [[0x0a000001, 0n]] } })
 * expect(t.run(firewall, { packet: packet(eth(), ipv4({ src: '10.0.0.1' }), tcp()) })).toReturn('XDP_DROP')
 * ```
 * @throws NegativeError `progrun.rejected` when the kernel refuses a program, with the verifier's reason
 */
export async function harness(source: HarnessSource, options: HarnessOptions = {}): Promise<Harness> {
  const { backend, maps: _m, programs, globals, ignoreMaps: _i, ignoreGlobals: _g, coverage, link, ...world } = options
  const loaded = await loadSource(source)
  const { object, image } = loaded
  const types = (object === undefined ? [image] : chosenPrograms(object, programs)).flatMap((each) =>
    each === undefined ? [] : [each.type],
  )
  const kinds = choose(backend ?? 'auto', types)
  const withKernel = kinds.includes('kernel')
  // ffi and all that talks to the kernel is loaded only where the kernel is asked
  const running =
    withKernel && link === undefined && object !== undefined && needsKernel(object)
      ? (await import('../../syscall/inspect/running-kernel.ts')).runningKernel()
      : link
  const linked = linkSource(loaded, running, programs)
  const resolved = globals === undefined ? linked : withGlobals(linked, globals)
  const fleet = fleetOf(resolved.images)
  const { recorder, save } = kinds.includes('emulator') ? await recorderOf(coverage) : {}
  const emulator = kinds.includes('emulator')
    ? openEmulator(fleet, { ...world, ...(withKernel ? { cpus: possibleCpus() } : {}) })
    : undefined
  if (recorder !== undefined && emulator !== undefined)
    recorder.watch(emulator, resolved.images, (await import('../coverage/dead.ts')).deadSlots)
  const kernel = withKernel ? (await import('../backend/kernel.ts')).openKernel(fleet) : undefined
  return new Harness({ source: resolved, fleet, emulator, kernel, saveCoverage: save }, options)
}
