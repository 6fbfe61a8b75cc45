import type { CoreRelocation } from '../asm/index.ts'
import type { Btf } from './btf.ts'
import { BtfBuilder } from './builder.ts'
import { CoreResolver } from './core.ts'
import { CORE_KIND, isFieldKind } from './core-names.ts'
import { type BtfType, mapReferences } from './types.ts'

/** Kinds that stand for another type. */
const NAMING: ReadonlySet<string> = new Set(['typedef', 'const', 'volatile', 'restrict', 'type_tag'])

/**
 * The part of a kernel's BTF that CO-RE relocations need: structs with only the members they reach, at their places;
 * what pointers point to is left out where nothing asks for it. For kernels that have no BTF of their own.
 */
export function minimalCoreBtf(
  kernel: Btf,
  objects: readonly { readonly btf: Btf; readonly relocations: readonly CoreRelocation[] }[],
): BtfBuilder {
  /** Types to keep; of structs and unions the members, undefined: all. */
  const kept = new Map<number, Set<number> | undefined>()
  const mark = (id: number): BtfType => {
    const type = kernel.type(id)
    if (!kept.has(id)) kept.set(id, type.kind === 'struct' || type.kind === 'union' ? new Set() : undefined)
    return type
  }
  /** A type and what it is made of, without the members of structs. */
  const keep = (root: number, through: boolean): void => {
    const open = [root]
    for (let id = open.pop(); id !== undefined; id = open.pop()) {
      if (id === 0 || kept.has(id)) continue
      const type = mark(id)
      if (type.kind === 'array') open.push(type.type, type.indexType)
      else if (type.kind === 'func_proto') open.push(type.returnType, ...type.params.map((param) => param.type))
      else if (NAMING.has(type.kind) || (type.kind === 'ptr' && through)) open.push((type as { type: number }).type)
    }
  }
  const whole = new Set<number>()
  const named = new Set<number>()
  /** A type with all members of all it contains; of what pointers point to the names alone. */
  const keepWhole = (root: number): void => {
    const open: [id: number, pointedTo: boolean][] = [[root, false]]
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const [id, pointedTo] = next
      const done = pointedTo ? named : whole
      if (id === 0 || done.has(id)) continue
      done.add(id)
      const type = mark(id)
      if (type.kind === 'struct' || type.kind === 'union') {
        if (pointedTo) continue
        type.members.forEach((member, index) => {
          kept.get(id)?.add(index)
          open.push([member.type, false])
        })
      } else if (type.kind === 'ptr') open.push([type.type, true])
      else if (type.kind === 'array') open.push([type.type, false], [type.indexType, false])
      else if (type.kind === 'func_proto')
        for (const to of [type.returnType, ...type.params.map((param) => param.type)]) open.push([to, false])
      else if (NAMING.has(type.kind)) open.push([(type as { type: number }).type, pointedTo])
    }
  }
  for (const { btf, relocations } of objects) {
    const resolver = new CoreResolver(btf, kernel)
    for (const relocation of relocations)
      for (const { typeId, members } of resolver.targetsOf(relocation)) {
        keep(typeId, !isFieldKind(relocation.kind))
        if (relocation.kind === CORE_KIND.typeMatches) keepWhole(typeId)
        for (const { typeId: holder, index } of members) {
          keep(holder, false)
          kept.get(holder)?.add(index)
          const struct = kernel.type(holder)
          if (struct.kind === 'struct' || struct.kind === 'union') keep(struct.members[index].type, false)
        }
      }
  }
  const builder = new BtfBuilder()
  const ids = new Map<number, number>()
  const sorted = [...kept.keys()].sort((a, b) => a - b)
  for (const id of sorted) ids.set(id, builder.declare())
  for (const id of sorted) {
    const type = kernel.type(id)
    const members = kept.get(id)
    const reduced: BtfType =
      (type.kind === 'struct' || type.kind === 'union') && members !== undefined
        ? { ...type, members: type.members.filter((_, index) => members.has(index)) }
        : type
    builder.define(
      ids.get(id) as number,
      mapReferences(reduced, (to) => ids.get(to) ?? 0),
    )
  }
  return builder
}
