/** The instructions as columns, the maps and the subprograms of the program under judgement. */
import type { Btf } from '../../btf/index.ts'
import type { MapSpec, ProgramImage } from '../../spec/index.ts'
import { MAP_FLAGS, MAP_TYPES } from '../../uapi/index.ts'
import { fieldsOfType, isLockField, type KernelSource, type ObjectField } from '../kernel/object-fields.ts'

/** Instructions by slot, a field each. */
export interface Code {
  readonly length: number
  readonly op: Uint8Array
  readonly dst: Uint8Array
  readonly src: Uint8Array
  readonly off: Int16Array
  readonly imm: Int32Array
}

export const LD_IMM64 = 0x18
export const CALL = 0x85
export const EXIT = 0x95
export const JA = 0x05
export const JA32 = 0x06
export const MAY_GOTO = 0xe5

/** Pseudo sources of a 64-bit immediate load. */
export const PSEUDO_MAP_FD = 1
export const PSEUDO_MAP_VALUE = 2
export const PSEUDO_BTF_ID = 3
export const PSEUDO_FUNC = 4
export const PSEUDO_MAP_IDX = 5
export const PSEUDO_MAP_IDX_VALUE = 6
/** Pseudo sources of a call. */
export const PSEUDO_CALL = 1
export const PSEUDO_KFUNC_CALL = 2

export function decodeProgram(image: ProgramImage): Code {
  const length = Math.floor(image.insns.length / 8)
  const code: Code = {
    length,
    op: new Uint8Array(length),
    dst: new Uint8Array(length),
    src: new Uint8Array(length),
    off: new Int16Array(length),
    imm: new Int32Array(length),
  }
  const little = image.littleEndian !== false
  const view = new DataView(image.insns.buffer, image.insns.byteOffset, image.insns.byteLength)
  for (let i = 0; i < length; i++) {
    const registers = view.getUint8(i * 8 + 1)
    code.op[i] = view.getUint8(i * 8)
    code.dst[i] = little ? registers & 15 : registers >> 4
    code.src[i] = little ? registers >> 4 : registers & 15
    code.off[i] = view.getInt16(i * 8 + 2, little)
    code.imm[i] = view.getInt32(i * 8 + 4, little)
  }
  return code
}

export function isPseudoCall(code: Code, i: number): boolean {
  return code.op[i] === CALL && code.src[i] === PSEUDO_CALL
}

export function isPseudoFunc(code: Code, i: number): boolean {
  return code.op[i] === LD_IMM64 && code.src[i] === PSEUDO_FUNC
}

export function isHelperCall(code: Code, i: number): boolean {
  return code.op[i] === CALL && code.src[i] === 0
}

export function isMayGoto(code: Code, i: number): boolean {
  return code.op[i] === MAY_GOTO && code.src[i] === 0
}

/** The jump distance of a jump. */
export function jumpOffset(code: Code, i: number): number {
  return code.op[i] === JA32 ? code.imm[i] : code.off[i]
}

const VALID = new Uint8Array(256)
for (const cls of [0x04, 0x07]) {
  for (const op of [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0])
    for (const source of [0, 8]) VALID[cls | op | source] = 1
  VALID[cls | 0x80] = 1
  VALID[cls | 0xd0] = 1
}
VALID[0xdc] = 1
for (const cls of [0x05, 0x06])
  for (const op of [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0])
    for (const source of [0, 8]) VALID[cls | op | source] = 1
for (const op of [JA, JA32, CALL, EXIT, MAY_GOTO, LD_IMM64]) VALID[op] = 1
for (const size of [0x00, 0x08, 0x10, 0x18]) {
  for (const cls of [0x61, 0x62, 0x63]) VALID[cls | size] = 1
  VALID[0xc3 | size] = 1
  if (size !== 0x18) {
    VALID[0x81 | size] = 1
    VALID[0x20 | size] = 1
    VALID[0x40 | size] = 1
  }
}

/** The opcode exists (bpf_opcode_in_insntable). */
export function isKnownOpcode(opcode: number): boolean {
  return VALID[opcode] === 1
}

/** A map as the model needs it. */
export interface ProgramMap {
  readonly spec: MapSpec
  readonly index: number
  readonly type: number
  /** Name as the kernel keeps it. */
  readonly name: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  /** The value has a lock. */
  readonly locks: boolean
  /** Special fields of the value. */
  readonly fields: readonly ObjectField[]
  readonly inner: ProgramMap | undefined
}

/** BPF_F_RDONLY_PROG: programs may only read the map. */
export const F_RDONLY_PROG: number = MAP_FLAGS.rdonly_prog
/** Their values are the kernel's own: it sets BPF_F_RDONLY_PROG itself. */
const READ_ONLY_MAPS = new Set<number>([MAP_TYPES.devmap, MAP_TYPES.devmap_hash])

/** Reads a map's special fields from the types of its value. */
export function describeMap(
  spec: MapSpec,
  index: number,
  btf: Btf | undefined,
  kernel: KernelSource | undefined,
): ProgramMap {
  const typed = btf !== undefined && spec.btfValueTypeId !== undefined && btf.has(spec.btfValueTypeId)
  const fields = typed ? fieldsOfType(btf, spec.btfValueTypeId, kernel) : []
  return {
    spec,
    index,
    type: spec.type,
    name: spec.name.slice(0, 15),
    keySize: spec.keySize,
    valueSize: spec.valueSize,
    maxEntries: spec.maxEntries,
    flags: spec.flags | (READ_ONLY_MAPS.has(spec.type) ? F_RDONLY_PROG : 0),
    locks: fields.some(isLockField),
    fields,
    // What the kernel knows of inner maps has no name.
    inner: spec.inner === undefined ? undefined : { ...describeMap(spec.inner, -1, btf, kernel), name: '' },
  }
}

/** One function of the program. */
export interface Subprogram {
  start: number
  end: number
  name: string
  /** enum btf_func_linkage when the program has function information. */
  linkage: 'static' | 'global' | 'none'
  btfType: number
  stackDepth: number
  hasTailCall: boolean
  hasLdAbs: boolean
  changesPacket: boolean
  mightSleep: boolean
  isCallback: boolean
  isAsyncCallback: boolean
  /** Runs when the program throws. */
  isExceptionCallback: boolean
  unreliable: boolean
  called: boolean
  /** Its instructions were walked; what never was is removed from the program. */
  walked: boolean
  /** A walked instruction that loads its address, -1 without. */
  loadedAt: number
  verified: boolean
  postorderStart: number
  postorderEnd: number
  exit: number
  fastcallOffset: number
  keepFastcallStack: boolean
}
