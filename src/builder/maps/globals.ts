import { BtfBuilder } from '../../btf/index.ts'
import { UsageError } from '../../errors/index.ts'
import {
  CONTRIBUTION,
  type Contribution,
  type MapSpec,
  type SpecContribution,
  type VariableSpec,
} from '../../spec/index.ts'
import { MAP_FLAGS, MAP_TYPES } from '../../uapi/index.ts'
import { here, type UsedMap } from '../context.ts'
import { addBtf } from '../types/btf.ts'
import { encode, layoutOf } from '../types/layout.ts'
import { type Fields, type Js, type StructType, struct } from '../types/types.ts'
import type { StructView } from '../values/views.ts'
import { view } from '../values/views.ts'

/** Global data: one value shared by all programs that use it. Its members are read (and written) like a struct's. */
export type Globals<F extends Fields, A extends 'read' | 'shared'> = StructView<F, A> & GlobalData<F>

/** The map behind global data. */
export class GlobalData<F extends Fields = Fields> implements SpecContribution, UsedMap {
  /** What user space reads and writes. */
  readonly type: StructType<F>
  readonly spec: MapSpec

  constructor(name: string, fields: F, initial: Partial<Js<StructType<F>>>, constant: boolean) {
    if (!/^[A-Za-z]\w*$/.test(name))
      throw new UsageError('build.global-name', `${JSON.stringify(name)} is no name for global data`)
    this.type = struct(name, fields)
    const bytes = encode(layoutOf(this.type), initial)
    // libbpf takes suffixed .rodata and .data, not .bss
    const section = `${constant ? '.rodata' : '.data'}.${name}`
    this.spec = Object.freeze({
      name: section,
      type: MAP_TYPES.array,
      keySize: 4,
      valueSize: bytes.length,
      maxEntries: 1,
      flags: MAP_FLAGS.mmapable | (constant ? MAP_FLAGS.rdonly_prog : 0),
      section,
      ...(constant ? { frozen: true } : {}),
      contents: [[new Uint8Array(4), bytes] as const],
    })
    for (const member of this.type.members)
      Object.defineProperty(this, member.name, {
        enumerable: true,
        get: () => {
          const fn = here(`${name}.${member.name}`)
          const place = {
            fn,
            region: 'map' as const,
            base: { kind: 'mapValue' as const, name: fn.unit.use(this), offset: 0 },
            offset: 0,
            access: 'shared' as const,
          }
          return (view(this.type, place) as Record<string, unknown>)[member.name]
        },
      })
  }

  variables(btf: BtfBuilder): readonly VariableSpec[] {
    return this.type.members.map((member) => ({
      name: `${this.type.tag}_${member.name}`,
      section: this.spec.name,
      offset: member.offset,
      size: member.type.size,
      linkage: 'global',
      typeId: addBtf(btf, member.type),
    }))
  }

  [CONTRIBUTION](): Contribution {
    const btf = new BtfBuilder()
    const variables = this.variables(btf)
    return { programs: [], maps: [this.spec], variables, btf: btf.toBytes() }
  }
}

/** Constants of the program, set before it is loaded; the kernel's verifier knows them and drops what they rule out. Linux 5.2. */
export function config<const F extends Fields>(
  name: string,
  fields: F,
  values: Partial<Js<StructType<F>>> = {},
): Globals<F, 'read'> {
  return new GlobalData(name, fields, values, true) as unknown as Globals<F, 'read'>
}

/** Variables that live as long as the programs, shared with user space. Linux 5.2. */
export function globals<const F extends Fields>(
  name: string,
  fields: F,
  values: Partial<Js<StructType<F>>> = {},
): Globals<F, 'shared'> {
  return new GlobalData(name, fields, values, false) as unknown as Globals<F, 'shared'>
}
