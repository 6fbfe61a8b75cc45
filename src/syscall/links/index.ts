/** Attachments: one file a hook. Each is a {@link Link} that detaches when it is closed, except where its page says so. */
export { attachCgroup, type CgroupOptions } from './cgroup.ts'
export { attachFreplace, type FreplaceOptions } from './freplace.ts'
export { interfaceIndex } from './interface.ts'
export {
  attachIterator,
  type IteratorOptions,
  iteratorChunks,
  openIterator,
  readIterator,
  readIteratorText,
} from './iterator.ts'
export { attachKprobe, attachKsyscall, type KprobeOptions } from './kprobe.ts'
export { attachKprobeMulti, type KprobeMultiOptions, traceableFunctions } from './kprobe-multi.ts'
export { type Anchor, Link, type ProgramHandle } from './link.ts'
export { LinklessAttachment, LinkSet } from './linkless.ts'
export { attachNetfilter, type NetfilterOptions } from './netfilter.ts'
export { attachNetkit, type NetkitOptions } from './netkit.ts'
export { attachNetns, type NetnsOptions } from './netns.ts'
export { attachPerfEvent, openPerfEvent, type PerfEventOptions, type PerfEventSpec } from './perf-event.ts'
export { attachRawTracepoint, type RawTracepointOptions } from './raw-tracepoint.ts'
export { attachSocketFilter, detachSocketFilter } from './socket.ts'
export { attachSockmap, type SockmapOptions } from './sockmap.ts'
export { attachStructOps, registerStructOps, StructOpsLink } from './struct-ops.ts'
export { findBinary, findFunctions, functionOffset } from './symbols.ts'
export { attachTc, attachTrafficControl, TcFilter, type TcOptions } from './tc.ts'
export { attachTcx, type TcxOptions } from './tcx.ts'
export { attachTracepoint, type TracepointOptions, tracepointId } from './tracepoint.ts'
export { attachUprobe, type UprobeOptions } from './uprobe.ts'
export { attachUprobeMulti, type UprobeMultiOptions } from './uprobe-multi.ts'
export { attachUsdt, findUsdt, type UsdtOptions, UsdtSpecs } from './usdt.ts'
export { parseUsdtArguments, type UsdtArgument, type UsdtPlace, usdtPlaces } from './usdt-notes.ts'
export { attachXdp, type XdpOptions } from './xdp.ts'
