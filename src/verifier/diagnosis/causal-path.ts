import type { ProgramImage } from '../../spec/index.ts'

/** One step of the story of a value, in the order in which it happened. */
export interface CausalStep {
  readonly insn: number
  /** What the instruction did to the value. */
  readonly what: 'born' | 'changed' | 'copied' | 'spilled' | 'filled' | 'checked' | 'acquired' | 'clobbered'
  readonly register?: number
}

/** Slots of the failing path, oldest first, read from a log of level 1 or 2: lines such as `12: (79) r0 = …`. */
export function pathOf(log: string): number[] {
  const path: number[] = []
  for (const match of log.matchAll(/^(\d+): \([0-9a-f]{2}\) /gm)) path.push(Number(match[1]))
  return path
}

interface Decoded {
  readonly opcode: number
  readonly dst: number
  readonly src: number
  readonly offset: number
  readonly imm: number
}

function decoder(image: ProgramImage): (slot: number) => Decoded | undefined {
  const view = new DataView(image.insns.buffer, image.insns.byteOffset, image.insns.byteLength)
  const little = image.littleEndian !== false
  return (slot) => {
    if (slot < 0 || (slot + 1) * 8 > image.insns.length) return undefined
    const registers = view.getUint8(slot * 8 + 1)
    return {
      opcode: view.getUint8(slot * 8),
      dst: little ? registers & 15 : registers >> 4,
      src: little ? registers >> 4 : registers & 15,
      offset: view.getInt16(slot * 8 + 2, little),
      imm: view.getInt32(slot * 8 + 4, little),
    }
  }
}

const LONGEST = 12
const CLASS = { ld: 0, ldx: 1, st: 2, stx: 3, alu: 4, jmp: 5, jmp32: 6, alu64: 7 } as const
const CALL = 0x85
const EXIT = 0x95
const MOV = 0xb0
const RING_RESERVE = 131
const SOCKET_LOOKUPS: readonly number[] = [84, 85, 99]

/**
 * The history of `register` before `insn` along the path: backwards through copies, spills and fills to where the value
 * came to be. Calls of functions end the walk (frames have registers of their own).
 */
export function historyOf(image: ProgramImage, path: readonly number[], register: number): CausalStep[] {
  const decode = decoder(image)
  const steps: CausalStep[] = []
  let wanted: number | undefined = register
  let slotOffset: number | undefined
  for (let i = path.length - 2; i >= 0 && steps.length < LONGEST; i--) {
    const insn = path[i]
    const at = decode(insn)
    if (at === undefined) break
    const kind = at.opcode & 7
    if (slotOffset !== undefined) {
      if ((kind === CLASS.stx || kind === CLASS.st) && at.dst === 10 && at.offset === slotOffset) {
        steps.unshift({ insn, what: kind === CLASS.stx ? 'spilled' : 'born', register: at.src })
        if (kind === CLASS.st) break
        wanted = at.src
        slotOffset = undefined
      }
      continue
    }
    if (wanted === undefined) break
    if (at.opcode === EXIT || (at.opcode === CALL && at.src === 1 && wanted <= 5)) break
    if (at.opcode === CALL) {
      if (wanted === 0) {
        steps.unshift({ insn, what: 'born', register: 0 })
        break
      }
      if (wanted <= 5) {
        steps.unshift({ insn, what: 'clobbered', register: wanted })
        break
      }
      continue
    }
    if (kind === CLASS.jmp || kind === CLASS.jmp32) {
      if (at.dst === wanted || ((at.opcode & 8) !== 0 && at.src === wanted))
        steps.unshift({ insn, what: 'checked', register: wanted })
      continue
    }
    if (at.dst !== wanted || kind === CLASS.st || kind === CLASS.stx) continue
    if (kind === CLASS.ldx) {
      if (at.src === 10) {
        steps.unshift({ insn, what: 'filled', register: wanted })
        slotOffset = at.offset
        continue
      }
      steps.unshift({ insn, what: 'born', register: wanted })
      break
    }
    if (kind === CLASS.ld) {
      steps.unshift({ insn, what: 'born', register: wanted })
      break
    }
    if ((at.opcode & 0xf0) === MOV) {
      steps.unshift({ insn, what: (at.opcode & 8) !== 0 ? 'copied' : 'born', register: wanted })
      if ((at.opcode & 8) === 0) break
      wanted = at.src
      continue
    }
    steps.unshift({ insn, what: 'changed', register: wanted })
    // The number that was added is what is out of bounds, as a rule.
    if ((at.opcode & 8) !== 0) wanted = at.src
  }
  return steps
}

/** Where references were taken on the path: calls that give what must be released. */
export function acquisitions(image: ProgramImage, path: readonly number[], only?: number): CausalStep[] {
  const decode = decoder(image)
  if (only !== undefined) return [{ insn: only, what: 'acquired', register: 0 }]
  return path
    .filter((insn) => {
      const at = decode(insn)
      return at?.opcode === CALL && at.src === 0 && (at.imm === RING_RESERVE || SOCKET_LOOKUPS.includes(at.imm))
    })
    .map((insn) => ({ insn, what: 'acquired' as const, register: 0 }))
}
