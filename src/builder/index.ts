/**
 * The typed builder: BPF programs as TypeScript code. Values are typed, the host language is the macro language, what the
 * kernel's verifier forbids does not type-check where types can say it and is an error of the build with the user's line
 * where they cannot.
 */

export {
  core,
  currentTask,
  type KernelPointer,
  type KernelStruct,
  type KernelView,
  kernelAt,
  kernelStruct,
  ptr,
  type TrustedView,
} from './kernel.ts'
export {
  type CgroupBody,
  type CgroupSkbBody,
  type CgroupSockAddrBody,
  cgroupDevice,
  cgroupGetsockopt,
  cgroupSetsockopt,
  cgroupSkb,
  cgroupSock,
  cgroupSockAddr,
  cgroupSysctl,
  type SockOpsBody,
  sockOps,
} from './kinds/cgroup.ts'
export { FIB, FibLookup } from './kinds/fib.ts'
export type { Verdict } from './kinds/fields.ts'
export { type BpfFunction, fn } from './kinds/functions.ts'
export { each } from './kinds/iterators.ts'
export { type KernelFunction, kfunc } from './kinds/kfunc.ts'
export type { LoopForm, RangeOptions } from './kinds/loops.ts'
export { flowDissector, freplace, iter, kprobeMulti, lwt, type NetfilterOptions, netfilter } from './kinds/more.ts'
export {
  type SkLookupBody,
  type SkMsgBody,
  type SkSkbBody,
  type SocketFilterBody,
  skLookup,
  skMsg,
  skReuseport,
  skSkbParser,
  skSkbVerdict,
  socketFilter,
} from './kinds/network.ts'
export { context, ref } from './kinds/parameters.ts'
export { kprobe, kretprobe, kretsyscall, ksyscall, uprobe, uretprobe } from './kinds/probes.ts'
export { BpfProgram, type ProgramOptions, ReturnCode } from './kinds/program.ts'
export { StructOps, structOps, structOpsMember } from './kinds/struct-ops.ts'
export { type TcBody, type TcCode, type TcxOptions, tc, tcx } from './kinds/tc.ts'
export { TimerCallback, timerCallback } from './kinds/timers.ts'
export {
  fentry,
  fexit,
  fmodRet,
  type LsmBody,
  type LsmCode,
  lsm,
  lsmCgroup,
  perfEvent,
  rawTracepoint,
  syscall,
  syscallEnter,
  syscallExit,
  type TracepointOptions,
  tpBtf,
  tracepoint,
} from './kinds/trace.ts'
export type { ArgumentsBody, ProbeBody, ReturnProbeBody, TracepointBody, TracingBody } from './kinds/tracing.ts'
export { type UsdtBody, usdt } from './kinds/usdt.ts'
export { XdpBody, type XdpCode, type XdpOptions, xdp, xdpCpumap, xdpDevmap } from './kinds/xdp.ts'
export {
  type Bucket,
  CgroupArray,
  CounterMap,
  config,
  GlobalData,
  type Globals,
  globals,
  Histogram,
  type HistogramOptions,
  KeyedHistogram,
  LocalStorage,
  LookupMap,
  MapDefinition,
  MapOfMaps,
  type MapOptions,
  map,
  PerfEventArray,
  RingBuffer,
  SocketMap,
  StackTraces,
} from './maps/index.ts'
export { nodeSourceReader, type SourceReader } from './source.ts'
export { layoutOf } from './types/layout.ts'
export {
  array,
  be16,
  be32,
  be64,
  bits,
  bool,
  bytes,
  enumeration,
  type Fields,
  i8,
  i16,
  i32,
  i64,
  ipv6,
  type Js,
  kptr,
  mac,
  pointer,
  type StructType,
  spinLock,
  struct,
  type Type,
  text,
  timer,
  u8,
  u16,
  u32,
  u64,
  union,
} from './types/types.ts'
export { Bool } from './values/bool.ts'
export { checksumFold, checksumReplace } from './values/checksum.ts'
export { Int, Wire } from './values/int.ts'
export { Maybe } from './values/maybe.ts'
export type { KernelObject, Socket, SocketCommon, TcpSocket } from './values/socket.ts'
export type { BytesView, Init, StructView, View } from './values/views.ts'
