import { UnsupportedError, UsageError } from '../../errors/index.ts'
import type { AttachSpec, ProgramSpec } from '../../spec/index.ts'
import { ATTACH_TYPES, attachTypeName } from '../../uapi/index.ts'
import type { RawMap } from '../maps/raw-map.ts'
import type { LoadedObject } from '../prog/load-object.ts'
import { attachCgroup } from './cgroup.ts'
import { attachFreplace } from './freplace.ts'
import { attachIterator, type IteratorOptions } from './iterator.ts'
import { attachKprobe, attachKsyscall } from './kprobe.ts'
import { attachKprobeMulti } from './kprobe-multi.ts'
import type { Link, ProgramHandle } from './link.ts'
import { attachNetfilter } from './netfilter.ts'
import { attachNetkit } from './netkit.ts'
import { attachNetns } from './netns.ts'
import { attachPerfEvent } from './perf-event.ts'
import { attachRawTracepoint } from './raw-tracepoint.ts'
import { attachSocketFilter } from './socket.ts'
import { attachSockmap } from './sockmap.ts'
import { attachStructOps } from './struct-ops.ts'
import { attachTc, attachTrafficControl } from './tc.ts'
import { attachTracepoint } from './tracepoint.ts'
import { attachUprobe } from './uprobe.ts'
import { attachUprobeMulti } from './uprobe-multi.ts'
import { attachUsdt, UsdtSpecs } from './usdt.ts'
import { attachXdp } from './xdp.ts'

/** What a section name leaves open. */
export interface AttachOptions {
  readonly interface?: string | number
  readonly cgroup?: string
  readonly netns?: string
  /** Only this process, for uprobes and perf events. */
  readonly pid?: number
  readonly cookie?: bigint
  /** Where tracefs is mounted. */
  readonly tracefs?: string
  /** The fd of the socket that a socket filter or a reuseport program serves. */
  readonly socket?: number
  /** The program whose function an ext program replaces, when it is another one than it was loaded for. */
  readonly target?: { readonly fd: number }
  /** What an iterator walks. */
  readonly iterator?: IteratorOptions
  /** The object's live maps by name: for sockmap verdicts and USDT arguments. `attachAll` gives them. */
  readonly maps?: ReadonlyMap<string, RawMap>
}

const usdtSpecs = new WeakMap<RawMap, UsdtSpecs>()

/** The rows of an object's USDT arguments; undefined when its programs read none. */
function specsOf(maps: AttachOptions['maps']): UsdtSpecs | undefined {
  const map = maps?.get('__bpf_usdt_specs')
  if (map === undefined) return undefined
  const specs = usdtSpecs.get(map) ?? new UsdtSpecs(map)
  usdtSpecs.set(map, specs)
  return specs
}

const SOCKMAP_TYPES = {
  [ATTACH_TYPES.sk_msg_verdict]: 'sk_msg_verdict',
  [ATTACH_TYPES.sk_skb_stream_parser]: 'sk_skb_stream_parser',
  [ATTACH_TYPES.sk_skb_stream_verdict]: 'sk_skb_stream_verdict',
  [ATTACH_TYPES.sk_skb_verdict]: 'sk_skb_verdict',
} as const satisfies Readonly<Record<number, string>>

type Kind = AttachSpec['kind']
type Attach<K extends Kind> = (
  program: ProgramHandle,
  spec: Extract<AttachSpec, { kind: K }>,
  options: AttachOptions,
  expectedAttachType: number,
) => Link

function needed<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new UsageError('attach.where', `${what} must be said: the section's name does not`)
  return value
}

