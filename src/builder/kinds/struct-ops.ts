import { BtfBuilder } from '../../btf/index.ts'
import { UsageError } from '../../errors/index.ts'
import { CONTRIBUTION, type Contribution, type MapSpec, type SpecContribution } from '../../spec/index.ts'
import { MAP_FLAGS, MAP_TYPES } from '../../uapi/index.ts'
import type { FunctionContext } from '../context.ts'
import { addBtf } from '../types/btf.ts'
import { encode, layoutOf } from '../types/layout.ts'
import type { Js, Type } from '../types/types.ts'
import type { Int } from '../values/int.ts'
import { define } from './define.ts'
import type { Gated, Only } from './gates.ts'
import type { BpfProgram, ProgramOptions } from './program.ts'
import { TypedArgumentsBody } from './tracing.ts'

type Any = number | Int<'u32'> | Int<'i32'> | Int<'u64'> | Int<'i64'>

/** A function of a kernel struct: arguments by position, typed pointers by `b.pointer(0, sock)`. */
export class StructOpsBody extends TypedArgumentsBody<Any> {}

/** One member of a kernel struct as a program (Linux 5.6; `sleepable` 5.19). */
export function structOpsMember<
  const O extends ProgramOptions & { readonly struct: string; readonly member: string; readonly sleepable?: boolean },
>(
  name: string,
  options: Only<O, ProgramOptions & { readonly struct: string; readonly member: string; readonly sleepable?: boolean }>,
  build: (b: Gated<StructOpsBody, O>) => Any,
): BpfProgram<'struct_ops'> {
  const { struct, member, sleepable } = options
  return define(
    {
      kind: 'struct_ops',
      type: 'struct_ops',
      section: `struct_ops${sleepable ? '.s' : ''}/${member}`,
      ...(sleepable ? { flags: ['sleepable'] as const } : {}),
      contextType: 'void',
      attach: { kind: 'struct_ops', type: struct, member },
      since: sleepable ? [5, 19] : [5, 6],
      body: (_fn: FunctionContext) => new StructOpsBody(),
    },
    name,
    options,
    build,
  )
}

export interface StructOpsOptions<V extends Readonly<Record<string, Type>>> {
  /** The kernel's struct: "tcp_congestion_ops", "sched_ext_ops" … */
  readonly struct: string
  /** Programs by member; each is made by {@link structOpsMember} for the same struct. */
  readonly members: Readonly<Record<string, BpfProgram<'struct_ops'>>>
  /** Other members: types and values. */
  readonly fields?: V
  readonly values?: { readonly [K in keyof V]: Js<V[K]> }
  /** In force as long as its link (Linux 6.4); false: as long as its map. */
  readonly link?: boolean
}

/** An implementation of a kernel struct of functions: a congestion control, a scheduler … Linux 5.6. */
export class StructOps implements SpecContribution {
  readonly name: string
  readonly options: StructOpsOptions<Readonly<Record<string, Type>>>
  constructor(name: string, options: StructOpsOptions<Readonly<Record<string, Type>>>) {
    if (!/^[A-Za-z_]\w*$/.test(name))
      throw new UsageError('build.map-name', `${JSON.stringify(name)} is no name for a struct_ops map`)
    this.name = name
    this.options = options
  }
  [CONTRIBUTION](): Contribution {
    const { struct, members, fields = {}, values = {}, link = true } = this.options
    const btf = new BtfBuilder()
    const own: { name: string; type: number; bitOffset: number; bitSize: number }[] = []
    const programs: { member: string; offset: number; program: string }[] = []
    let end = 0
    for (const [member, program] of Object.entries(members)) {
      const proto = btf.add({ kind: 'func_proto', returnType: 0, params: [] })
      own.push({ name: member, type: btf.pointer(proto), bitOffset: 8 * end, bitSize: 0 })
      programs.push({ member, offset: end, program: program.name })
      end += 8
    }
    const places: [offset: number, bytes: Uint8Array][] = []
    for (const [member, type] of Object.entries(fields)) {
      end = Math.ceil(end / type.align) * type.align
      own.push({ name: member, type: addBtf(btf, type), bitOffset: 8 * end, bitSize: 0 })
      const value = (values as Record<string, unknown>)[member]
      if (value !== undefined) places.push([end, encode(layoutOf(type) as never, value as never)])
      end += type.size
    }
    const size = Math.max(8, Math.ceil(end / 8) * 8)
    const bytes = new Uint8Array(size)
    for (const [offset, value] of places) bytes.set(value, offset)
    const typeId = btf.add({ kind: 'struct', name: struct, size, members: own })
    const spec: MapSpec = {
      name: this.name,
      type: MAP_TYPES.struct_ops,
      keySize: 4,
      valueSize: size,
      maxEntries: 1,
      flags: link ? MAP_FLAGS.link : 0,
      btfValueTypeId: typeId,
      contents: [[new Uint8Array(4), bytes]],
      structOps: { typeName: struct, legacy: !link, members: programs },
    }
    return { programs: [], maps: [spec], btf: btf.toBytes(), also: Object.values(members) }
  }
}
/** `structOps('my_cc', { struct: 'tcp_congestion_ops', members: { init, … }, fields: { name: text(16) }, values: { name: 'my_cc' } })`. */
export function structOps<const V extends Readonly<Record<string, Type>> = Record<never, never>>(
  name: string,
  options: StructOpsOptions<V>,
): StructOps {
  return new StructOps(name, options as unknown as StructOpsOptions<Readonly<Record<string, Type>>>)
}
