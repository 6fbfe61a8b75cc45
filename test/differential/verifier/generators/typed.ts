/** Programs with BTF of their own: functions with types, function and line records. */
import { BtfBuilder } from '../../../../src/btf/index.ts'
import type { MapSpec } from '../../../../src/spec/index.ts'
import { PROGRAM_TYPES } from '../../../../src/uapi/index.ts'
import type { Code } from '../code.ts'
import type { Generated } from '../program.ts'

export interface Types {
  readonly b: BtfBuilder
  readonly int: number
  readonly context: number
}

export function member(name: string, type: number, bitOffset: number) {
  return { name, type, bitOffset, bitSize: 0 }
}

export function types(): Types {
  const b = new BtfBuilder()
  const int = b.int('int', 4, { signed: true })
  const context = b.add({
    kind: 'struct',
    name: '__sk_buff',
    size: 4,
    members: [member('len', int, 0)],
  })
  return { b, int, context: b.pointer(context) }
}

export interface FunctionType {
  readonly start: number
  readonly global?: boolean
  readonly params?: readonly number[]
  readonly returns?: number
  /** `arg:` tags by argument. */
  readonly tags?: readonly (readonly [argument: number, tag: string])[]
  /** Tags of the function itself. */
  readonly own?: readonly string[]
}

function words(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4)
  const view = new DataView(bytes.buffer)
  values.forEach((value, i) => {
    view.setUint32(i * 4, value >>> 0, true)
  })
  return bytes
}

export function typed(
  code: Code,
  t: Types,
  functions: readonly FunctionType[],
  more: {
    readonly type?: keyof typeof PROGRAM_TYPES
    readonly maps?: readonly MapSpec[]
    readonly funcInfo?: (records: number[]) => number[]
    readonly lineInfo?: (text: number, file: number) => number[]
  } = {},
): Generated {
  const records = functions.flatMap(({ start, global, params = [], returns = t.int, tags = [], own = [] }, i) => {
    const proto = t.b.add({
      kind: 'func_proto',
      returnType: returns,
      params: params.map((type, at) => ({ name: `a${at}`, type })),
    })
    const id = t.b.addDistinct({
      kind: 'func',
      name: `f${i}`,
      type: proto,
      linkage: i === 0 || global === true ? 1 : 0,
    })
    for (const [component, tag] of tags) t.b.add({ kind: 'decl_tag', name: `arg:${tag}`, type: id, component })
    for (const name of own) t.b.add({ kind: 'decl_tag', name, type: id, component: -1 })
    return [start, id]
  })
  const text = t.b.addString('return 0;')
  const file = t.b.addString('corner.c')
  const lines = more.lineInfo?.(text, file)
  return {
    type: PROGRAM_TYPES[more.type ?? 'sched_cls'],
    attachType: 0,
    flags: 0,
    license: 'GPL',
    slots: code.finish(),
    relocations: code.relocations,
    ...(more.maps === undefined ? {} : { maps: more.maps }),
    extra: {
      btf: t.b.toBytes(),
      funcInfo: words(more.funcInfo?.(records) ?? records),
      ...(lines === undefined ? {} : { lineInfo: words(lines) }),
    },
  }
}
