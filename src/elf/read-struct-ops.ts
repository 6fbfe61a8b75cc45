import type { BtfDatasec } from '../btf/index.ts'
import { InputError } from '../errors/index.ts'
import type { MapSpec } from '../spec/index.ts'
import { MAP_FLAGS, MAP_TYPES } from '../uapi/index.ts'
import type { ObjectSections } from './object-sections.ts'
import type { SlotTarget } from './read-btf-maps.ts'

/**
 * Maps of `.struct_ops` and `.struct_ops.link` sections: each variable is one kernel struct, its function pointers are
 * relocations to programs, the rest plain bytes. Contents hold the struct as the object knows it; the loader moves it into
 * the kernel's own layout.
 */
export function readStructOps(object: ObjectSections, targetOf: SlotTarget): MapSpec[] {
  const { file, roles, btf, what } = object
  const out: MapSpec[] = []
  for (const section of file.sections) {
    if (roles[section.index] !== 'struct_ops') continue
    const fail = (why: string): never => {
      throw new InputError('elf.struct-ops', `${what}: section ${section.name}: ${why}`)
    }
    const datasecId = btf?.idByName(section.name, 'datasec')
    if (btf === undefined || datasecId === undefined) return fail('BTF has no DATASEC for it')
    const link = section.name.replace(/^\?/, '').startsWith('.struct_ops.link')
    for (const entry of (btf.type(datasecId) as BtfDatasec).entries) {
      const variable = btf.type(entry.type)
      if (variable.kind !== 'var') return fail(`entry [${entry.type}] of the DATASEC is no variable`)
      const symbol = (object.symbolsOf.get(section.index) ?? []).find(({ name }) => name === variable.name)
      const offset = symbol?.value ?? entry.offset
      const structId = btf.skipModifiers(variable.type)
      const struct = btf.type(structId)
      if (struct.kind !== 'struct') return fail(`${variable.name} is no struct`)
      if (offset + struct.size > section.data.length) return fail(`${variable.name} ends after the section`)
      const members: { member: string; offset: number; program: string }[] = []
      for (const relocation of object.relocationsOf.get(section.index) ?? []) {
        const inside = relocation.offset - offset
        if (inside < 0 || inside >= struct.size) continue
        const member = struct.members.find(({ bitOffset }) => bitOffset === inside * 8)
        const program = targetOf(relocation.symbol, relocation.addend ?? 0)
        if (member === undefined || program === undefined)
          return fail(`${variable.name}: the relocation at byte ${inside} is of no member or names no program`)
        members.push({ member: member.name, offset: inside, program })
      }
      out.push({
        name: variable.name,
        type: MAP_TYPES.struct_ops,
        keySize: 4,
        valueSize: struct.size,
        maxEntries: 1,
        flags: link ? MAP_FLAGS.link : 0,
        btfValueTypeId: structId,
        contents: [[new Uint8Array(4), section.data.subarray(offset, offset + struct.size)]],
        structOps: { typeName: struct.name, legacy: !link, members },
        ...(section.name.startsWith('?') ? { autocreate: false } : {}),
      })
    }
  }
  return out
}
