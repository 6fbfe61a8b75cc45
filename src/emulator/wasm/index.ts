/** The WebAssembly compiler: programs become modules over the emulator's linear memory, with the interpreter's checks. */

import { OPERATION } from '../decode.ts'
import type { CallTable } from '../interpreter.ts'
import type { Machine } from '../machine.ts'
import { REGISTERS } from '../memory.ts'
import { FUNCTION_HIGH, type LinkedProgram } from '../program.ts'
import { wasmApi } from '../webassembly.ts'
import { buildGraph, functionEntries } from './cfg.ts'
import { encodeModule, OP, VOID, WasmBytes } from './encoder.ts'
import { FunctionCompiler } from './function.ts'
import { FAULT_KIND, FUEL_ADDRESS, IMPORTS, TYPE, TYPES } from './layout.ts'

/** Functions may share code; the compiler copies it, up to this many times the program's length. */
const MAX_COPIES = 4
/** Instructions that are compiled in one go, as module size is bounded by the hosts. */
const MAX_COMPILED = 200_000

interface Compiled {
  /** By entry slot. */
  readonly entries: ReadonlyMap<number, (frame: number) => number>
  /** Of programs that call nothing outside. */
  readonly repeat: ((frame: number, times: number, context: number, limit: number) => number) | undefined
}

/** The module of a program. Exported for tests and tools. @returns a text when the program has no compiled form */
export function compileProgram(machine: Machine, program: LinkedProgram): Uint8Array | string {
  if (machine.sanitizer.misaligned !== 'off') return 'strict alignment is checked by the interpreter'
  const { code } = program
  for (let slot = 0; slot < code.length; slot++) {
    const kind = code.operation[slot] & 7
    const writes = code.operation[slot] < 0x100 && (kind === 0 || kind === 1 || kind === 4 || kind === 7)
    if (writes && code.dst[slot] === 10) return 'it writes the frame pointer'
  }
  const entries = functionEntries(program)
  const graphs = entries.map((entry) => buildGraph(program, entry))
  if (graphs.some((graph) => !graph.reducible)) return 'it has a loop with several entrances'
  const total = graphs.reduce((sum, graph) => sum + graph.blocks.reduce((all, block) => all + block.count, 0), 0)
  if (total > Math.min(MAX_COMPILED, MAX_COPIES * code.length + 1000)) return 'it is too long for one module'
  const first = IMPORTS.length
  const functions = new Map(entries.map((entry, i) => [entry, first + i]))
  const context = { machine, program, functions }
  try {
    const bodies = graphs.map((graph) => new FunctionCompiler(context, graph).compile())
    const wrappers = entries.map((entry) => wrapper(functions.get(entry) ?? 0))
    return encodeModule({
      types: TYPES,
      imports: IMPORTS,
      memoryPages: (2 * machine.memory.size) / 65_536,
      functions: [
        ...bodies.map((body) => ({ type: TYPE.function, body })),
        ...wrappers.map((body, i) => ({ type: TYPE.wrapper, body, export: `at${entries[i]}` })),
        ...(isClosed(program) ? [{ type: TYPE.i4, body: repeater(functions.get(0) ?? 0), export: 'repeat' }] : []),
      ],
    })
  } catch (error) {
    if (error instanceof RangeError) return 'its control flow nests too deeply'
    throw error
  }
}

/** Calls a function with the registers in memory and puts r0 back there. */
function wrapper(target: number): Uint8Array {
  const out = new WasmBytes().u32(0)
  out.byte(OP.i32Const).s32(REGISTERS)
  out.byte(OP.localGet).u32(0)
  for (let register = 1; register <= 5; register++)
    out
      .byte(OP.i32Const)
      .s32(0)
      .byte(OP.i64Load)
      .u32(0)
      .u32(REGISTERS + 8 * register)
  out.byte(OP.call).u32(target).byte(OP.i64Store).u32(0).u32(0).byte(OP.end)
  return out.toBytes()
}

/** Calls a function `times` times with the same r1 and a full step limit each time; leaves the last r0 in its place. */
function repeater(target: number): Uint8Array {
  const [frame, times, context, limit] = [0, 1, 2, 3]
  const out = new WasmBytes().u32(0)
  const store = (address: number, local: number): void => {
    out.byte(OP.i32Const).s32(0).byte(OP.localGet).u32(local).byte(OP.i32Store).u32(0).u32(address)
  }
  out.byte(OP.loop).byte(VOID)
  store(FUEL_ADDRESS, limit)
  out.byte(OP.i32Const).s32(REGISTERS)
  out.byte(OP.localGet).u32(frame).byte(OP.localGet).u32(context).byte(OP.i64ExtendI32U)
  for (let register = 2; register <= 5; register++)
    out
      .byte(OP.i32Const)
      .s32(0)
      .byte(OP.i64Load)
      .u32(0)
      .u32(REGISTERS + 8 * register)
  out.byte(OP.call).u32(target).byte(OP.i64Store).u32(0).u32(0)
  out.byte(OP.localGet).u32(times).byte(OP.i32Const).s32(1).byte(OP.i32Sub).byte(OP.localTee).u32(times)
  out.byte(OP.brIf).u32(0).byte(OP.end).byte(OP.end)
  return out.toBytes()
}

/** A program that calls nothing outside itself: its runs can follow each other without JavaScript in between. */
function isClosed(program: LinkedProgram): boolean {
  const { operation } = program.code
  return !operation.some(
    (one) => one === OPERATION.callHelper || one === OPERATION.callKfunc || one === OPERATION.callRegister,
  )
}

