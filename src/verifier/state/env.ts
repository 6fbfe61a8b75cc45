/** Everything one verification shares: the program, its facts per instruction, the states under way, counters and the log. */
import type { Btf } from '../../btf/index.ts'
import type { ProgramImage } from '../../spec/index.ts'
import { KERNEL_OBJECT, KernelTypes } from '../kernel/kernel-types.ts'
import type { Kfunc } from '../kernel/kfunc-prototype.ts'
import { fieldsOfObject, type ObjectField } from '../kernel/object-fields.ts'
import type { ProgramFacts, VerifierTables } from '../kernel/prototype.ts'
import { Log, type LogPosition } from '../log/log.ts'
import type { AttachTarget } from '../program/attach-target.ts'
import { instructionText } from '../program/disassembly.ts'
import { type Code, decodeProgram, type ProgramMap, type Subprogram } from '../program/program.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { type Frame, framePool, type State } from './state.ts'

/** The program is refused; the reason stands at the end of the log. */
export class Rejection extends Error {
  readonly errno: number
  constructor(errno: number) {
    super('rejected')
    this.errno = errno
  }
}

/** Something that is not modelled was met. */
export class Unmodelled extends Error {}

export const EPERM = 1
export const ENOENT = 2
export const E2BIG = 7
export const EACCES = 13
export const EFAULT = 14
export const EBUSY = 16
export const EINVAL = 22
export const ENOTSUPP = 524

/** Marks of an instruction. */
export const PRUNE_POINT = 1
export const JUMP_POINT = 2
export const FORCE_CHECKPOINT = 4
export const CALLS_CALLBACK = 8
export const ITERATOR_NEXT = 16

export const PROCESSED_LIMIT = 1_000_000
export const JUMP_SEQUENCE_LIMIT = 8192

/** A branch that waits. */
export interface Pending {
  readonly state: State
  readonly insn: number
  readonly previous: number
  readonly log: LogPosition
}

/** What a nested checkpoint search of one loop keeps, see prune.ts. */
export interface LoopVisit {
  entry: State | undefined
  backedges: State[]
}

export class Env {
  readonly image: ProgramImage
  readonly facts: ProgramFacts
  readonly tables: VerifierTables
  readonly code: Code
  readonly maps: readonly ProgramMap[]
  readonly btf: Btf | undefined
  readonly target: AttachTarget | undefined
  readonly gpl: boolean
  readonly strictAlignment: boolean
  readonly testStateFrequency: boolean
  readonly log: Log
  readonly pool = framePool
  /** Map of each map-loading instruction, by slot. */
  readonly mapOf: (ProgramMap | undefined)[] = []
  readonly mapOffset: Int32Array
  /** What loads of kernel symbols give, by slot. */
  readonly variables = new Map<number, { readonly type: number; readonly size: number; readonly id: number }>()
  /** Kernel functions that the program calls, by BTF id. */
  readonly kfuncs = new Map<number, Kfunc>()
  /** Those whose flags are not recorded. */
  readonly unknownKfuncs = new Set<number>()
  /** A call of a kernel function that does not exist was walked. */
  callsNothing = false
  /** The one arena that the program names. */
  arena: ProgramMap | undefined
  subprograms: Subprogram[] = []
  /** Index of the function that runs when the program throws; 0: what was thrown is the result. */
  exceptionCallback = 0
  readonly marks: Uint8Array
  readonly loops: Int32Array
  readonly liveBefore: Uint16Array
  readonly pointerType: Int32Array
  readonly fastcall: Uint8Array
  readonly fastcallSpills: Uint8Array
  postorder: Int32Array = new Int32Array(0)
  /** Subprogram that starts at a slot, -1 elsewhere. */
  readonly subprogramAt: Int32Array

  state!: State
  readonly pending: Pending[] = []
  insn = 0
  previousInsn = -1
  processed = 0
  jumps = 0
  lastProcessed = 0
  lastJumps = 0
  totalStates = 0
  peakStates = 0
  maxStatesPerInsn = 0
  exploredSize = 0
  freeSize = 0
  backedgeCount = 0
  ids = 0
  /** Remembered states, see checkpoints.ts. */
  explored: (State[] | undefined)[] = []
  readonly visits = new Map<string, LoopVisit>()
  /** Calls of bpf_loop and may_goto that were walked: both get stack of their own. */
  readonly loopCalls = new Map<number, { readonly callback: number; readonly fits: boolean }>()
  readonly mayGotos = new Set<number>()
  /** The current instruction has a history entry. */
  hasHistory = false
  /** Registers and stack slots to print. */
  scratchedRegisters = 0
  scratchedLow = 0
  scratchedHigh = 0
  previousLine = -1
  printPosition = -1
  printWidth = 0
  lines: LineTable | undefined
  /** Shared by the functions of one program. */
  liveness: StackLiveness | undefined

