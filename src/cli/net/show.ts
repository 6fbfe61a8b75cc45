import { closeSync, openSync } from 'node:fs'
import { SystemError, UsageError } from '../../errors/index.ts'
import { interfaceIndex, queryAttached, realSys, type Sys } from '../../syscall/index.ts'
import { ATTACH_TYPES } from '../../uapi/index.ts'
import { type FullLinkInfo, fullLinkInfo } from '../link/info.ts'
import { compareNetfilter, netfilterJson, netfilterText } from '../link/netfilter.ts'
import { liveLinks } from '../link/show.ts'
import type { Json } from '../objects/json.ts'
import { printJson } from '../objects/options.ts'
import { namedProgram } from '../objects/program-name.ts'
import { fullWord } from '../objects/select.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'
import { type Attributes, Netlink, parseAttributes, RTM, textOf } from './netlink.ts'

/** A row: its JSON and its line. */
interface Row {
  readonly json: Json
  readonly text: string
}

interface Device {
  readonly name: string
  readonly index: number
  readonly attributes: Attributes
}

const IFINFO_BYTES = 16
const TCMSG_BYTES = 20
const IFLA = { ifname: 3, xdp: 43 } as const
const XDP = { attached: 2, programId: 4, driverId: 5, genericId: 6, offloadId: 7 } as const
const MULTI = 4
const MODES: Readonly<Record<number, string>> = { 1: 'driver', 2: 'generic', 3: 'offload' }

const u32 = (view: DataView | undefined): number | undefined =>
  view !== undefined && view.byteLength >= 4 ? view.getUint32(0, true) : undefined

function devices(netlink: Netlink, only: number | undefined): Device[] {
  return netlink
    .dump(RTM.getLink, new Uint8Array(IFINFO_BYTES), IFINFO_BYTES)
    .map(({ fixed, attributes }) => ({
      name: textOf(attributes.get(IFLA.ifname)),
      index: fixed.getInt32(4, true),
      attributes,
    }))
    .filter(({ index }) => only === undefined || index === only)
}

function xdpRow({ name, index, attributes }: Device): Row[] {
  const nested = attributes.get(IFLA.xdp)
  if (nested === undefined) return []
  const xdp = parseAttributes(nested)
  const mode = xdp.get(XDP.attached)?.getUint8(0) ?? 0
  if (mode === 0) return []
  const head = { devname: name, ifindex: index }
  if (mode !== MULTI) {
    const id = u32(xdp.get(XDP.programId))
    return [
      {
        json: { ...head, mode: MODES[mode] ?? mode, id },
        text: `${name}(${index}) ${MODES[mode] ?? mode} id ${id}\n`,
      },
    ]
  }
  const attachments = [
    ['generic', XDP.genericId],
    ['driver', XDP.driverId],
    ['offload', XDP.offloadId],
  ] as const
  const there = attachments.flatMap(([where, type]) => {
    const id = u32(xdp.get(type))
    return id === undefined ? [] : [{ mode: where, id }]
  })
  return [
    {
      json: { ...head, multi_attachments: there },
      text: `${name}(${index})${there.map((row) => ` ${row.mode} id ${row.id}`).join('')}\n`,
    },
  ]
}

const LOCATIONS = [
  { type: ATTACH_TYPES.tcx_ingress, kind: 'tcx/ingress' },
  { type: ATTACH_TYPES.tcx_egress, kind: 'tcx/egress' },
  { type: ATTACH_TYPES.netkit_primary, kind: 'netkit/primary' },
  { type: ATTACH_TYPES.netkit_peer, kind: 'netkit/peer' },
] as const

const bits = (flags: number): number[] =>
  Array.from({ length: 32 }, (_, bit) => 2 ** bit).filter((bit) => Math.floor(flags / bit) % 2 === 1)

function tcxRows(sys: Sys, { name, index }: Device): Row[] {
  return LOCATIONS.flatMap(({ type, kind }) => {
    let attached: ReturnType<typeof queryAttached>['programs']
    try {
      attached = queryAttached(sys, index, type).programs
    } catch (error) {
      // no netkit device, or a kernel before 6.6
      if (error instanceof SystemError) return []
      throw error
    }
    return attached.map(({ programId, linkId, flags }): Row => {
      const program = namedProgram(sys, programId)?.fullName
      const named = program === undefined || program === '' ? undefined : program
      const shown =
        flags === 0
          ? ''
          : `prog_flags ${bits(flags)
              .map((bit) => `${bit} `)
              .join('')}`
      return {
        json: {
          devname: name,
          ifindex: index,
          kind,
          name: named,
          prog_id: programId,
          prog_flags: bits(flags),
          link_id: linkId,
          link_flags: [],
        },
        text: `${name}(${index}) ${kind}${named === undefined ? '' : ` ${named}`} prog_id ${programId} ${shown}${linkId === 0 ? '' : `link_id ${linkId} `}\n`,
      }
    })
  })
}

const TCA = { kind: 1, options: 2 } as const
const TCA_BPF = { act: 1, name: 7, id: 11 } as const
const TCA_ACT = { kind: 1, options: 2 } as const
const TCA_ACT_BPF = { name: 6, id: 9 } as const

/** Handles of the places that have no class of their own. */
const PLACES = [
  { kind: 'root', handle: 0xffffffff },
  { kind: 'clsact/ingress', handle: 0xfffffff2 },
  { kind: 'clsact/egress', handle: 0xfffffff3 },
] as const

