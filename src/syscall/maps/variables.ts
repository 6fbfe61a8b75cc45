import { Btf } from '../../btf/index.ts'
import { UsageError } from '../../errors/index.ts'
import { type Layout, layoutFromBtf } from '../../layout/index.ts'
import type { VariableSpec } from '../../spec/index.ts'
import { MAP_FLAGS } from '../../uapi/index.ts'
import type { LoadedObject } from '../prog/load-object.ts'
import { MAP, type Mapping, PROT } from '../sys/sys.ts'
import { rawBytes } from './map.ts'

/**
 * The global variables of a loaded object as live memory: reading costs no system call, programs see a write at once.
 * Values follow the object's BTF; a variable without a type is bytes. Close it before the object.
 */
export class GlobalVariables {
  readonly #mappings = new Map<string, { mapping: Mapping; view: DataView; writable: boolean }>()
  readonly #variables: ReadonlyMap<string, VariableSpec>
  readonly #loaded: LoadedObject
  readonly #btf: Btf | undefined
  readonly #layouts: Map<string, Layout>

  /** @param layouts by variable, instead of those of the object's BTF */
  constructor(loaded: LoadedObject, layouts: Iterable<readonly [string, Layout]> = []) {
    this.#loaded = loaded
    this.#layouts = new Map(layouts)
    this.#variables = new Map(loaded.object.variables.map((variable) => [variable.name, variable]))
    this.#btf = loaded.object.btf === undefined ? undefined : new Btf(loaded.object.btf, { what: loaded.object.name })
  }

  /** All names; those of sections that no loaded program uses cannot be read. */
  names(): string[] {
    return [...this.#variables.keys()]
  }

  #variable(name: string): VariableSpec {
    const variable = this.#variables.get(name)
    if (variable === undefined)
      throw new UsageError('variable.unknown', `${this.#loaded.object.name} has no global variable ${name}`)
    return variable
  }

  #layout(variable: VariableSpec): Layout {
    let layout = this.#layouts.get(variable.name)
    if (layout === undefined) {
      const { typeId } = variable
      layout =
        typeId === undefined || typeId === 0 || this.#btf === undefined
          ? (rawBytes(variable.size) as Layout)
          : layoutFromBtf(this.#btf, typeId)
      this.#layouts.set(variable.name, layout)
    }
    return layout
  }

  #section(variable: VariableSpec): { view: DataView; writable: boolean } {
    const there = this.#mappings.get(variable.section)
    if (there !== undefined) return there
    const spec = this.#loaded.object.maps.find(({ section }) => section === variable.section)
    const map = spec === undefined ? undefined : this.#loaded.maps.get(spec.name)
    if (spec === undefined || map === undefined)
      throw new UsageError(
        'variable.section',
        `${variable.name}: no loaded program uses the section ${variable.section}`,
      )
    if ((map.shape.flags & MAP_FLAGS.mmapable) === 0)
      throw new UsageError('variable.mmap', `${variable.name}: the map of ${variable.section} cannot be mapped`)
    const writable = spec.frozen !== true
    const { pageSize } = map.sys
    const length = Math.ceil(map.shape.valueSize / pageSize) * pageSize
    const mapping = map.sys.mmap(length, PROT.read | (writable ? PROT.write : 0), MAP.shared, map.fd, 0)
    const view = new DataView(mapping.bytes.buffer, mapping.bytes.byteOffset, map.shape.valueSize)
    const section = { mapping, view, writable }
    this.#mappings.set(variable.section, section)
    return section
  }

  /** @throws UsageError `variable.unknown`, `variable.section` */
  get(name: string): unknown {
    const variable = this.#variable(name)
    return this.#layout(variable).read(this.#section(variable).view, variable.offset, 'little')
  }

  /** @throws UsageError `variable.read-only` for constants: they are frozen when the object is loaded */
  set(name: string, value: unknown): void {
    const variable = this.#variable(name)
    const { view, writable } = this.#section(variable)
    if (!writable) throw new UsageError('variable.read-only', `${name} is a constant of a loaded program`)
    this.#layout(variable).write(view, variable.offset, value, 'little', name)
  }

  close(): void {
    for (const { mapping } of this.#mappings.values()) mapping.unmap()
    this.#mappings.clear()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}
