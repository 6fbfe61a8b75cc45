import type { BtfBuilder } from '../../btf/index.ts'
import { INT_FORMS, WIRE_FORMS } from './forms.ts'
import type { Type } from './types.ts'

const C_NAMES = {
  u8: 'unsigned char',
  u16: 'unsigned short',
  u32: 'unsigned int',
  u64: 'unsigned long long',
  i8: 'signed char',
  i16: 'short',
  i32: 'int',
  i64: 'long long',
} as const

/** Members of the kernel's opaque structs. */
const OPAQUE = {
  bpf_spin_lock: ['val', 'unsigned int', 4],
  bpf_timer: ['__opaque', 'unsigned long long', 8],
} as const

/** Adds a type (and what it needs) to BTF; the answer is its id. */
export function addBtf(out: BtfBuilder, type: Type): number {
  switch (type.kind) {
    case 'int':
      return out.int(C_NAMES[type.id], type.size, { signed: INT_FORMS[type.id].signed })
    case 'wire': {
      const { host } = WIRE_FORMS[type.id]
      const base = out.int(C_NAMES[host], type.size)
      return out.add({ kind: 'typedef', name: `__${type.id}`, type: base })
    }
    case 'bool':
      return out.int('_Bool', 1, { bool: true })
    case 'bytes':
      return out.array(
        type.form === 'text' ? out.int('char', 1, { signed: true }) : out.int('unsigned char', 1),
        type.length,
      )
    case 'array':
      return out.array(addBtf(out, type.element), type.length)
    case 'bits':
      return addBtf(out, type.base)
    case 'enum':
      return out.add({
        kind: 'enum',
        name: type.tag,
        size: 4,
        signed: type.signed,
        values: Object.entries(type.values).map(([name, value]) => ({ name, value })),
      })
    case 'opaque': {
      const [member, unit, bytes] = OPAQUE[type.id]
      return out.add({
        kind: 'struct',
        name: type.id,
        size: type.size,
        members:
          bytes === type.size
            ? [{ name: member, type: out.int(unit, bytes), bitOffset: 0, bitSize: 0 }]
            : [{ name: member, type: out.array(out.int(unit, bytes), type.size / bytes), bitOffset: 0, bitSize: 0 }],
      })
    }
    case 'kptr': {
      const to = out.add({ kind: 'struct', name: type.tag, size: 0, members: [] })
      return out.pointer(out.add({ kind: 'type_tag', name: 'kptr', type: to }))
    }
    case 'pointer':
      return out.pointer(0)
    case 'struct':
    case 'union':
      return out.add({
        kind: type.kind,
        name: type.tag,
        size: type.size,
        members: type.members.map((member) => ({
          name: member.name,
          type: addBtf(out, member.type),
          bitOffset: member.offset * 8 + (member.bit ?? 0),
          bitSize: member.bits ?? 0,
        })),
      })
  }
}
