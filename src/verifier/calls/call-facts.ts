/** What the arguments of a call leave for its result, and the registers that no call leaves. */

import type { ObjectField } from '../kernel/object-fields.ts'
import type { HelperPrototype } from '../kernel/prototype.ts'
import type { RawAccess } from '../memory/stack.ts'
import type { ProgramMap } from '../program/program.ts'
import { markUnknown } from '../scalars/bounds.ts'
import * as R from '../state/registers.ts'
import { registerBase } from '../state/state.ts'
import type { Dynptr } from './dynptrs.ts'

/** What the arguments of one call left for its result. */
export interface CallFacts extends RawAccess {
  readonly prototype: HelperPrototype
  map: ProgramMap | undefined
  mapReference: number
  mapUid: number
  releaseRegister: number
  reference: number
  /** Largest size of a memory argument. */
  sizeMaximum: bigint
  memSize: number
  subprogram: number
  /** The pointer field of bpf_kptr_xchg. */
  field: ObjectField | undefined
  /** The dynptr that was passed. */
  dynptr: Dynptr | undefined
  /** BTF type of a per-CPU variable. */
  btfType: number
  btfObject: number
  /** What R1 held is one of the program's own per-CPU objects, protected by RCU. */
  ownPerCpu: boolean
  /** A key that is a known constant on the stack, of an array. */
  constantKey: bigint | undefined
}

export function newCallFacts(prototype: HelperPrototype): CallFacts {
  return {
    prototype,
    rawMode: false,
    accessSize: 0,
    register: 0,
    map: undefined,
    mapReference: 0,
    mapUid: 0,
    releaseRegister: 0,
    reference: 0,
    sizeMaximum: 0n,
    memSize: 0,
    subprogram: 0,
    field: undefined,
    dynptr: undefined,
    btfType: 0,
    btfObject: 0,
    ownPerCpu: false,
    constantKey: undefined,
  }
}

/** Registers 0 to 5 after a call. */
export function clobber(m: Int32Array): void {
  for (let r = 0; r <= 5; r++) {
    markUnknown(m, registerBase(r))
    m[registerBase(r) + R.TYPE] = R.NOT_INIT
  }
}