/** Compiles programs on demand and runs them. */
export class WasmEngine {
  readonly #machine: Machine
  readonly #calls: CallTable
  /** By program: the module, or why there is none. */
  readonly #compiled: (Compiled | string | undefined)[] = []

  constructor(machine: Machine, calls: CallTable) {
    this.#machine = machine
    this.#calls = calls
  }

  /** Why a program cannot be compiled, undefined when it can. */
  refusal(program: LinkedProgram): string | undefined {
    const compiled = this.#compile(program)
    return typeof compiled === 'string' ? compiled : undefined
  }

  #compile(program: LinkedProgram): Compiled | string {
    return (this.#compiled[program.index] ??= this.#build(program))
  }

  #build(program: LinkedProgram): Compiled | string {
    const { memory } = this.#machine
    if (wasmApi === undefined || memory.wasm === undefined) return 'this host has no WebAssembly'
    const bytes = compileProgram(this.#machine, program)
    if (typeof bytes === 'string') return bytes
    try {
      const module = new wasmApi.Module(bytes)
      const instance = new wasmApi.Instance(module, { env: { memory: memory.wasm, ...this.#imports(program) } })
      const { repeat, ...entries } = instance.exports
      return { entries: new Map(Object.entries(entries).map(([name, run]) => [Number(name.slice(2)), run])), repeat }
    } catch (error) {
      return `the host refuses the module: ${error instanceof Error ? error.message : String(error)}`
    }
  }

  #imports(program: LinkedProgram): Record<string, (...args: number[]) => number | undefined> {
    const m = this.#machine
    const calls = this.#calls
    const { words } = m
    const fuelWord = FUEL_ADDRESS / 4
    const enter = (slot: number, frame: number, fuel: number): void => {
      m.program = program
      m.pc = slot
      m.frame = frame
      m.fuel = fuel
    }
    const leave = (): void => {
      words[fuelWord] = m.fuel
    }
    return {
      helper(number, slot, frame, fuel) {
        enter(slot, frame, fuel)
        const ended = calls.helper(number)
        leave()
        return ended ? 1 : 0
      },
      kfunc(slot, frame, fuel) {
        enter(slot, frame, fuel)
        calls.kfunc(program, slot)
        leave()
        return undefined
      },
      careful(slot, low, high, offset, access, frame, fuel) {
        enter(slot, frame, fuel)
        return m.resolve(low >>> 0, high, offset, access & 0xff, (access & 0x100) !== 0)
      },
      fault(slot, kind, frame, fuel) {
        enter(slot, frame, fuel)
        if (kind === FAULT_KIND.stepLimit) {
          m.fuel = 0
          m.fail('step-limit', 'the step limit is reached')
        }
        if (kind === FAULT_KIND.invalidJump)
          m.fail('invalid-jump', `the program leaves its ${program.code.length} slots after slot ${slot}`)
        if (kind === FAULT_KIND.callDepth) m.fail('call-depth', 'too many nested calls')
        if (kind === FAULT_KIND.misaligned) m.fail('misaligned', 'misaligned atomic operation')
        const opcode = program.image.insns[slot * 8].toString(16).padStart(2, '0')
        return m.fail('invalid-instruction', `there is no instruction with opcode 0x${opcode} and these fields`)
      },
      loadPacket(slot, _zero, frame, fuel) {
        enter(slot, frame, fuel)
        return calls.loadPacket(program, slot) ? 1 : 0
      },
      callRegister(slot, frame, fuel) {
        enter(slot, frame, fuel)
        const at = REGISTERS / 4 + 2 * program.code.dst[slot]
        if (words[at + 1] === FUNCTION_HIGH + program.index) {
          m.frame++
          m.invoke(program, words[at])
          m.closeFrame(m.frame)
          m.frame--
        } else if (words[at + 1] === 0) calls.helper(words[at])
        else m.fail('invalid-jump', 'call of a register that holds no function')
        leave()
        return undefined
      },
      cast(slot, frame, fuel) {
        enter(slot, frame, fuel)
        const { dst, src, imm } = program.code
        m.castAddress(REGISTERS / 4 + 2 * dst[slot], REGISTERS / 4 + 2 * src[slot], imm[slot])
        return undefined
      },
    }
  }

  /** Many runs of a program at once; r1 is `context` in each. @returns false when they have to be made one by one */
  repeat(program: LinkedProgram, times: number, context: number): boolean {
    const compiled = this.#compile(program)
    if (typeof compiled === 'string' || compiled.repeat === undefined || times < 1) return false
    const m = this.#machine
    m.program = program
    compiled.repeat(0, times, context, m.fuel)
    m.fuel = m.words[FUEL_ADDRESS / 4]
    return true
  }

  /** Runs a function of a program on the machine's registers. @returns false when there is no compiled form */
  run(program: LinkedProgram, slot: number): boolean {
    const compiled = this.#compile(program)
    if (typeof compiled === 'string') return false
    const run = compiled.entries.get(slot)
    if (run === undefined) return false
    const m = this.#machine
    const { program: before, frame } = m
    m.program = program
    m.words[FUEL_ADDRESS / 4] = m.fuel
    run(frame)
    m.fuel = m.words[FUEL_ADDRESS / 4]
    m.program = before
    m.frame = frame
    return true
  }
}
