/**
 * The kernel room: bpf(2) and its companions, live programs, maps and links, events and statistics.
 * The only folder that touches native code (ffi-rs), behind the {@link Sys} seam.
 *
 * sys/ the seam, commands, errors and their causes; maps/ live maps and variables; prog/ loading, judging, running; links/ one
 * file a hook; events/ rings, perf buffers, trace pipe; inspect/ what the kernel holds, costs and can do.
 */

export type { EventsOptions } from './events/event-loop.ts'
export { PerfBuffer, type PerfEvent } from './events/perf-buffer.ts'
export { readProgramStream } from './events/program-stream.ts'
export { RingBuffer, type RingOptions, UserRingBuffer } from './events/ring-buffer.ts'
export { parseTraceLine, type TraceLine, tracePipe } from './events/trace-pipe.ts'
export { findTracefs, PrivateTracefs, privateTracefs, tracefs } from './events/tracefs.ts'
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
} from './inspect/features.ts'
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
} from './inspect/info.ts'
export { type ObjectKind, objectIds, openById, openPinned, pin } from './inspect/objects.ts'
export {
  type AttachedProgram,
  type AttachedPrograms,
  bindMap,
  queryAttached,
  queryTaskFd,
  type TaskFd,
} from './inspect/query.ts'
export { kernelVersionCode, runningKernel } from './inspect/running-kernel.ts'
export { enableStats, type ProgramSample, type StatsOptions, type StatsSample, stats } from './inspect/stats.ts'
export { AttachedLinks, type AttachOptions, attachAll, attachProgram } from './links/attach.ts'
export * from './links/index.ts'
export { type BatchChunk, deleteBatch, readBatches, updateBatch } from './maps/batch-ops.ts'
export { BpfMap, createMap, LiveArray, type MapCodec, rawBytes, type SetOptions } from './maps/map.ts'
export { createMapSet } from './maps/map-set.ts'
export { codecOf, type MapPlace, openMap, openRawMap } from './maps/open-map.ts'
export { pinByName, pinPath, reusePinnedMap } from './maps/pinned-maps.ts'
export { createRawMap, type MapOrTyped, type MapShape, RawMap } from './maps/raw-map.ts'
export { GlobalVariables } from './maps/variables.ts'
export { type LiveBtf, loadBtf } from './prog/btf.ts'
export { createJudge, type Judge, type Judgement } from './prog/judge.ts'
export { kernelBtf } from './prog/kernel-btf.ts'
export { LOG_LEVEL, type LoadImageOptions, type LoadResult, loadImage } from './prog/load-image.ts'
export { type LoadedObject, type LoadedProgram, type LoadObjectOptions, loadObject } from './prog/load-object.ts'
export { type RunInputs, type RunnableType, type RunOutputs, runProgram, runXdpFrames } from './prog/run-program.ts'
export { type TestRunInput, type TestRunOutput, testRun } from './prog/test-run.ts'
export { type LogStatistics, logStatistics, reasonLine, type Verdict } from './prog/verdict.ts'
export { capabilitiesReport, missingPrivileges, type Privileges, readPrivileges } from './sys/capabilities.ts'
export { bpf, tryBpf } from './sys/command.ts'
export { onlineCpus, possibleCpus } from './sys/cpus.ts'
export { ERRNO, type ErrnoName, errnoName } from './sys/errno.ts'
export { FakeSys } from './sys/fake.ts'
export { OwnedFd } from './sys/fd.ts'
export { realSys } from './sys/real.ts'
export type { Block, Mapping, Sys } from './sys/sys.ts'
export { setTrace } from './sys/trace.ts'
