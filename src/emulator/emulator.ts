import { InputError, UsageError } from '../errors/index.ts'
import type { ProgramImage } from '../spec/index.ts'
import { MAP_TYPES, programTypeName } from '../uapi/index.ts'
import { type CallOptions, createCalls } from './calls/index.ts'
import { KFUNCS } from './calls/kfuncs.ts'
import type { HelperTable } from './calls/table.ts'
import { type ContextInput, ContextSetup, contextRow, PACKET_BUFFER_BYTES, RETURN_NAMES } from './contexts/index.ts'
import { fillSkb } from './contexts/skb.ts'
import { Environment, type Mock } from './environment.ts'
import { ExceptionSignal, type Fault, FaultSignal, UnwindSignal } from './faults.ts'
import { collectMaps, immOf, sameMap } from './images.ts'
import { type CallTable, interpret, type Observe } from './interpreter.ts'
import { DEFAULT_SANITIZER, Machine } from './machine.ts'
import { createMap, type EmulatedMap, mapMemoryBytes } from './maps/index.ts'
import { MAX_MEMORY_BYTES, SHADOW } from './memory.ts'
import type { EmulatorOptions, FakeMemory, RunOptions } from './options.ts'
import { type LinkedProgram, linkProgram } from './program.ts'
import { type Engine, RunRecord, type RunResult, type TraceStep } from './result.ts'
import { newRunState, type RunState } from './run-state.ts'
import type { Timer } from './timer.ts'
import { createTracer } from './tracer.ts'
import { WasmEngine } from './wasm/index.ts'

const DEFAULT_STEPS = 64_000_000
const MAX_STEPS = 0x7fff_ffff
const DEFAULT_MEMORY = 512 << 20
/** Timers that one advance lets fire, so that a timer that restarts itself at once ends. */
const MAX_TIMER_FIRES = 10_000
/** Runs after which `auto` compiles a program. */
const HOT_RUNS = 8

/** Programs with their maps in an emulated kernel. Runs see the maps as the run before left them; {@link Emulator.reset} starts over. */
export class Emulator {
  readonly machine: Machine
  readonly environment: Environment
  readonly #options: EmulatorOptions
  readonly #calls: CallTable
  readonly #setup: ContextSetup
  readonly #counts: number[] = []
  readonly #wasm: WasmEngine
  #observe: Observe | undefined
  #engine: Engine = 'interpreter'
  readonly #mem: number

  constructor(images: readonly ProgramImage[], options: EmulatorOptions = {}) {
    if (images.length === 0) throw new UsageError('emulator.no-program', 'no program to emulate')
    this.#options = options
    this.environment = new Environment(options)
    const specs = collectMaps(images, options.maps ?? [])
    const limit = Math.min(options.memoryLimit ?? DEFAULT_MEMORY, MAX_MEMORY_BYTES)
    let bytes = PACKET_BUFFER_BYTES + (1 << 19)
    for (const image of images) bytes += image.insns.length + 64
    for (const spec of specs) bytes += mapMemoryBytes(spec, this.environment.cpus)
    for (const piece of options.memory ?? []) bytes += piece.bytes.length + 64
    this.machine = new Machine(Math.min(bytes, limit), this.environment, { ...DEFAULT_SANITIZER, ...options.sanitizer })
    const m = this.machine
    this.#setup = new ContextSetup(m)
    this.#mem = m.memory.mustAllocate(MEM_BYTES, SHADOW.none, 'memory of the run')
    m.run = newRunState('none', undefined)
    m.run.moved = () => this.#setup.mirror(m.run)
    for (const [index, spec] of specs.entries()) {
      const owner = images.find((image) => image.maps.some((one) => sameMap(one, spec)))
      m.maps.push(createMap(m, spec, index, owner?.btf))
    }
    for (const [index, image] of images.entries()) {
      const maps = image.maps.map((spec) => m.maps[specs.findIndex((one) => sameMap(one, spec))])
      m.programs.push(linkProgram(image, index, m.memory, maps, (slot) => options.ksym?.(immOf(image, slot))))
      this.#counts.push(0)
    }
    m.program = m.programs[0]
    for (const piece of options.memory ?? []) this.#addMemory(piece)
    for (const [name, mock] of Object.entries(options.mocks ?? {})) this.mock(name, mock)
    this.#writeContents()
    const calls: CallOptions = {
      overrides: options.helperNumbers,
      kfuncs: KFUNCS as HelperTable,
      kfuncName: (program, slot) =>
        program.image.kfuncs?.get(slot) ?? options.kfuncName?.(program.code.imm[slot], program.code.offset[slot]),
    }
    this.#calls = createCalls(m, calls)
    this.#wasm = new WasmEngine(m, this.#calls)
    m.invoke = (program, slot) => this.#invoke(program, slot)
  }

