/**
 * Specs: pure, immutable descriptions of what to load. Producers (builder, assembler, ELF reader) make them, consumers
 * (verifier model, emulator, kernel layer, ELF writer) take them. {@link linkProgram} turns one program of an object
 * into the {@link ProgramImage} that all consumers take.
 */
export type { AttachSpec } from './attach.ts'
export { type BatchRequest, batchRequestId, parseBatchRequest } from './batch.ts'
export {
  CONTRIBUTION,
  type CollectOptions,
  type Contribution,
  collectObject,
  contributionOf,
  isContribution,
  type SpecContribution,
} from './contribution.ts'
export type { ImageRelocation, ProgramImage } from './image.ts'
export { placeKconfig, type UnplacedKconfig } from './kconfig.ts'
export { findKernelSymbol, type KernelSymbol, type LinkProgramOptions } from './kernel-symbols.ts'
export { type LinkObjectsOptions, linkObjects } from './link-objects.ts'
export { findProgram, linkProgram } from './link-program.ts'
export { ARENA_SECTION, JUMP_TABLES, type MapSpec } from './map.ts'
export { btfKinds, compareVersions, type MinimumKernel, minimumKernel } from './minimum-kernel.ts'
export type { ObjectSpec } from './object.ts'
export type { AttachTarget, FunctionSpec, ProgramSpec } from './program.ts'
export { imageBtf } from './program-btf.ts'
export { type MapChange, variableValue, withMaps, withPrograms, withVariables } from './rewrite.ts'
export type { ExternSpec, VariableSpec } from './variable.ts'