/** How each kind is attached. A struct_ops program is part of a map, which is what {@link attachAll} attaches. */
const ATTACH: { readonly [K in Exclude<Kind, 'struct_ops'>]: Attach<K> } = {
  kprobe: (program, { function: name, offset, retprobe }, { cookie }) =>
    attachKprobe(program, { function: name, offset, returns: retprobe, cookie }),
  kprobe_multi: (program, { pattern, retprobe, session }, { tracefs }) =>
    attachKprobeMulti(program, { functions: pattern, returns: retprobe, session, tracefs }),
  ksyscall: (program, { syscall, retprobe }, { cookie }) =>
    attachKsyscall(program, { syscall, returns: retprobe, cookie }),
  tracepoint: (program, { category, name }, { cookie, tracefs }) =>
    attachTracepoint(program, { category, name, cookie, tracefs }),
  raw_tracepoint: (program, { name }, { cookie }) => attachRawTracepoint(program, { name, cookie }),
  tracing: (program, _spec, { cookie }) => attachRawTracepoint(program, { cookie }),
  iter: (program, _spec, { iterator }) => attachIterator(program, iterator),
  lsm_cgroup: (program, spec, options) =>
    attachCgroup(program, { cgroup: needed(options.cgroup ?? spec.cgroup, 'the cgroup'), type: 'lsm_cgroup' }),
  freplace: (program, { function: name }, { target }) => attachFreplace(program, { target, function: name }),
  uprobe: (program, { binary, function: name, offset, retprobe, pid }, options) =>
    attachUprobe(program, {
      binary,
      function: name,
      offset,
      returns: retprobe,
      pid: options.pid ?? pid,
      cookie: options.cookie,
    }),
  uprobe_multi: (program, { binary, pattern, retprobe, session, pid }, options) =>
    attachUprobeMulti(program, { binary, functions: pattern, returns: retprobe, session, pid: options.pid ?? pid }),
  usdt: (program, { binary, provider, name, pid }, options) =>
    attachUsdt(program, {
      binary,
      provider,
      name,
      pid: options.pid ?? pid,
      cookie: options.cookie,
      specs: specsOf(options.maps),
    }),
  xdp: (program, spec, options) =>
    attachXdp(program, {
      interface: needed(options.interface ?? spec.interface, 'the interface'),
      mode: spec.mode,
    }),
  tcx: (program, spec, options) =>
    attachTrafficControl(program, {
      interface: needed(options.interface ?? spec.interface, 'the interface'),
      direction: spec.direction,
    }),
  tc: (program, spec, options) =>
    attachTc(program, {
      interface: needed(options.interface ?? spec.interface, 'the interface'),
      direction: spec.direction,
      priority: spec.priority,
      handle: spec.handle,
    }),
  netkit: (program, spec, options) =>
    attachNetkit(program, {
      interface: needed(options.interface ?? spec.interface, 'the interface'),
      end: spec.end,
    }),
  socket: (program, { reuseport }, { socket }) =>
    attachSocketFilter(program, needed(socket, 'the socket'), { reuseport }),
  sockmap: (program, { map }, { maps }, type) =>
    attachSockmap(program, {
      map: needed(maps?.get(map), `the map ${map}`),
      type: needed(SOCKMAP_TYPES[type as keyof typeof SOCKMAP_TYPES], 'the attach type'),
    }),
  cgroup: (program, spec, options, type) =>
    attachCgroup(program, {
      cgroup: needed(options.cgroup ?? spec.cgroup, 'the cgroup'),
      type: needed(attachTypeName(type), 'the attach type'),
    }),
  netns: (program, spec, options, type) =>
    attachNetns(program, {
      type: type === ATTACH_TYPES.sk_lookup ? 'sk_lookup' : 'flow_dissector',
      netns: options.netns ?? spec.netns,
    }),
  netfilter: (program, { family, hook, priority, defrag }) =>
    attachNetfilter(program, { family, hook, priority, defrag }),
  perf_event: (program, { type, config, period, frequency, cpu, pid }, options) =>
    attachPerfEvent(program, {
      type,
      config,
      period,
      frequency,
      cpu,
      pid: options.pid ?? pid,
      cookie: options.cookie,
    }),
}

/**
 * Attaches one program as its section name or its builder call says.
 * @throws UsageError `attach.where` when an interface or cgroup must be named; UnsupportedError `attach.kind`
 */
export function attachProgram(program: ProgramHandle, spec: ProgramSpec, options: AttachOptions = {}): Link {
  const { attach } = spec
  if (attach === undefined)
    throw new UsageError('attach.where', `${spec.name} (${spec.section}): its section does not say where it attaches`)
  if (attach.kind === 'struct_ops')
    throw new UnsupportedError('attach.kind', `${spec.name}: attach its struct_ops map (attachStructOps)`)
  const run = ATTACH[attach.kind] as Attach<Kind>
  return run(program, attach as never, options, spec.expectedAttachType)
}

/** Links that were made together: an array that detaches all of them, last first, with `close()` or `using`. */
export class AttachedLinks extends Array<Link> {
  static override get [Symbol.species](): ArrayConstructor {
    return Array
  }

  close(): void {
    for (const link of [...this].reverse()) link.close()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}

/** What the options must name for a kind when its section does not. */
const PLACES: { readonly [K in Kind]?: 'interface' | 'cgroup' | 'socket' } = {
  xdp: 'interface',
  tcx: 'interface',
  tc: 'interface',
  netkit: 'interface',
  cgroup: 'cgroup',
  lsm_cgroup: 'cgroup',
  socket: 'socket',
}

/** Whether a program's section and the options say where it attaches. */
export function hasPlace({ attach }: ProgramSpec, options: AttachOptions = {}): boolean {
  if (attach === undefined || attach.kind === 'struct_ops' || ATTACH[attach.kind] === undefined) return false
  const place = PLACES[attach.kind]
  return (
    place === undefined ||
    options[place] !== undefined ||
    (attach as Readonly<Record<string, unknown>>)[place] !== undefined
  )
}

/**
 * Attaches every program of an object whose section says where it belongs. When one fails, those before it are detached.
 * `unplaced: 'skip'` leaves out those that need an interface or cgroup which the options do not name, as libbpf's skeletons do.
 */
export function attachAll(
  loaded: LoadedObject,
  options: AttachOptions & { readonly unplaced?: 'skip' } = {},
): AttachedLinks {
  const links = new AttachedLinks()
  const withMaps = { maps: loaded.maps, ...options }
  try {
    for (const { spec, result } of loaded.programs)
      if (
        result.program !== undefined &&
        spec.attach !== undefined &&
        spec.attach.kind !== 'struct_ops' &&
        (options.unplaced === undefined || hasPlace(spec, options))
      )
        links.push(attachProgram(result.program, spec, withMaps))
    for (const { name, structOps } of loaded.object.maps)
      if (structOps !== undefined) links.push(attachStructOps(loaded, name))
    return links
  } catch (error) {
    links.close()
    throw error
  }
}
