import { UnsupportedError, UsageError } from '../errors/index.ts'
import type { AttachSpec, ProgramSpec } from '../spec/index.ts'
import { ATTACH_TYPES, attachTypeName } from '../uapi/index.ts'
import { attachCgroup } from './links/cgroup.ts'
import { attachIterator } from './links/iterator.ts'
import type { Link, ProgramHandle } from './links/link.ts'
import { attachNetfilter } from './links/netfilter.ts'
import { attachNetns } from './links/netns.ts'
import { attachPerfEvent } from './links/perf-event.ts'
import { attachRawTracepoint } from './links/raw-tracepoint.ts'
import { attachStructOps } from './links/struct-ops.ts'
import { attachTcx } from './links/tcx.ts'
import { attachTracepoint } from './links/tracepoint.ts'
import { attachUprobe } from './links/uprobe.ts'
import { attachUprobeMulti } from './links/uprobe-multi.ts'
import { attachXdp } from './links/xdp.ts'
import type { LoadedObject } from './load-object.ts'

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
}

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

/** How each kind is attached; kinds without a row cannot be attached here yet. */
const ATTACH: { readonly [K in Kind]?: Attach<K> } = {
  tracepoint: (program, { category, name }, { cookie, tracefs }) =>
    attachTracepoint(program, { category, name, cookie, tracefs }),
  raw_tracepoint: (program, { name }, { cookie }) => attachRawTracepoint(program, { name, cookie }),
  tracing: (program, _spec, { cookie }) => attachRawTracepoint(program, { cookie }),
  iter: (program) => attachIterator(program),
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
  xdp: (program, spec, options) =>
    attachXdp(program, {
      interface: needed(options.interface ?? spec.interface, 'the interface'),
      mode: spec.mode,
    }),
  tcx: (program, spec, options) =>
    attachTcx(program, {
      interface: needed(options.interface ?? spec.interface, 'the interface'),
      direction: spec.direction,
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
  const run = ATTACH[attach.kind] as Attach<Kind> | undefined
  if (run === undefined)
    throw new UnsupportedError('attach.kind', `${spec.name}: attaching ${attach.kind} programs is not there yet`)
  return run(program, attach as never, options, spec.expectedAttachType)
}

/** What the options must name for a kind when its section does not. */
const PLACES: { readonly [K in Kind]?: 'interface' | 'cgroup' } = {
  xdp: 'interface',
  tcx: 'interface',
  tc: 'interface',
  netkit: 'interface',
  cgroup: 'cgroup',
  lsm_cgroup: 'cgroup',
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
export function attachAll(loaded: LoadedObject, options: AttachOptions & { readonly unplaced?: 'skip' } = {}): Link[] {
  const links: Link[] = []
  try {
    for (const { spec, result } of loaded.programs)
      if (
        result.program !== undefined &&
        spec.attach !== undefined &&
        spec.attach.kind !== 'struct_ops' &&
        (options.unplaced === undefined || hasPlace(spec, options))
      )
        links.push(attachProgram(result.program, spec, options))
    for (const { name, structOps } of loaded.object.maps)
      if (structOps !== undefined) links.push(attachStructOps(loaded, name))
    return links
  } catch (error) {
    for (const link of links) link.close()
    throw error
  }
}
