import type { ImageRelocation, MapSpec, ProgramImage } from '../../src/spec/index.ts'
import { MAP_TYPES, type MapType, PROGRAM_TYPES, type ProgramType } from '../../src/uapi/index.ts'

/** One slot: opcode, dst, src, offset, imm. */
export type Slot = readonly [opcode: number, dst: number, src: number, offset: number, imm: number]

/** Slots as bytes, little endian. */
export function bytesOf(slots: readonly Slot[]): Uint8Array {
  const bytes = new Uint8Array(slots.length * 8)
  const view = new DataView(bytes.buffer)
  slots.forEach(([opcode, dst, src, offset, imm], i) => {
    bytes[8 * i] = opcode
    bytes[8 * i + 1] = (src << 4) | dst
    view.setInt16(8 * i + 2, offset, true)
    view.setInt32(8 * i + 4, imm | 0, true)
  })
  return bytes
}

export const mov = (dst: number, imm: number): Slot => [0xb7, dst, 0, 0, imm]
export const movReg = (dst: number, src: number): Slot => [0xbf, dst, src, 0, 0]
export const add = (dst: number, imm: number): Slot => [0x07, dst, 0, 0, imm]
export const call = (helper: number): Slot => [0x85, 0, 0, 0, helper]
export const exit: Slot = [0x95, 0, 0, 0, 0]
export const ldMap = (dst: number): Slot[] => [
  [0x18, dst, 0, 0, 0],
  [0, 0, 0, 0, 0],
]
export const wide = (dst: number, value: bigint): Slot[] => [
  [0x18, dst, 0, 0, Number(BigInt.asIntN(32, value))],
  [0, 0, 0, 0, Number(BigInt.asIntN(32, value >> 32n))],
]

export function image(
  slots: readonly Slot[],
  options: {
    type?: ProgramType
    name?: string
    maps?: readonly MapSpec[]
    relocations?: readonly ImageRelocation[]
  } = {},
): ProgramImage {
  return {
    name: options.name ?? 'test',
    type: PROGRAM_TYPES[options.type ?? 'xdp'],
    expectedAttachType: 0,
    insns: bytesOf(slots),
    license: 'GPL',
    flags: 0,
    maps: options.maps ?? [],
    relocations: options.relocations ?? [],
  }
}

export function mapSpec(type: MapType, options: Partial<Omit<MapSpec, 'type'>> = {}): MapSpec {
  return { name: 'm', keySize: 4, valueSize: 8, maxEntries: 4, flags: 0, ...options, type: MAP_TYPES[type] }
}

/** A 64-byte Ethernet/IPv4/UDP frame. */
export function udpFrame(): Uint8Array {
  const frame = new Uint8Array(64)
  frame.set([
    2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 50, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
  ])
  frame.set([0x30, 0x39, 0, 53, 0, 30, 0, 0], 34)
  return frame
}
