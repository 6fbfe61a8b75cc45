import type { Machine } from '../machine.ts'
import { REGISTERS } from '../memory.ts'
import type { LinkedProgram } from '../program.ts'

/** Offsets below this count from the link layer's header, or the network layer's (include/uapi/linux/filter.h SKF_*). */
const SKF_NET_OFF = -0x100000
const SKF_LL_OFF = -0x200000
const R0 = REGISTERS / 4

/**
 * ld_abs and ld_ind: a big-endian load from the packet at r6's context, zero-extended into r0.
 * @returns false beyond the packet: the program ends with 0
 */
export function loadPacket(m: Machine, program: LinkedProgram, slot: number): boolean {
  const opcode = program.image.insns[slot * 8]
  const size = [4, 2, 1][(opcode >> 3) & 3]
  const { packet } = m.run
  if (packet === undefined || m.low(6) !== m.run.ctx || m.run.contextKind !== '__sk_buff')
    return m.fail('invalid-argument', 'a packet load needs __sk_buff in r6')
  const index = (opcode & 0xe0) === 0x40 ? m.words[R0 + 2 * program.code.src[slot]] : 0
  let offset = (program.code.imm[slot] + index) | 0
  let base = packet.data
  if (offset < 0) {
    const mac = m.run.extra.get('mac') ?? packet.data
    if (offset >= SKF_NET_OFF) {
      base = mac + 14
      offset -= SKF_NET_OFF
    } else if (offset >= SKF_LL_OFF) {
      base = mac
      offset -= SKF_LL_OFF
    } else return false
  }
  const at = base + offset
  if (at + size > packet.dataEnd || at < packet.start) return false
  const { view } = m.memory
  m.words[R0] = size === 4 ? view.getInt32(at, false) : size === 2 ? view.getUint16(at, false) : view.getUint8(at)
  m.words[R0 + 1] = 0
  return true
}
