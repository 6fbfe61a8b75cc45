import type { Layout } from '../../layout/index.ts'

/** Reads a little-endian value at an offset. */
export type Reader<Value> = (view: DataView, at: number) => Value

/** The expression that reads an integer or pointer, undefined for anything else. */
function integerExpression(layout: Layout, at: string): string | undefined {
  if (layout.kind !== 'int' && layout.kind !== 'pointer') return undefined
  const little = layout.byteOrder !== 'big'
  const sign = layout.signed === true ? 'Int' : 'Uint'
  switch (layout.size) {
    case 1:
      return `v.get${sign}8(${at})`
    case 2:
      return `v.get${sign}16(${at},${little})`
    case 4:
      return `v.get${sign}32(${at},${little})`
    case 8:
      return `v.getBig${sign}64(${at},${little})`
    default:
      return undefined
  }
}

function expression(layout: Layout, offset: number, others: Layout[]): string {
  const at = `a+${offset}`
  const integer = integerExpression(layout, at)
  if (integer !== undefined) return integer
  const fields = layout.kind === 'struct' ? layout.fields : undefined
  if (fields?.every(({ name, bitOffset }) => name !== '' && bitOffset === undefined) === true) {
    const members = fields.map(
      ({ name, offset: inner, layout: own }) => `[${JSON.stringify(name)}]:${expression(own, offset + inner, others)}`,
    )
    return `{${members.join(',')}}`
  }
  others.push(layout)
  return `l[${others.length - 1}].read(v,${at},'little')`
}

/**
 * A reader made for one layout: several times the speed of its general one, for streams of many records. Where code
 * may not be made from text it is the general one.
 */
export function compileReader<Value>(layout: Layout<Value>): Reader<Value> {
  const others: Layout[] = []
  const body = `return (v,a)=>(${expression(layout as Layout, 0, others)})`
  try {
    return (new Function('l', body) as (layouts: readonly Layout[]) => Reader<Value>)(others)
  } catch {
    return (view, at) => layout.read(view, at, 'little')
  }
}
