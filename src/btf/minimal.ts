import type { CoreRelocation } from '../asm/index.ts'
import type { Btf } from './btf.ts'
import { BtfBuilder } from './builder.ts'
import { CoreResolver } from './core.ts'
import { CORE_KIND, isFieldKind } from './core-names.ts'
import { type BtfType, mapReferences } from './types.ts'

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
  const keep = (id: number, through: boolean): void => {
    if (id === 0 || kept.has(id)) return
    const type = kernel.type(id)
    kept.set(id, type.kind === 'struct' || type.kind === 'union' ? new Set() : undefined)
    switch (type.kind) {
      case 'ptr':
        if (through) keep(type.type, through)
        return
      case 'array':
        keep(type.type, through)
        keep(type.indexType, through)
        return
      case 'typedef':
      case 'const':
      case 'volatile':
      case 'restrict':
      case 'type_tag':
        keep(type.type, through)
        return
      case 'func_proto':
        keep(type.returnType, through)
        for (const param of type.params) keep(param.type, through)
        return
      default:
    }
  }
  const keepAll = (id: number, depth: number): void => {
    const at = kernel.skipModifiers(id)
    keep(id, true)
    const type = kernel.type(at)
    if (type.kind !== 'struct' && type.kind !== 'union') return
    const members = kept.get(at)
    const before = members?.size ?? 0
    type.members.forEach((member, index) => {
      members?.add(index)
      keep(member.type, true)
      if (before === 0 && depth < 32) keepAll(member.type, depth + 1)
    })
  }
  for (const { btf, relocations } of objects) {
    const resolver = new CoreResolver(btf, kernel)
    for (const relocation of relocations)
      for (const { typeId, members } of resolver.targetsOf(relocation)) {
        keep(typeId, !isFieldKind(relocation.kind))
        if (relocation.kind === CORE_KIND.typeMatches) keepAll(typeId, 0)
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
