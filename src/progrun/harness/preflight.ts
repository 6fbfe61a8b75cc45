import { UsageError } from '../../errors/index.ts'
import { decode, encode, type Layout } from '../../layout/index.ts'
import { ATTACH_TYPES, type ProgramType } from '../../uapi/index.ts'
import type { RawRun } from '../backend/backend.ts'
import { buildPacket, ipv4ToBytes, ipv6ToBytes } from '../packets/index.ts'
import type { SkLookupContext } from './contexts.ts'
import { SKB_SETTABLE, skBuff, skLookup, xdpMd } from './contexts.ts'
import type { AnyRun } from './run-options.ts'
import { RUN_SHAPES, type RunShape } from './shapes.ts'

/** A run as the user gave it, in the form that backends take. */
export interface PreparedRun extends RawRun {
  /** Context fields by name, for types whose context the emulator builds. */
  readonly fields?: Readonly<Record<string, unknown>>
  /** Why the kernel would refuse it; undefined when it takes it. */
  readonly kernelRefuses?: string
}

function bytesOf(input: NonNullable<AnyRun['packet']>): Uint8Array {
  return input instanceof Uint8Array ? input : buildPacket(input)
}

function ethertype(packet: Uint8Array): number {
  return packet.length < 14 ? 0 : (packet[12] << 8) | packet[13]
}

/** XDP programs that run for an entry of a devmap or cpumap. */
const ENTRY_PROGRAMS: ReadonlySet<number> = new Set([ATTACH_TYPES.xdp_devmap, ATTACH_TYPES.xdp_cpumap])

/** What stands in the way of a context that has the right fields. */
function contextRefusal(type: ProgramType, given: unknown, packet: Uint8Array | undefined): string | undefined {
  const { wire_len: wire, gso_segs: segments, rx_queue_index: queue, ingress_ifindex: device } = numbers(given)
  const length = packet?.length ?? 0
  if (wire !== undefined && wire !== 0 && (wire < length || wire > MAX_WIRE))
    return `${type}: wire_len is ${wire}; BPF_PROG_RUN takes it from the packet's length, ${length}, to ${MAX_WIRE}`
  if (segments !== undefined && segments > MAX_SEGMENTS)
    return `${type}: gso_segs is ${segments}; BPF_PROG_RUN takes at most ${MAX_SEGMENTS}`
  if (queue !== undefined && queue > 0 && !device)
    return `${type}: rx_queue_index is ${queue}; BPF_PROG_RUN takes it only with the ingress_ifindex of an interface that has this queue`
  return undefined
}

function numbers(given: unknown): Readonly<Partial<Record<string, number>>> {
  if (typeof given !== 'object' || given === null || given instanceof Uint8Array) return {}
  return Object.fromEntries(Object.entries(given).filter(([, value]) => typeof value === 'number'))
}

/** GSO_LEGACY_MAX_SIZE and GSO_MAX_SEGS (include/linux/netdevice.h). */
const [MAX_WIRE, MAX_SEGMENTS] = [65_536, 65_535]
/** What the kernel leaves of the headroom in front of a test run's packet. */
const MAX_METADATA = 216
const MAX_CPUS = 65_536

/** Why BPF_PROG_RUN would answer EINVAL for this packet. */
function packetRefusal(type: ProgramType, shape: RunShape, packet: Uint8Array, metadata: number): string | undefined {
  const kind = ethertype(packet)
  const [minimum, what] =
    kind === 0x0800 && shape.minimumIpv4 !== undefined
      ? [shape.minimumIpv4, 'an IPv4 packet of ']
      : kind === 0x86dd && shape.minimumIpv6 !== undefined
        ? [shape.minimumIpv6, 'an IPv6 packet of ']
        : [shape.minimum, '']
  if (packet.length < minimum)
    return `${type}: BPF_PROG_RUN takes ${what}at least ${minimum} bytes, this one has ${packet.length}`
  if (shape.maximum !== undefined && packet.length + metadata > shape.maximum)
    return `${type}: BPF_PROG_RUN takes at most ${shape.maximum} bytes, this packet has ${packet.length + metadata}`
  return undefined
}

function words(address: string): number[] {
  const view = new DataView(ipv6ToBytes(address).buffer)
  return [0, 4, 8, 12].map((at) => view.getUint32(at, true))
}

function lookupContext(given: SkLookupContext): Uint8Array {
  const version6 = given.family === 'ipv6'
  const word = (address: string): number => new DataView(ipv4ToBytes(address).buffer).getUint32(0, true)
  const none = [0, 0, 0, 0]
  return encode(skLookup, {
    cookie: given.cookie ?? 0n,
    family: version6 ? 10 : 2,
    protocol: given.protocol ?? 6,
    remote_ip4: version6 ? 0 : word(given.remoteAddress),
    remote_ip6: version6 ? words(given.remoteAddress) : none,
    remote_port: given.remotePort,
    reserved: 0,
    local_ip4: version6 ? 0 : word(given.localAddress),
    local_ip6: version6 ? words(given.localAddress) : none,
    local_port: given.localPort,
    ingress_ifindex: given.ingressIfindex ?? 0,
  })
}

