import type { BtfBuilder } from '../../btf/index.ts'
import type { MapSpec, VariableSpec } from '../../spec/index.ts'
import { MAP_FLAGS, MAP_TYPES } from '../../uapi/index.ts'
import { buildError, type FunctionContext, type Unit, type UsedMap } from '../context.ts'
import type { Operand } from '../ir/ops.ts'

const KEY = Symbol('strings')

/** The constant strings of a unit: one read-only map. */
class Strings implements UsedMap {
  readonly section: string
  readonly at = new Map<string, number>()
  size = 0
  zeroAt = 0
  zeroSize = 0
  constructor(unit: Unit) {
    this.section = `.rodata.${unit.name}`
  }
  add(text: string): { offset: number; size: number } {
    const size = new TextEncoder().encode(text).length + 1
    let offset = this.at.get(text)
    if (offset === undefined) {
      offset = this.size
      this.at.set(text, offset)
      this.size += size
    }
    return { offset, size }
  }
  /** Zeros, for first values that are too large for the stack. */
  zeros(size: number): number {
    if (this.zeroSize < size) {
      this.zeroSize = size
      this.zeroAt = Math.ceil(this.size / 8) * 8
      this.size = this.zeroAt + size
    }
    return this.zeroAt
  }
  get spec(): MapSpec {
    const bytes = new Uint8Array(this.size)
    for (const [text, offset] of this.at) bytes.set(new TextEncoder().encode(text), offset)
    return {
      name: this.section,
      type: MAP_TYPES.array,
      keySize: 4,
      valueSize: this.size,
      maxEntries: 1,
      flags: MAP_FLAGS.rdonly_prog,
      section: this.section,
      frozen: true,
      contents: [[new Uint8Array(4), bytes]],
    }
  }
  variables(btf: BtfBuilder): readonly VariableSpec[] {
    const char = btf.int('char', 1, { signed: true })
    return [...this.at].map(([text, offset], i) => {
      const size = new TextEncoder().encode(text).length + 1
      return {
        name: `__string_${i}`,
        section: this.section,
        offset,
        size,
        linkage: 'static',
        typeId: btf.array(char, size),
      }
    })
  }
}

function stringsOf(unit: Unit): Strings {
  const strings = unit.extra(KEY, () => new Strings(unit))
  unit.maps.set(strings.section, strings)
  return strings
}

/** Read-only memory of `size` bytes that are 0. Linux 5.2. */
export function zeroBytes(fn: FunctionContext, size: number): Operand {
  fn.unit.need(5, 2, 'read-only data')
  const strings = stringsOf(fn.unit)
  return { kind: 'mapValue', name: strings.section, offset: strings.zeros(size) }
}

/** Puts a format string into the unit's read-only data. Linux 5.2. */
export function formatString(
  fn: FunctionContext,
  format: string,
  count: number,
  { most, texts }: { readonly most: number; readonly texts: boolean } = { most: 3, texts: false },
): { address: Operand; size: number } {
  const found = format.match(texts ? /%(?:%|s|(?:l{0,2})[duxi])/g : /%(?:%|(?:l{0,2})[duxi])/g) ?? []
  const wanted = found.filter((it) => it !== '%%').length
  if ((format.match(/%/g) ?? []).length !== found.join('').split('%').length - 1)
    throw buildError(
      'build.format',
      `${JSON.stringify(format)}: a conversion that BPF does not have`,
      `use %d %u %x %i, with l or ll for 64 bits${texts ? ', %s for texts' : ''}`,
    )
  if (wanted !== count)
    throw buildError(
      'build.format',
      `${JSON.stringify(format)} prints ${wanted} values, ${count} are given`,
      'one value a conversion',
    )
  if (wanted > most) throw buildError('build.format', `${wanted} values, ${most} at most`, 'print them in two calls')
  const { unit } = fn
  unit.need(5, 2, 'read-only data')
  const strings = stringsOf(unit)
  const { offset, size } = strings.add(format)
  return { address: { kind: 'mapValue', name: strings.section, offset }, size }
}
