/** The WebAssembly compiler: programs become modules over the emulator's linear memory. */
import type { CallTable } from '../interpreter.ts'
import type { Machine } from '../machine.ts'
import type { LinkedProgram } from '../program.ts'

export class WasmEngine {
  readonly machine: Machine
  constructor(machine: Machine, _calls: CallTable) {
    this.machine = machine
  }
  /** Why a program cannot be compiled, undefined when it can. */
  refusal(_program: LinkedProgram): string | undefined {
    return 'the WebAssembly compiler is not there yet'
  }
  run(_program: LinkedProgram, _slot: number): boolean {
    return false
  }
}