  constructor(
    image: ProgramImage,
    facts: ProgramFacts,
    tables: VerifierTables,
    maps: readonly ProgramMap[],
    btf: Btf | undefined,
    logLevel: number,
    kernel: () => KernelTypes | undefined = () => undefined,
    target?: AttachTarget,
  ) {
    this.image = image
    this.facts = facts
    this.tables = tables
    this.maps = maps
    this.btf = btf
    this.#kernel = kernel
    this.target = target
    this.code = decodeProgram(image)
    this.gpl = isGplCompatible(image.license)
    this.strictAlignment = (image.flags & 1) !== 0 && (image.flags & 2) === 0
    this.testStateFrequency = (image.flags & 8) !== 0
    this.log = new Log(logLevel)
    const n = this.code.length
    this.mapOffset = new Int32Array(n)
    this.marks = new Uint8Array(n)
    this.loops = new Int32Array(n)
    this.liveBefore = new Uint16Array(n)
    this.pointerType = new Int32Array(n)
    this.fastcall = new Uint8Array(n)
    this.fastcallSpills = new Uint8Array(n)
    this.subprogramAt = new Int32Array(n).fill(-1)
  }

  get frame(): Frame {
    return this.state.frames[this.state.current]
  }

  /** Writes a line and refuses the program. */
  reject(message: string, errno = EINVAL): never {
    this.log.write(`${message}\n`)
    throw new Rejection(errno)
  }

  /** As {@link reject}, for the few messages that the kernel does not end with a new line. */
  rejectUnended(message: string, errno = EINVAL): never {
    this.log.write(message)
    throw new Rejection(errno)
  }

  say(message: string): void {
    this.log.write(`${message}\n`)
  }

  unmodelled(what: string): never {
    throw new Unmodelled(what)
  }

  /** Queues the other side of a branch; the current state goes on. */
  pushBranch(insn: number, previous: number): State {
    const state = this.pool.clone(this.state)
    this.pending.push({ state, insn, previous, log: this.log.position() })
    if (this.pending.length > JUMP_SEQUENCE_LIMIT)
      this.reject(`The sequence of ${this.pending.length} jumps is too complex.`, E2BIG)
    if (state.parent !== undefined) state.parent.branches++
    return state
  }

  /** Queues a state that has no past. */
  queue(state: State, insn: number, previous: number): void {
    this.pending.push({ state, insn, previous, log: this.log.position() })
    if (this.pending.length > JUMP_SEQUENCE_LIMIT)
      this.reject(`The sequence of ${this.pending.length} jumps is too complex for async cb.`, E2BIG)
  }

  readonly #kernel: () => KernelTypes | undefined
  #programTypes: KernelTypes | undefined
  readonly #typeNames: string[] = ['']

  /** The types that a register's BTF id counts in. */
  typesOf(object: number): KernelTypes | undefined {
    if (object === KERNEL_OBJECT) return this.#kernel()
    if (this.#programTypes === undefined && this.btf !== undefined) this.#programTypes = new KernelTypes(this.btf)
    return this.#programTypes
  }

  readonly #objectFields = new Map<number, readonly ObjectField[]>()

  /** Special fields of a struct of the program's own. */
  fieldsOf(id: number): readonly ObjectField[] {
    let fields = this.#objectFields.get(id)
    if (fields === undefined) {
      fields = this.btf === undefined ? [] : fieldsOfObject(this.btf, id)
      this.#objectFields.set(id, fields)
    }
    return fields
  }

  /** The id of a kernel type; below zero, for its name alone, where there is no BTF of the kernel; 0 without a name. */
  btfType(name: string | undefined): number {
    if (name === undefined) return 0
    const id = this.#kernel()?.struct(name)
    if (id !== undefined) return id
    const at = this.#typeNames.indexOf(name)
    return -(at >= 0 ? at : this.#typeNames.push(name) - 1)
  }

  btfName(type: number, object: number): string {
    return type <= 0 ? (this.#typeNames[-type] ?? '') : (this.typesOf(object)?.name(type) ?? '')
  }

  newId(): number {
    return ++this.ids
  }

  scratchRegister(register: number): void {
    this.scratchedRegisters |= 1 << register
  }

  scratchSlot(slot: number): void {
    if (slot < 32) this.scratchedLow |= 1 << slot
    else this.scratchedHigh |= 1 << (slot - 32)
  }

  scratchAll(): void {
    this.scratchedRegisters = -1
    this.scratchedLow = -1
    this.scratchedHigh = -1
  }

  instructionText(i: number): string {
    return instructionText(this.code, i, (id) => this.kfuncs.get(id)?.name)
  }

  /** Index of the subprogram that holds an instruction. */
  subprogramOf(insn: number): number {
    let low = 0
    let high = this.subprograms.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.subprograms[middle].start <= insn) low = middle
      else high = middle - 1
    }
    return low
  }

  map(index: number): ProgramMap {
    const map = index < 0 ? this.innerMaps[-index - 1] : this.maps[index - 1]
    if (map === undefined) throw new Unmodelled('a map that is not there')
    return map
  }

  /** Inner maps that pointers were made to; registers hold minus their place here - 1. */
  readonly innerMaps: ProgramMap[] = []

  innerMapReference(map: ProgramMap): number {
    let at = this.innerMaps.indexOf(map)
    if (at < 0) at = this.innerMaps.push(map) - 1
    return -(at + 1)
  }
}

/** Line records of the program's BTF, for the log's source lines. */
export interface LineTable {
  /** Record that covers a slot, -1 without. */
  at(insn: number): number
  file(record: number): string
  line(record: number): number
  text(record: number): string
}

const GPL = new Set(['GPL', 'GPL v2', 'GPL and additional rights', 'Dual BSD/GPL', 'Dual MIT/GPL', 'Dual MPL/GPL'])

/** license_is_gpl_compatible(). */
export function isGplCompatible(license: string): boolean {
  return GPL.has(license)
}
