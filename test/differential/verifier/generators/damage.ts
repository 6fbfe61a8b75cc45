import type { Slot } from '../code.ts'
import type { Generated } from '../program.ts'
import type { Random } from '../random.ts'

/** Pseudo sources of map references; another one is something else, and no loader writes a map into it. */
const MAP_SOURCES: readonly number[] = [0, 1, 2, 5, 6]

function takesMap(slot: Slot | undefined): boolean {
  return slot?.[0] === 0x18 && MAP_SOURCES.includes(slot[2])
}

/** One or two random edits of a program: fields, order, length. Map references keep to the slots that still fit. */
export function damage(random: Random, program: Generated): Generated {
  const slots: Slot[] = [...program.slots]
  let relocations = [...program.relocations]
  for (
    let edits = random.weighted([
      [12, 1],
      [2, 2],
      [1, 4],
    ]);
    edits > 0 && slots.length > 0;
    edits--
  ) {
    const at = random.below(slots.length)
    const slot = [...slots[at]] as [number, number, number, number, number]
    switch (random.below(16)) {
      case 0:
        slot[0] = random.chance(0.5) ? random.below(256) : slot[0] ^ (1 << random.below(8))
        break
      case 1:
        slot[1] = random.below(random.chance(0.8) ? 11 : 16)
        break
      case 2:
        slot[2] = random.below(random.chance(0.8) ? 11 : 16)
        break
      case 3:
        slot[3] = random.chance(0.5) ? random.between(-12, 12) : (random.edge() << 16) >> 16
        break
      case 4:
      case 5:
      case 10:
      case 11:
      case 12:
      case 13:
      case 14:
      case 15:
        if (slot[0] === 0x05 || slot[0] === 0x95 || (slot[0] & 0x08 && [4, 5, 6, 7].includes(slot[0] & 7))) continue
        slot[4] = random.chance(0.5) ? slot[4] + random.between(-2, 2) : random.edge()
        break
      case 6: {
        // Gone: what came after moves up.
        slots.splice(at, 1)
        relocations = relocations
          .filter((r) => r.insn !== at && r.insn + 1 !== at)
          .map((r) => (r.insn > at ? { ...r, insn: r.insn - 1 } : r))
        continue
      }
      case 7: {
        const copy = random.pick(slots)
        slots.splice(at, 0, copy)
        relocations = relocations.map((r) => (r.insn >= at ? { ...r, insn: r.insn + 1 } : r))
        continue
      }
      case 8: {
        const other = random.below(slots.length)
        if (relocations.some((r) => [at, other].includes(r.insn))) continue
        ;[slots[at], slots[other]] = [slots[other], slots[at]]
        continue
      }
      default:
        if (random.chance(0.3)) slots.length = Math.max(1, at)
        else
          slots.splice(
            at,
            0,
            random.pick<Slot>([
              [0x05, 0, 0, random.between(-6, 6), 0],
              [0x95, 0, 0, 0, 0],
              [0x06, 0, 0, 0, random.between(-4, 4)],
              [0x18, 1, 0, 0, 5],
            ]),
          )
        relocations = relocations
          .map((r) => (slots.length > at + 1 && r.insn >= at ? { ...r, insn: r.insn + 1 } : r))
          .filter((r) => slots[r.insn]?.[0] === 0x18 && r.insn + 1 < slots.length)
        continue
    }
    slots[at] = [slot[0], slot[1], slot[2], (slot[3] << 16) >> 16, slot[4] | 0]
  }
  relocations = relocations.filter(
    (r) => takesMap(slots[r.insn]) && r.insn + 1 < slots.length && (r.kind === 'fd' || slots[r.insn + 1][0] === 0),
  )
  return { ...program, slots, relocations }
}
