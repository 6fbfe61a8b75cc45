import { readFileSync } from 'node:fs'
import type { ObjectSpec } from 'typebpf/spec'

/** What JSON has no form for: 64-bit integers and bytes. */
const INTEGER = '$integer'
const BYTES = '$bytes'

/** An object as text that {@link readObjectText} reads. */
export function objectText(object: ObjectSpec): string {
  return JSON.stringify(object, (_key, value: unknown) => {
    if (typeof value === 'bigint') return { [INTEGER]: value.toString() }
    if (value instanceof Uint8Array) return { [BYTES]: Buffer.from(value).toString('base64') }
    return value
  })
}

export function readObjectText(text: string): ObjectSpec {
  // instructions of one statement share its place: that is how their line information knows that they belong together
  const places = new Map<string, object>()
  return JSON.parse(text, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null) return value
    if (INTEGER in value) return BigInt(value[INTEGER] as string)
    if (BYTES in value) return new Uint8Array(Buffer.from(value[BYTES] as string, 'base64'))
    if ('file' in value && 'line' in value && 'column' in value) {
      const key = `${value.file}:${value.line}:${value.column}`
      const known = places.get(key) ?? value
      places.set(key, known)
      return known
    }
    return value
  }) as ObjectSpec
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
