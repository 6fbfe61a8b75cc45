import { Btf } from '../../btf/index.ts'
import { UsageError } from '../../errors/index.ts'
import { type Layout, layoutFromBtf } from '../../layout/index.ts'
import type { MapSpec, ObjectSpec, VariableSpec } from '../../spec/index.ts'
import { encodeWith, plain } from './map-values.ts'
import type { ResolvedSource } from './source.ts'

/** How a global variable is read: by its BTF type, else as an integer or bytes. */
export function variableLayout(variable: VariableSpec, object: ObjectSpec | undefined): Layout {
  const btf = btfOf(object)
  if (btf !== undefined && variable.typeId !== undefined && variable.typeId !== 0) {
    try {
      const layout = layoutFromBtf(btf, variable.typeId)
      if (layout.size === variable.size) return layout as Layout
    } catch {
      // a type without a plain layout is shown as bytes
    }
  }
  return plain(variable.size)
}

const parsed = new WeakMap<ObjectSpec, Btf>()
function btfOf(object: ObjectSpec | undefined): Btf | undefined {
  if (object?.btf === undefined) return undefined
  const btf = parsed.get(object) ?? new Btf(object.btf, { what: `${object.name}: BTF` })
  parsed.set(object, btf)
  return btf
}

function encodeVariable(variable: VariableSpec, value: unknown, btf: Btf | undefined): Uint8Array {
  if (btf !== undefined && variable.typeId !== undefined && variable.typeId !== 0)
    return encodeWith(layoutFromBtf(btf, variable.typeId) as Layout, value, `global ${variable.name}`)
  if (value instanceof Uint8Array && value.length === variable.size) return value
  if (typeof value !== 'number' && typeof value !== 'bigint')
    throw new UsageError('progrun.global', `global ${variable.name}: ${variable.size} bytes or a number are needed`)
  const wide = new Uint8Array(new BigUint64Array([BigInt.asUintN(64, BigInt(value))]).buffer)
  const bytes = new Uint8Array(variable.size)
  bytes.set(wide.subarray(0, Math.min(8, variable.size)))
  return bytes
}

function unknown(name: string, object: ObjectSpec | undefined): never {
  const names = object?.variables.map((each) => each.name).join(', ') || 'none'
  throw new UsageError('progrun.global', `there is no global variable ${name}`, { details: [`there are: ${names}`] })
}

/**
 * The source with other first values of its global variables (.rodata, .data, .bss): set before the load, so that constants can be
 * chosen too.
 * @throws UsageError `progrun.global`, `layout.value`
 */
export function withGlobals(source: ResolvedSource, globals: Readonly<Record<string, unknown>>): ResolvedSource {
  const { object } = source
  const btf = btfOf(object)
  const changes = Object.entries(globals).map(([name, value]) => {
    const variable = object?.variables.find((each) => each.name === name) ?? unknown(name, object)
    return { section: variable.section, offset: variable.offset, bytes: encodeVariable(variable, value, btf) }
  })
  const changed = (spec: MapSpec): MapSpec => {
    const own = changes.filter(({ section }) => section === spec.section)
    if (own.length === 0) return spec
    const [key, value] = spec.contents?.[0] ?? [new Uint8Array(4), new Uint8Array(spec.valueSize)]
    const bytes = new Uint8Array(value)
    for (const change of own) bytes.set(change.bytes, change.offset)
    return { ...spec, contents: [[key, bytes]] }
  }
  return { ...source, images: source.images.map((image) => ({ ...image, maps: image.maps.map(changed) })) }
}