function tcMessage(index: number, parent: number): Uint8Array {
  const bytes = new Uint8Array(TCMSG_BYTES)
  const view = new DataView(bytes.buffer)
  view.setInt32(4, index, true)
  view.setUint32(12, parent, true)
  return bytes
}

function actionRows(nested: DataView): Row[] {
  return [...parseAttributes(nested)]
    .sort(([a], [b]) => a - b)
    .flatMap(([, action]) => {
      const parts = parseAttributes(action)
      const options = parts.get(TCA_ACT.options)
      if (textOf(parts.get(TCA_ACT.kind)) !== 'bpf' || options === undefined) return []
      const act = parseAttributes(options)
      const name = act.has(TCA_ACT_BPF.name) ? textOf(act.get(TCA_ACT_BPF.name)) : undefined
      const id = u32(act.get(TCA_ACT_BPF.id))
      return [{ json: { name, id }, text: `{${name ?? ''}${id === undefined ? '' : ` id ${id}`}}` }]
    })
}

function filterRow({ name, index }: Device, kind: string, options: DataView): Row {
  const bpf = parseAttributes(options)
  const filter = bpf.has(TCA_BPF.name) ? textOf(bpf.get(TCA_BPF.name)) : undefined
  const id = u32(bpf.get(TCA_BPF.id))
  const nested = bpf.get(TCA_BPF.act)
  const actions = nested === undefined ? undefined : actionRows(nested)
  const head = `${name}(${index}) ${kind}${filter === undefined ? '' : ` ${filter}`}${id === undefined ? '' : ` id ${id}`}`
  return {
    json: { devname: name, ifindex: index, kind, name: filter, id, act: actions?.map(({ json }) => json) },
    text: `${head}${actions === undefined ? '' : ` act [${actions.map(({ text }) => text).join('')}] `}\n`,
  }
}

/** Filters of cls_bpf: below each class and queueing discipline, and at the three places that have neither. */
function filterRows(netlink: Netlink, device: Device): Row[] {
  const dump = (type: number, parent = 0) => netlink.dump(type, tcMessage(device.index, parent), TCMSG_BYTES)
  const places: { kind: string; handle: number }[] = []
  for (const type of [RTM.getClass, RTM.getQdisc])
    for (const { fixed, attributes } of dump(type)) {
      const handle = fixed.getUint32(8, true)
      const kind = textOf(attributes.get(TCA.kind))
      // the kernel answers for all devices where it has no filter by device
      if (fixed.getInt32(4, true) !== device.index) continue
      if (type === RTM.getQdisc && (kind === 'clsact' || handle === 0)) continue
      places.push({ kind: kind === '' ? 'unknown' : kind, handle })
    }
  return [...places, ...PLACES].flatMap(({ kind, handle }) =>
    dump(RTM.getFilter, handle).flatMap(({ attributes }) => {
      const options = attributes.get(TCA.options)
      return options === undefined || textOf(attributes.get(TCA.kind)) !== 'bpf'
        ? []
        : [filterRow(device, kind, options)]
    }),
  )
}

function flowDissectors(sys: Sys): number[] {
  const netns = openSync('/proc/self/ns/net', 'r')
  try {
    return queryAttached(sys, netns, ATTACH_TYPES.flow_dissector).programs.map(({ programId }) => programId)
  } catch (error) {
    // kernels before 5.2 cannot be asked
    if (error instanceof SystemError && error.errno === 22) return []
    throw error
  } finally {
    closeSync(netns)
  }
}

function netfilterRows(sys: Sys): Row[] {
  const links: FullLinkInfo[] = []
  for (const fd of liveLinks(sys)) {
    const info = fullLinkInfo(sys, fd)
    if (info.typeName === 'netfilter') links.push(info)
  }
  return links.sort(compareNetfilter).map((info) => ({
    json: { ...netfilterJson(info), id: info.programId },
    text: `${netfilterText(info)} prog_id ${info.programId}`,
  }))
}

/** `net show [dev NAME]`. */
export function show(words: readonly string[], context: Context): void {
  const sys = realSys()
  let only: number | undefined
  if (words.length > 0) {
    if (words.length !== 2 || fullWord(words[0], ['dev']) === undefined)
      throw new UsageError('cli.words', `expected dev NAME, got ${JSON.stringify(words.join(' '))}`)
    only = interfaceIndex(sys, words[1])
  }
  const dissectors = flowDissectors(sys)
  using netlink = new Netlink(sys)
  const all = devices(netlink, only)
  const xdp = all.flatMap(xdpRow)
  const tc = all.flatMap((device) => [...tcxRows(sys, device), ...filterRows(netlink, device)])
  const netfilter = netfilterRows(sys)
  if (context.json === true) {
    const json = (rows: readonly Row[]): Json => rows.map((row) => row.json)
    // an array around one object, and bare ids of flow dissectors: bpftool's form
    printJson([{ xdp: json(xdp), tc: json(tc), flow_dissector: dissectors, netfilter: json(netfilter) }], context)
    return
  }
  const section = (name: string, rows: readonly string[]): string => `${name}:\n${rows.join('')}\n`
  print(
    section(
      'xdp',
      xdp.map(({ text }) => text),
    ) +
      section(
        'tc',
        tc.map(({ text }) => text),
      ) +
      section(
        'flow_dissector',
        dissectors.map((id) => `id ${id}`),
      ) +
      section(
        'netfilter',
        netfilter.map(({ text }) => text),
      ),
  )
}