  #addMemory(piece: FakeMemory): void {
    const { memory } = this.machine
    const name = piece.name ?? `memory at 0x${piece.address.toString(16)}`
    const linear = memory.mustAllocate(piece.bytes.length, SHADOW.readWrite, name)
    memory.u8.set(piece.bytes, linear)
    memory.foreign.push({ base: piece.address, size: piece.bytes.length, name, linear, direct: piece.direct ?? false })
  }

  /** Replaces a helper or kfunc from now on; a number is its constant answer. */
  mock(name: string, mock: Mock | bigint | number): void {
    const short = name.replace(/^bpf_/, '')
    this.environment.mocks.set(short, typeof mock === 'function' ? mock : () => mock)
  }

  /** How often a helper or kfunc was called since the emulator was made or reset. */
  calls(name: string): number {
    return this.environment.calls.get(name.replace(/^bpf_/, '')) ?? 0
  }

  /**
   * Moves the virtual clock on and runs the timers that become due, in their order.
   * @param ns nanoseconds
   * @returns the faults of their callbacks
   */
  advance(ns: bigint | number): Fault[] {
    const { environment, timers } = this.machine
    const end = environment.nowNs + BigInt(ns)
    const faults: Fault[] = []
    for (let fired = 0; fired < MAX_TIMER_FIRES; fired++) {
      let next: Timer | undefined
      for (const timer of timers.values())
        if (timer.dueNs !== undefined && timer.dueNs <= end && (next?.dueNs === undefined || timer.dueNs < next.dueNs))
          next = timer
      if (next?.dueNs === undefined) break
      if (next.dueNs > environment.nowNs) environment.nowNs = next.dueNs
      next.dueNs = undefined
      const fault = this.#fire(next)
      if (fault !== undefined) faults.push(fault)
    }
    environment.nowNs = end
    return faults
  }

  #fire(timer: Timer): Fault | undefined {
    const m = this.machine
    const map = m.maps[timer.map]
    const program = m.programs[timer.callback?.program ?? -1]
    if (timer.callback === undefined || program === undefined) return undefined
    const run = newRunState('none', undefined, m.run)
    m.run = run
    m.fuel = Math.min(this.#options.stepLimit ?? DEFAULT_STEPS, MAX_STEPS)
    m.frame = 0
    m.program = program
    const [key, value] = map.entryAround(timer.address)
    m.set(1, map.handle)
    m.set(2, key)
    m.set(3, value)
    try {
      this.#invoke(program, timer.callback.slot)
      return undefined
    } catch (error) {
      return this.#faultOf(error)
    } finally {
      m.closeFrame(0)
    }
  }

  /** A map by name. @throws UsageError `emulator.no-map` */
  map(name: string): EmulatedMap {
    const map = this.machine.maps.find((one) => one.name === name)
    if (map !== undefined) return map
    const names = this.machine.maps.map((one) => one.name).join(' ')
    throw new UsageError('emulator.no-map', `there is no map ${name}`, { details: [`maps: ${names || 'none'}`] })
  }

  get maps(): readonly EmulatedMap[] {
    return this.machine.maps
  }

  /** Maps as after the start: empty, with their first contents. */
  reset(): void {
    for (const map of this.machine.maps) {
      map.frozen = false
      map.reset()
    }
    this.environment.calls.clear()
    this.machine.timers.clear()
    this.#writeContents()
  }

  #writeContents(): void {
    const { maps, programs } = this.machine
    for (const map of maps) {
      for (const [key, value] of map.spec.contents ?? []) {
        const answer = map.set(key, value)
        if (answer !== 0)
          throw new InputError('emulator.map-contents', `map ${map.name}: its contents do not fit (${answer})`)
      }
      for (const [key, target] of map.spec.slots ?? []) {
        const wantsProgram = map.spec.type === MAP_TYPES.prog_array
        const byName = wantsProgram
          ? programs.findIndex((program) => program.image.name === target)
          : maps.findIndex((one) => one.name === target)
        const index = byName < 0 && wantsProgram && /^\d+$/.test(target) ? Number(target) : byName
        if (index < 0) continue
        const value = new Uint8Array(4)
        new DataView(value.buffer).setUint32(0, index, true)
        map.set(key, value)
      }
      map.frozen = map.spec.frozen ?? false
    }
  }

  #programOf(wanted: number | string | undefined): LinkedProgram {
    const { programs } = this.machine
    const found =
      typeof wanted === 'string' ? programs.find((program) => program.image.name === wanted) : programs[wanted ?? 0]
    if (found !== undefined) return found
    const names = programs.map((program) => program.image.name).join(' ')
    throw new UsageError('emulator.no-program', `there is no program ${wanted}`, { details: [`programs: ${names}`] })
  }

  #invoke(program: LinkedProgram, slot: number): void {
    if (this.#engine === 'wasm' && this.#wasm.run(program, slot)) return
    interpret(this.machine, program, slot, this.#calls, this.#observe)
  }

  /** Runs a program from its start; when it throws, its exception callback on a stack of its own. */
  #enter(program: LinkedProgram): void {
    try {
      this.#invoke(program, 0)
    } catch (error) {
      if (!(error instanceof ExceptionSignal)) throw error
      const m = this.machine
      m.run.references.clear()
      m.frame = 0
      m.set64(0, error.cookie)
      const slot = error.program.image.exceptionSlot
      if (slot === undefined) return
      m.set64(1, error.cookie)
      interpret(m, error.program, slot, this.#calls, this.#observe)
    }
  }

  /** Which engine a run takes, and why not the one that was wanted. */
  #choose(program: LinkedProgram, options: RunOptions): { engine: Engine; fallback?: string } {
    const wanted = options.engine ?? this.#options.engine ?? 'auto'
    if (wanted === 'interpreter') return { engine: 'interpreter' }
    const observed =
      options.trace === true
        ? 'a trace'
        : options.coverage === true
          ? 'coverage'
          : options.observe === undefined
            ? undefined
            : 'observing'
    if (observed !== undefined)
      return wanted === 'wasm'
        ? { engine: 'interpreter', fallback: `${observed} needs the interpreter` }
        : { engine: 'interpreter' }
    if (wanted === 'auto' && this.#counts[program.index] < HOT_RUNS) return { engine: 'interpreter' }
    const refusal = this.#wasm.refusal(program)
    if (refusal === undefined) return { engine: 'wasm' }
    return { engine: 'interpreter', fallback: refusal }
  }

  /** One run. Never throws for what the program does: that is the result's `fault`. */
  run(options: RunOptions = {}): RunResult {
    return this.#execute(options, 1)
  }

  /**
   * Runs again and again on one packet and context, which keep what a run did to them, as BPF_PROG_TEST_RUN's repeat does.
   * Ends at the first fault. @returns the last run's result
   */
  repeat(options: RunOptions, times: number): RunResult {
    return this.#execute(options, times)
  }

  #execute(options: RunOptions, times: number): RunResult {
    const m = this.machine
    const program = this.#programOf(options.program)
    const typeName = programTypeName(program.image.type)
    const row = contextRow(options.mem === undefined ? typeName : undefined)
    const packet =
      row.packet === undefined
        ? undefined
        : this.#setup.packetState(row, options.packet ?? EMPTY, options.metadata ?? EMPTY)
    const run = newRunState(row.table.kind, packet, m.run)
    m.run = run
    this.#setup.context(row, run, options.ctx)
    if (packet !== undefined) {
      const given = givenFields(options.ctx)
      if (row.packet === 'xdp') {
        if (!given.has('ingress_ifindex')) m.memory.view.setUint32(run.ctx + 12, 1, true)
      } else if (row.packet !== 'message') fillSkb(m, row, run, given)
      this.#setup.mirror(run)
    }
    const keys = typeName === 'flow_dissector' ? this.#setup.flowKeys(run, options.packet ?? EMPTY) : 0
    m.set(1, run.ctx)
    m.set(2, 0)
    if (options.mem !== undefined) this.#placeMem(options.mem)
    const limit = Math.min(this.#options.stepLimit ?? DEFAULT_STEPS, MAX_STEPS)
    m.fuel = limit
    m.frame = 0
    m.pc = 0
    const { engine, fallback } = this.#choose(program, options)
    this.#counts[program.index]++
    this.#engine = engine
    const coverage = options.coverage === true ? m.programs.map((one) => new Uint32Array(one.code.length)) : undefined
    const trace: TraceStep[] | undefined = options.trace === true ? [] : undefined
    this.#observe = this.#observer(coverage, trace, options.observe)
    let fault: Fault | undefined
    let left = times - 1
    try {
      this.#enter(program)
      if (run.references.size > 0) this.#checkReferences(run)
      if (times > 1 && !throws(program)) {
        m.fuel = limit
        if (engine === 'wasm' && options.mem === undefined && this.#wasm.repeat(program, times - 1, run.ctx)) left = 0
      }
      for (let i = 0; i < left; i++) {
        m.set(1, run.ctx)
        m.fuel = limit
        run.tailCalls = 0
        this.#enter(program)
        if (run.references.size > 0) this.#checkReferences(run)
      }
    } catch (error) {
      if (error instanceof UnwindSignal) m.set64(0, error.value)
      else fault = this.#faultOf(error)
    }
    m.closeFrame(0)
    const steps = limit - Math.max(0, m.fuel)
    for (const map of m.maps) map.endRun()
    const r0 = m.get64(0)
    const retval = m.low(0)
    const name = typeName === undefined ? undefined : RETURN_NAMES[typeName]?.[retval]
    const bytes = m.memory.u8.slice(run.ctx, run.ctx + this.#setup.contextSize)
    const result = new RunRecord(engine, r0, retval, run, steps, row, bytes, options.ctx)
    result.mapsTouched = touched(m.maps)
    if (fallback !== undefined) result.fallback = fallback
    if (name !== undefined && fault === undefined) result.retvalName = name
    if (fault !== undefined) result.fault = fault
    if (coverage !== undefined) result.coverage = coverage
    if (trace !== undefined) result.trace = trace
    if (keys !== 0) result.flowKeys = this.#setup.flowKeysOut(keys, options.packet?.length ?? 0)
    this.#packetOut(result, run, row.packet)
    for (const map of m.maps) map.dirty = false
    return result
  }

  #placeMem(bytes: Uint8Array): void {
    const m = this.machine
    if (bytes.length > MEM_BYTES)
      throw new InputError('emulator.mem', `${bytes.length} bytes of memory; ${MEM_BYTES} is the limit`)
    m.memory.protect(this.#mem, MEM_BYTES, SHADOW.none)
    m.memory.protect(this.#mem, bytes.length, SHADOW.readWrite)
    m.memory.u8.set(bytes, this.#mem)
    m.set(1, bytes.length === 0 ? 0 : this.#mem)
    m.set(2, bytes.length)
  }

  #observer(
    coverage: Uint32Array[] | undefined,
    trace: TraceStep[] | undefined,
    observe: RunOptions['observe'],
  ): Observe | undefined {
    if (coverage === undefined && trace === undefined && observe === undefined) return undefined
    const tracer = trace === undefined ? undefined : createTracer(this.machine, trace)
    return (program, slot) => {
      if (coverage !== undefined) coverage[program.index][slot]++
      tracer?.(program, slot)
      observe?.(program.index, slot)
    }
  }

  #checkReferences(run: RunState): void {
    const m = this.machine
    for (const held of run.references.values()) {
      const message = `a ${held.kind} taken at instruction ${held.insn} is not given back`
      // the place that took it is where a reader looks first
      m.pc = held.insn
      m.finding(m.sanitizer.unreleasedReference, 'unreleased-reference', message)
    }
  }

  #faultOf(error: unknown): Fault {
    if (error instanceof FaultSignal) return error.fault
    if (error instanceof RangeError && /call stack/i.test(error.message))
      return this.machine.fault('call-depth', 'calls and callbacks nest too deeply')
    throw error
  }

  #packetOut(result: RunRecord, run: RunState, kind: string | undefined): void {
    const { packet } = run
    if (packet === undefined) return
    const { u8 } = this.machine.memory
    if (kind === 'xdp' || kind === 'l2' || kind === 'message') {
      result.packet = u8.slice(packet.data, packet.dataEnd)
      if (kind === 'xdp') result.metadata = packet.meta === packet.data ? EMPTY : u8.slice(packet.meta, packet.data)
      return
    }
    const bytes = new Uint8Array(14 + packet.dataEnd - packet.data)
    bytes.set(u8.subarray(packet.data, packet.dataEnd), 14)
    result.packet = bytes
  }
}

const EMPTY = new Uint8Array(0)
const NOTHING: ReadonlySet<string> = new Set()
function givenFields(ctx: ContextInput | undefined): ReadonlySet<string> {
  return ctx === undefined || ctx instanceof Uint8Array ? NOTHING : new Set(Object.keys(ctx))
}

/** Whether a program may throw: such a run cannot stay inside the compiled loop. */
function throws({ image }: LinkedProgram): boolean {
  for (const name of image.kfuncs?.values() ?? []) if (name === 'bpf_throw') return true
  return false
}

function touched(maps: readonly EmulatedMap[]): string[] {
  const names: string[] = []
  for (const map of maps) if (map.dirty) names.push(map.name)
  return names
}

const MEM_BYTES = 1 << 16

/** Programs that share maps by name, ready to run. @throws InputError, UnsupportedError for images and maps that cannot be */
export function createEmulator(
  images: ProgramImage | readonly ProgramImage[],
  options: EmulatorOptions = {},
): Emulator {
  return new Emulator('insns' in images ? [images] : images, options)
}
