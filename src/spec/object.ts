import type { MapSpec } from './map.ts'
import type { FunctionSpec, ProgramSpec } from './program.ts'
import type { ExternSpec, VariableSpec } from './variable.ts'

/**
 * Programs and all they need, as data: what an object file holds, what a module of the builder gives. Immutable.
 * All type ids are of `btf`.
 */
export interface ObjectSpec {
  /** A short name for messages and for the kernel's names: the file's name without its extension. */
  readonly name: string
  readonly littleEndian: boolean
  /** "" when the object says none. */
  readonly license: string
  /** The `version` section's number (kprobes before 5.0). */
  readonly kernelVersion?: number
  readonly programs: readonly ProgramSpec[]
  /** Functions that programs call (the .text section). */
  readonly functions: readonly FunctionSpec[]
  /** Maps, global-data maps (with `section`) after the others. */
  readonly maps: readonly MapSpec[]
  readonly variables: readonly VariableSpec[]
  readonly externs: readonly ExternSpec[]
  /** The .BTF section in the object's byte order. */
  readonly btf?: Uint8Array
}
