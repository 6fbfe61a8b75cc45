import type { Instruction, SourceLocation } from '../asm/index.ts'
import type { BtfBuilder } from '../btf/index.ts'
import type { Contribution, FunctionSpec, MapSpec, ProgramSpec } from '../spec/index.ts'
import { allocateRegisters } from './codegen/allocate.ts'
import { checkChains, type Framed } from './codegen/chains.ts'
import { cleanGraph } from './codegen/cleanup.ts'
import { emitInstructions } from './codegen/emit.ts'
import { removeDead } from './codegen/liveness.ts'
import { lower } from './codegen/lower.ts'
import type { FunctionContext, FunctionParameter, Unit, UsedFunction } from './context.ts'
import { dropOverwrittenZeros } from './ir/zeros.ts'
import { withTypes } from './maps/definition.ts'
import { nodeSourceReader, type SourceReader } from './source.ts'
import { addBtf } from './types/btf.ts'
import type { Type } from './types/types.ts'

/** Turns a finished function into instructions. */
function compileFunction(
  fn: FunctionContext,
  sourceOf: (site: number) => SourceLocation | undefined,
): { readonly instructions: Instruction[]; readonly frameBytes: number } {
  dropOverwrittenZeros(fn.emitter.ir)
  const machine = lower(fn.emitter.ir, { signExtend: fn.unit.atLeast(6, 6) })
  cleanGraph(machine)
  removeDead(machine)
  allocateRegisters(machine)
  cleanGraph(machine)
  const instructions = emitInstructions(machine, sourceOf)
  return { instructions, frameBytes: machine.frameBytes }
}

/** Source lines with their text, the way from generated code included. */
export function sourceLines(
  unit: Unit,
  reader: SourceReader | undefined,
): (site: number) => SourceLocation | undefined {
  const known = new Map<number, SourceLocation | undefined>()
  return (site) => {
    if (!known.has(site)) {
      const at = unit.location(site)
      if (at === undefined || reader === undefined) known.set(site, at)
      else {
        const original = reader.locate(at.file, at.line, at.column) ?? at
        const text = reader.text(original.file, original.line)
        const file = reader.name?.(original.file) ?? original.file
        known.set(site, { ...original, file, ...(text === undefined ? {} : { text }) })
      }
    }
    return known.get(site)
  }
}

/** Functions that code names. */
const called = (instructions: readonly Instruction[]): string[] =>
  instructions.flatMap(({ reference }) => (reference?.kind === 'function' ? [reference.name] : []))

export interface EntryPoint {
  readonly fn: FunctionContext
  /** All of the program's spec but what compiling gives. */
  readonly spec: Omit<ProgramSpec, 'instructions' | 'typeId' | 'linkage'>
  readonly contextType: string
}

/** The BTF of a parameter of a global function. */
function parameterType(btf: BtfBuilder, parameter: FunctionParameter, contextType: string): number {
  if (parameter.kind === 'ctx') return btf.pointer(btf.add({ kind: 'struct', name: contextType, size: 0, members: [] }))
  if (parameter.kind === 'void') return btf.pointer(0)
  if (parameter.kind === 'memory') return btf.pointer(addBtf(btf, parameter.to))
  return addBtf(btf, parameter as Type)
}

/** What a unit adds to an object: the program, the functions and maps it uses, their BTF. */
export function contributionOfUnit(
  unit: Unit,
  entry: EntryPoint,
  reader: SourceReader | undefined = nodeSourceReader(),
): Contribution {
  const { btf } = unit
  const sourceOf = sourceLines(unit, reader)
  const int = btf.int('int', 4, { signed: true })
  const context = btf.pointer(
    entry.contextType === 'void' ? 0 : btf.add({ kind: 'fwd', name: entry.contextType, union: false }),
  )
  const proto = btf.add({ kind: 'func_proto', returnType: int, params: [{ name: 'ctx', type: context }] })
  const typeId = btf.add({ kind: 'func', name: entry.spec.name, type: proto, linkage: 1 })
  const framed: Framed[] = []
  const compile = (name: string, fn: FunctionContext): Instruction[] => {
    const { instructions, frameBytes } = compileFunction(fn, sourceOf)
    framed.push({ name, frameBytes, calls: called(instructions).filter((it) => !unit.functions.get(it)?.deferred) })
    return instructions
  }
  const programs: ProgramSpec[] = [
    { ...entry.spec, linkage: 'global', typeId, instructions: compile(entry.spec.name, entry.fn) },
  ]
  const functions = [...unit.functions.values()].map((used: UsedFunction): FunctionSpec => {
    const params = used.params.map(({ name, type }) => ({ name, type: parameterType(btf, type, entry.contextType) }))
    const returnType = used.result === 'void' ? 0 : used.result === 'int' ? int : addBtf(btf, used.result)
    const type = btf.add({ kind: 'func_proto', returnType, params })
    return {
      name: used.name,
      linkage: used.linkage,
      typeId: btf.add({ kind: 'func', name: used.name, type, linkage: used.linkage === 'global' ? 1 : 0 }),
      instructions: compile(used.name, used.fn),
    }
  })
  checkChains(framed, entry.spec.name, unit.atLeast(6, 8) ? 16 : 32)
  const used = [...unit.maps.values()]
  const maps = used.map((map): MapSpec => withTypes(map, btf))
  const variables = [...unit.variables, ...used.flatMap((map) => map.variables?.(btf) ?? [])]
  return {
    programs,
    functions,
    variables,
    externs: unit.externs,
    maps,
    license: unit.license,
    also: used.flatMap((map) => map.programs ?? []),
    btf: btf.toBytes(),
  }
}
