import type { Instruction } from '../asm/index.ts'
import { Btf } from '../btf/index.ts'
import {
  ALU,
  attachTypeName,
  attachTypeSince,
  CLASS,
  helperName,
  helperSince,
  JMP,
  kfuncSince,
  LD_IMM64,
  MAP_TYPES_SINCE,
  MODE,
  mapTypeName,
  PROGRAM_FLAGS,
  PROGRAM_TYPES_SINCE,
  PSEUDO_CALL,
  PSEUDO_LD,
  programTypeName,
} from '../uapi/index.ts'
import { JUMP_TABLES } from './map.ts'
import type { ObjectSpec } from './object.ts'
import type { FunctionSpec, ProgramSpec } from './program.ts'

/** The first kernel that can have what an object uses, as far as tables here know. */
export interface MinimumKernel {
  /** "5.8"; "3.18" when nothing newer was found. */
  readonly version: string
  /** What asks for it: "map type ringbuf". Only what asks for exactly `version`. */
  readonly because: readonly string[]
}

const EARLIEST = '3.18'

/**
 * A lower bound for one program: program, attach and map types, load flags, instruction set, helpers, kernel functions.
 * Verifier limits and struct fields (CO-RE) are not looked at, so that an older kernel surely refuses, and this one may still.
 * Weak kernel functions do not count: the program can do without.
 */
export function minimumKernel(object: ObjectSpec, program: ProgramSpec): MinimumKernel {
  const needs: (readonly [version: string, why: string])[] = []
  const typeName = programTypeName(program.type)
  if (typeName !== undefined) needs.push([PROGRAM_TYPES_SINCE[typeName], `program type ${typeName}`])
  const attachSince = typeName === 'struct_ops' ? undefined : attachTypeSince(program.expectedAttachType)
  if (attachSince !== undefined) needs.push([attachSince, `attach type ${attachTypeName(program.expectedAttachType)}`])
  if ((program.flags & PROGRAM_FLAGS.sleepable) !== 0 && typeName !== 'syscall')
    needs.push(['5.10', 'sleepable programs'])
  if ((program.flags & PROGRAM_FLAGS.xdp_has_frags) !== 0) needs.push(['5.18', 'XDP fragments'])
  if (program.exceptionCallback !== undefined) needs.push(['6.7', 'exception callbacks'])
  const functions = new Map<string, FunctionSpec>(object.functions.map((spec) => [spec.name, spec]))
  const seen = new Set<string>()
  const visit = (spec: FunctionSpec): void => {
    if (seen.has(spec.name)) return
    seen.add(spec.name)
    if (spec !== program && spec.linkage !== 'static') needs.push(['5.6', `global function ${spec.name}`])
    for (const instruction of spec.instructions) {
      const need = instructionSince(instruction)
      if (need !== undefined) needs.push(need)
      const { reference } = instruction
      if (reference?.kind === 'kfunc' && reference.weak !== true)
        needs.push([kfuncSince(reference.name), `kernel function ${reference.name}`])
      if (reference?.kind === 'function') {
        const callee = functions.get(reference.name)
        if (callee !== undefined) visit(callee)
      } else if (reference?.kind === 'mapValue' && reference.name === JUMP_TABLES) {
        needs.push(['6.19', 'jump tables'])
      } else if (reference?.kind === 'map' || reference?.kind === 'mapValue') {
        const type = object.maps.find(({ name }) => name === reference.name)?.type
        const name = type === undefined ? undefined : mapTypeName(type)
        if (name !== undefined) needs.push([MAP_TYPES_SINCE[name], `map type ${name}`])
      }
    }
  }
  visit(program)
  let version = EARLIEST
  for (const [candidate] of needs) if (compareVersions(candidate, version) > 0) version = candidate
  return { version, because: [...new Set(needs.filter(([candidate]) => candidate === version).map(([, why]) => why))] }
}

/** Below 0: `a` is older. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a, b].map((version) => version.split('.').map(Number))
  for (let i = 0; i < Math.max(x.length, y.length); i++) {
    const difference = (x[i] ?? 0) - (y[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

function instructionSince({ opcode, src, offset, imm }: Instruction): readonly [string, string] | undefined {
  if (opcode === LD_IMM64) {
    if (src === PSEUDO_LD.mapValue) return ['5.2', 'global data']
    if (src === PSEUDO_LD.func) return ['5.13', 'callback functions']
    if (src === PSEUDO_LD.btfId) return ['5.10', 'typed kernel variables']
    return undefined
  }
  const cls = opcode & 7
  const op = opcode & 0xf0
  if (cls === CLASS.jmp && op === JMP.call) {
    if (src === PSEUDO_CALL.local) return ['4.16', 'subprograms']
    if (src === PSEUDO_CALL.kfunc) return ['5.13', 'kernel functions']
    const since = src === 0 ? helperSince(imm) : undefined
    return since === undefined ? undefined : [since, `helper bpf_${helperName(imm)}`]
  }
  if (cls === CLASS.jmp && op === JMP.jcond) return ['6.10', 'may_goto']
  if (cls === CLASS.jmp32) return op === JMP.ja ? ['6.6', 'long jumps (ISA v4)'] : ['5.1', '32-bit jumps (ISA v3)']
  if (cls === CLASS.ldx && (opcode & 0xe0) === MODE.memsx) return ['6.6', 'sign-extending loads (ISA v4)']
  if (cls === CLASS.stx && (opcode & 0xe0) === MODE.atomic) {
    if ((imm & 0x100) !== 0) return ['6.15', 'load-acquire and store-release']
    return imm === 0 ? undefined : ['5.12', 'atomic operations with a result']
  }
  if (cls === CLASS.alu || cls === CLASS.alu64) {
    if ((op === ALU.div || op === ALU.mod) && offset === 1) return ['6.6', 'signed division (ISA v4)']
    if (op === ALU.mov && offset === 1 && imm !== 0 && cls === CLASS.alu64) return ['6.9', 'arena pointers']
    if (op === ALU.mov && offset === -1) return ['6.11', 'per-CPU addresses']
    if (op === ALU.mov && offset !== 0) return ['6.6', 'sign-extending moves (ISA v4)']
    if (op === ALU.end && cls === CLASS.alu64) return ['6.6', 'byte swaps (ISA v4)']
  }
  return undefined
}

/** How many types of each kind an object's BTF has. */
export function btfKinds(object: ObjectSpec): Record<string, number> {
  const counts: Record<string, number> = {}
  if (object.btf === undefined) return counts
  const btf = new Btf(object.btf, { what: `${object.name}: BTF` })
  for (let id = 1; id < btf.endId; id++) {
    const kind = btf.kind(id)
    counts[kind] = (counts[kind] ?? 0) + 1
  }
  return counts
}
