/**
 * The kernel room: bpf(2) and its companions, live programs, maps and links, events and statistics.
 * The only folder that touches native code (ffi-rs), behind the {@link Sys} seam.
 */

export { AttachedLinks, type AttachOptions, attachAll, attachProgram } from './attach.ts'
export { type BatchChunk, deleteBatch, readBatches, updateBatch } from './batch-ops.ts'
export { type LiveBtf, loadBtf } from './btf.ts'
export { capabilitiesReport, missingPrivileges, type Privileges, readPrivileges } from './capabilities.ts'
export { bpf, tryBpf } from './command.ts'
export { onlineCpus, possibleCpus } from './cpus.ts'
export { ERRNO, type ErrnoName, errnoName } from './errno.ts'
export { FakeSys } from './fake.ts'
export { OwnedFd } from './fd.ts'
export {
  attachTypeFeature,
  type Feature,
  helperFeature,
  helperFeatures,
  INSTRUCTION_FEATURES,
  type InstructionFeature,
  instructionFeature,
  mapFlagFeature,
  mapTypeFeature,
  PROBED_MAP_FLAGS,
  type ProbedMapFlag,
  programTypeFeature,
} from './features.ts'
export {
  type BtfInfo,
  btfBytes,
  btfInfo,
  type FuncInfoRecord,
  fdInfo,
  kernelMemory,
  type LineInfoRecord,
  type LinkInfo,
  linkInfo,
  type MapInfo,
  mapInfo,
  type ProgramDetails,
  type ProgramInfo,
  programDetails,
  programInfo,
} from './info.ts'
export { createJudge, type Judge, type Judgement } from './judge.ts'
export { kernelBtf } from './kernel-btf.ts'
export * from './links/index.ts'
export { LOG_LEVEL, type LoadImageOptions, type LoadResult, loadImage } from './load-image.ts'
export { type LoadedObject, type LoadedProgram, type LoadObjectOptions, loadObject } from './load-object.ts'
export { BpfMap, createMap, LiveArray, type MapCodec, rawBytes, type SetOptions } from './map.ts'
export { createMapSet } from './map-set.ts'
export { type ObjectKind, objectIds, openById, openPinned, pin } from './objects.ts'
export { codecOf, type MapPlace, openMap, openRawMap } from './open-map.ts'
export { PerfBuffer, type PerfEvent } from './perf-buffer.ts'
export { pinByName, pinPath, reusePinnedMap } from './pinned-maps.ts'
export { findTracefs, PrivateTracefs, privateTracefs } from './private-tracefs.ts'
export { readProgramStream } from './program-stream.ts'
export {
  type AttachedProgram,
  type AttachedPrograms,
  bindMap,
  queryAttached,
  queryTaskFd,
  type TaskFd,
} from './query.ts'
export { createRawMap, type MapOrTyped, type MapShape, RawMap } from './raw-map.ts'
export { realSys } from './real.ts'
export { type EventsOptions, RingBuffer, type RingOptions, UserRingBuffer } from './ring-buffer.ts'
export { type RunInputs, type RunnableType, type RunOutputs, runProgram, runXdpFrames } from './run-program.ts'
export { kernelVersionCode, runningKernel } from './running-kernel.ts'
export { enableStats, type ProgramSample, type StatsOptions, type StatsSample, stats } from './stats.ts'
export type { Block, Mapping, Sys } from './sys.ts'
export { type TestRunInput, type TestRunOutput, testRun } from './test-run.ts'
export { setTrace } from './trace.ts'
export { parseTraceLine, type TraceLine, tracePipe } from './trace-pipe.ts'
export { GlobalVariables } from './variables.ts'
export { type LogStatistics, logStatistics, reasonLine, type Verdict } from './verdict.ts'
