import type { Slot } from './code.ts'
import type { Generated } from './program.ts'

const JUMP_CLASSES = new Set([5, 6])
const EXIT = 0x95
const CALL = 0x85
const LD_IMM64 = 0x18

/** The slot that a jump or a local call at `at` leads to, undefined for anything else. */
function targetOf([opcode, , src, offset, imm]: Slot, at: number): number | undefined {
  if (!JUMP_CLASSES.has(opcode & 7) || opcode === EXIT)
    return opcode === LD_IMM64 && src === 4 ? at + 1 + imm : undefined
  if (opcode === CALL) return src === 1 ? at + 1 + imm : undefined
  return opcode === 0x06 ? at + 1 + imm : at + 1 + offset
}

/** The program without the slots from `at`, jumps and references moved to suit. */
function without(program: Generated, at: number, count: number): Generated {
  const moved = (slot: number): number => (slot <= at ? slot : slot < at + count ? at : slot - count)
  const slots: Slot[] = []
  program.slots.forEach((slot, i) => {
    if (i >= at && i < at + count) return
    const here = moved(i)
    const previous = program.slots[i - 1]
    const secondHalf = i > 0 && previous[0] === LD_IMM64
    const target = secondHalf ? undefined : targetOf(slot, i)
    if (target === undefined) {
      slots.push(slot)
      return
    }
    const distance = moved(target) - here - 1
    const [opcode, dst, src, offset, imm] = slot
    const inImm = opcode === CALL || opcode === 0x06 || opcode === LD_IMM64
    slots.push(inImm ? [opcode, dst, src, offset, distance] : [opcode, dst, src, distance, imm])
  })
  return {
    ...program,
    slots,
    relocations: program.relocations
      .filter(({ insn }) => insn < at || insn >= at + count)
      .map((relocation) => ({ ...relocation, insn: moved(relocation.insn) }))
      .filter(({ insn }) => slots[insn]?.[0] === LD_IMM64 && insn + 1 < slots.length),
    ...(program.functions === undefined ? {} : { functions: [...new Set(program.functions.map(moved))] }),
  }
}

/** The shortest program found that `fails` still calls failing; each try is one question to both judges. */
export function shrink(program: Generated, fails: (candidate: Generated) => boolean, budget = 600): Generated {
  let best = program
  let tries = 0
  const attempt = (candidate: Generated): boolean => {
    if (tries++ >= budget || candidate.slots.length === 0 || !fails(candidate)) return false
    best = candidate
    return true
  }
  let progress = true
  while (progress && tries < budget) {
    progress = false
    for (let chunk = Math.max(1, best.slots.length >> 1); chunk >= 1; chunk >>= 1)
      for (let at = best.slots.length - chunk; at >= 0 && tries < budget; at--)
        if (at + chunk <= best.slots.length) {
          const wide = chunk === 1 && best.slots[at][0] === LD_IMM64 ? 2 : chunk
          if (attempt(without(best, at, wide))) progress = true
        }
    for (let at = 0; at < best.slots.length && tries < budget; at++) {
      const [opcode, dst, src, offset, imm] = best.slots[at]
      for (const smaller of [0, 1, imm >> 1])
        if (imm !== smaller && ![CALL, LD_IMM64].includes(opcode) && Math.abs(smaller) < Math.abs(imm)) {
          const slots = [...best.slots]
          slots[at] = [opcode, dst, src, offset, smaller]
          if (attempt({ ...best, slots })) {
            progress = true
            break
          }
        }
    }
  }
  return best
}