function structContext(type: ProgramType, layout: Layout, allowed: readonly string[], given: object): Uint8Array {
  for (const name of Object.keys(given))
    if (!allowed.includes(name))
      throw new UsageError('progrun.context', `${type}: a test run cannot set the context field ${name}`, {
        details: [`it can set ${allowed.join(', ')}`],
      })
  return encode(layout as Layout<object>, { ...(decode(layout, new Uint8Array(layout.size)) as object), ...given })
}

function contextBytes(type: ProgramType, shape: RunShape | undefined, run: AnyRun): Partial<PreparedRun> {
  const given = run.ctx
  if (given instanceof Uint8Array) return { context: given }
  if (type === 'sk_lookup') {
    if (given === undefined)
      throw new UsageError('progrun.context', 'sk_lookup: a ctx with family, addresses and ports is needed')
    return { context: lookupContext(given as SkLookupContext) }
  }
  if (given === undefined || given === null) return {}
  if (typeof given !== 'object') throw new UsageError('progrun.context', `${type}: ctx is neither bytes nor fields`)
  if (shape?.context === (skBuff as unknown))
    return { context: structContext(type, skBuff as Layout, SKB_SETTABLE, given), fields: { ...given } }
  if (type === 'xdp') return { fields: { ...given } }
  if (shape !== undefined) throw new UsageError('progrun.context', `${type}: ctx must be bytes`)
  return { fields: { ...given } }
}

/**
 * Checks and encodes what a run takes.
 * @throws UsageError `progrun.*` for what no backend could run
 */
export function prepareRun(
  { name, expectedAttachType }: { readonly name: string; readonly expectedAttachType: number },
  type: ProgramType,
  run: AnyRun,
): PreparedRun {
  const shape = RUN_SHAPES[type]
  const repeat = run.repeat ?? 1
  if (!Number.isInteger(repeat) || repeat < 1 || repeat > 0xffff_ffff)
    throw new UsageError('progrun.repeat', `${name}: repeat is ${repeat}, a whole number from 1 is needed`)
  const wantsPacket = shape !== undefined && shape.data !== 'none'
  if (wantsPacket && run.packet === undefined)
    throw new UsageError('progrun.packet', `${name}: ${type} programs run on a packet, and none is given`)
  if (!wantsPacket && shape !== undefined && run.packet !== undefined)
    throw new UsageError('progrun.packet', `${name}: ${type} programs take no packet`)
  const args = run.args?.map((value) => BigInt.asUintN(64, BigInt(value)))
  if (args !== undefined && args.length > 12)
    throw new UsageError('progrun.args', `${name}: ${args.length} arguments, a tracepoint has at most 12`)
  const packet = run.packet === undefined ? undefined : bytesOf(run.packet)
  const metadata = run.metadata ?? new Uint8Array(0)
  if (metadata.length % 4 !== 0 || metadata.length > MAX_METADATA)
    throw new UsageError(
      'progrun.metadata',
      `${name}: metadata of ${metadata.length} bytes: a multiple of 4 up to ${MAX_METADATA} is needed`,
    )
  if (run.cpu !== undefined && (!Number.isInteger(run.cpu) || run.cpu < 0 || run.cpu >= MAX_CPUS))
    throw new UsageError('progrun.cpu', `${name}: there is no CPU ${run.cpu}`)
  let data = packet
  if (packet !== undefined && metadata.length > 0) {
    data = new Uint8Array(metadata.length + packet.length)
    data.set(metadata)
    data.set(packet, metadata.length)
  }
  const parts = contextBytes(type, shape, run)
  let refuses =
    packet === undefined || shape === undefined ? undefined : packetRefusal(type, shape, packet, metadata.length)
  refuses ??= contextRefusal(type, run.ctx, packet)
  if (shape === undefined) refuses = `${type} programs have no BPF_PROG_RUN`
  else if (repeat > 1 && !shape.repeat) refuses = `${type}: BPF_PROG_RUN takes no repeat`
  else if (run.cpu !== undefined && !shape.cpu) refuses = `${type}: BPF_PROG_RUN takes no cpu`
  if (type === 'xdp' && ENTRY_PROGRAMS.has(expectedAttachType))
    refuses = 'xdp: BPF_PROG_RUN takes no programs of a devmap or cpumap'
  let { context } = parts
  if (type === 'xdp' && data !== undefined && (metadata.length > 0 || parts.fields !== undefined)) {
    const allowed = ['ingress_ifindex', 'rx_queue_index']
    context = structContext(type, xdpMd as Layout, [...allowed, 'data', 'data_end'], {
      ...parts.fields,
      data: metadata.length,
      data_end: data.length,
    })
  }
  return {
    ...(data === undefined ? {} : { data }),
    ...parts,
    ...(context === undefined ? {} : { context }),
    ...(args === undefined ? {} : { args }),
    ...(run.cpu === undefined ? {} : { cpu: run.cpu }),
    ...(refuses === undefined ? {} : { kernelRefuses: refuses }),
    metadataSize: metadata.length,
    repeat,
  }
}
