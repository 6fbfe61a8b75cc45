import { readFileSync } from 'node:fs'
import type { FunctionSpec, ObjectSpec, ProgramSpec } from 'typebpf/spec'

/** What JSON has no form for: 64-bit integers and bytes. */
const INTEGER = '$integer'
const BYTES = '$bytes'

type Instruction = FunctionSpec['instructions'][number]
type Source = NonNullable<Instruction['source']>

/** Instructions as numbers, `PER` each, the last the index of the source line; what few have stands beside, by index. */
interface Packed {
  readonly numbers: readonly number[]
  readonly more: Readonly<Record<number, Partial<Instruction>>>
}
const PER = 6
const NO_SOURCE = -1
type PackedFunction = Omit<FunctionSpec, 'instructions'> & { readonly instructions: Packed }

const replace = (_key: string, value: unknown): unknown => {
  if (typeof value === 'bigint') return { [INTEGER]: value.toString() }
  if (value instanceof Uint8Array) return { [BYTES]: Buffer.from(value).toString('base64') }
  return value
}
const revive = (_key: string, value: unknown): unknown => {
  if (typeof value !== 'object' || value === null) return value
  if (INTEGER in value) return BigInt(value[INTEGER] as string)
  if (BYTES in value) return new Uint8Array(Buffer.from(value[BYTES] as string, 'base64'))
  return value
}

/** An object as text that {@link readObjectText} reads. */
export function objectText(object: ObjectSpec): string {
  const sources = new Map<Source, number>()
  const pack = <F extends FunctionSpec>({ instructions, ...rest }: F): PackedFunction => {
    const more: Record<number, Partial<Instruction>> = {}
    const numbers = instructions.flatMap(({ opcode, dst, src, offset, imm, source, ...others }, i) => {
      if (Object.keys(others).length > 0) more[i] = others
      if (source !== undefined && !sources.has(source)) sources.set(source, sources.size)
      return [opcode, dst, src, offset, imm, source === undefined ? NO_SOURCE : (sources.get(source) ?? NO_SOURCE)]
    })
    return { ...rest, instructions: { numbers, more } }
  }
  const [programs, functions] = [object.programs.map(pack), object.functions.map(pack)]
  return JSON.stringify({ ...object, programs, functions, sources: [...sources.keys()] }, replace)
}

export function readObjectText(text: string): ObjectSpec {
  const { sources, programs, functions, ...object } = JSON.parse(text, revive) as Omit<
    ObjectSpec,
    'programs' | 'functions'
  > & { sources: Source[]; programs: PackedFunction[]; functions: PackedFunction[] }
  const unpack = <F extends FunctionSpec>({ instructions: { numbers, more }, ...rest }: PackedFunction): F => {
    const instructions: Instruction[] = []
    for (let at = 0; at < numbers.length; at += PER) {
      const [opcode, dst, src, offset, imm, source] = numbers.slice(at, at + PER)
      // instructions of one statement share its source: that is how their line information knows that they belong together
      const own: Instruction = { opcode, dst, src, offset, imm }
      const placed = source === NO_SOURCE ? own : { ...own, source: sources[source] }
      const others = more[at / PER]
      instructions.push(others === undefined ? placed : { ...placed, ...others })
    }
    return { ...rest, instructions } as unknown as F
  }
  return { ...object, programs: programs.map(unpack<ProgramSpec>), functions: functions.map(unpack<FunctionSpec>) }
}

/** A program of the builder, as far as its name and shape tell it from maps and data. */
const isProgram = (value: unknown): value is { readonly name: string } =>
  typeof value === 'object' && value !== null && 'shape' in value && 'name' in value

/**
 * The object of a tool as the package's build left it beside the bundled tool, so that starting does not build it again;
 * undefined where there is none, or where it has other programs than the module.
 */
export function builtObject(name: string, module: object): ObjectSpec | undefined {
  let text: string
  try {
    text = readFileSync(new URL(`./${name}.object.json`, import.meta.url), 'utf8')
  } catch {
    return undefined
  }
  const object = readObjectText(text)
  const wanted = Object.values(module).flat().filter(isProgram)
  const there = new Set(object.programs.map((program) => program.name))
  return wanted.length === there.size && wanted.every((program) => there.has(program.name)) ? object : undefined
}
