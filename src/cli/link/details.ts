import { openById, programInfo, type Sys } from '../../syscall/index.ts'
import { attachTypeName, type LinkType, programTypeName } from '../../uapi/index.ts'
import { interfaceName } from '../objects/interface-name.ts'
import type { Json } from '../objects/json.ts'
import { type FullLinkInfo, PERF_LINK } from './info.ts'
import { netfilterJson, netfilterText } from './netfilter.ts'
import { eventConfig, eventType } from './perf-names.ts'

/** What a link type tells besides its program: keys of the JSON, and the text that follows the first line's start. */
export interface LinkDetails {
  readonly json: { readonly [key: string]: Json }
  readonly text: string
}

const NOTHING: LinkDetails = { json: {}, text: '' }

type Describe = (info: FullLinkInfo, sys: Sys) => LinkDetails

const attachType = (number: number): string | number => attachTypeName(number) ?? number

function device(info: FullLinkInfo, sys: Sys): LinkDetails {
  const index = info.u32(16)
  const name = index === 0 ? '(detached)' : (interfaceName(sys, index) ?? '(unknown)')
  const shown = index === 0 || name === '(unknown)' ? name : `${name}(${index})`
  return { json: { devname: name, ifindex: index }, text: `\n\tifindex ${shown}  ` }
}

const attachedDevice: Describe = (info, sys) => {
  const { json, text } = device(info, sys)
  const type = attachType(info.u32(20))
  return { json: { ...json, attach_type: type }, text: `${text}attach_type ${type}  ` }
}

function programTypeOf(sys: Sys, id: number): string | number | undefined {
  using fd = openById(sys, 'program', id)
  if (fd === undefined) return undefined
  const { type } = programInfo(sys, fd.fd)
  return programTypeName(type) ?? type
}

/** A key that says something only when it is not 0: texts leave it out then. */
const unlessZero = (value: bigint | number, text: string): string => (BigInt(value) === 0n ? '' : text)

const ORDERS = ['order_unspec', 'self_only', 'descendants_pre', 'descendants_post', 'ancestors_up'] as const

const iterator: Describe = (info) => {
  const target = info.text
  const json: Record<string, Json> = { target_name: target }
  let text = `target_name ${target}  `
  if (target === 'bpf_map_elem' || target === 'bpf_sk_storage_map') {
    json['map_id'] = info.u32(28)
    text += `map_id ${info.u32(28)}  `
  } else if (target === 'task' || target === 'task_file' || target === 'task_vma') {
    const [tid, pid] = [info.u32(32), info.u32(36)]
    if (tid !== 0) json['tid'] = tid
    else if (pid !== 0) json['pid'] = pid
    text += tid !== 0 ? `tid ${tid} ` : pid !== 0 ? `pid ${pid} ` : ''
  } else if (target === 'cgroup') {
    json['cgroup_id'] = info.u64(32)
    json['order'] = ORDERS[info.u32(40)] ?? 'unknown'
    text += `cgroup_id ${info.u64(32)}  order ${json['order']}  `
  }
  return { json, text }
}

const uprobeEvent = (info: FullLinkInfo, returns: boolean): LinkDetails => {
  const [offset, cookie, counter] = [info.u32(36), info.u64(40), info.u64(48)]
  return {
    json: { retprobe: returns, file: info.text, offset, cookie, ref_ctr_offset: counter },
    text: `\n\t${returns ? 'uretprobe' : 'uprobe'} ${info.text}+0x${offset.toString(16)}  ${unlessZero(cookie, `cookie ${cookie}  `)}${unlessZero(counter, `ref_ctr_offset 0x${counter.toString(16)}  `)}`,
  }
}

const kprobeEvent = (info: FullLinkInfo, returns: boolean): LinkDetails => {
  const [offset, addr, missed, cookie] = [info.u32(36), info.u64(40), info.u64(48), info.u64(56)]
  const place = `${unlessZero(addr, `${addr.toString(16)} `)}${info.text}${unlessZero(offset, `+0x${offset.toString(16)}`)}`
  return {
    json: { retprobe: returns, addr, func: info.text, offset, missed, cookie },
    text: `\n\t${returns ? 'kretprobe' : 'kprobe'} ${place}${unlessZero(missed, `  missed ${missed}`)}${unlessZero(cookie, `  cookie ${cookie}`)}  `,
  }
}

const perfEvent: Describe = (info) => {
  const kind = info.u32(16)
  switch (kind) {
    case PERF_LINK.uprobe:
    case PERF_LINK.uretprobe:
      return uprobeEvent(info, kind === PERF_LINK.uretprobe)
    case PERF_LINK.kprobe:
    case PERF_LINK.kretprobe:
      return kprobeEvent(info, kind === PERF_LINK.kretprobe)
    case PERF_LINK.tracepoint: {
      const cookie = info.u64(40)
      return {
        json: { tracepoint: info.text, cookie },
        text: `\n\ttracepoint ${info.text}  ${unlessZero(cookie, `cookie ${cookie}  `)}`,
      }
    }
    case PERF_LINK.event: {
      const [config, type, cookie] = [info.u64(24), info.u32(32), info.u64(40)]
      const name = eventType(type)
      const event = eventConfig(type, config)
      return {
        json: { event_type: name ?? type, event_config: event ?? config, cookie },
        text: `\n\tevent ${name === undefined ? `${type} ` : name}:${event ?? config}  ${unlessZero(cookie, `cookie ${cookie}  `)}`,
      }
    }
    default:
      return NOTHING
  }
}

const hex16 = (value: bigint): string => value.toString(16).padStart(16, '0')
const KPROBE_MULTI_RETURN = 1
const UPROBE_MULTI_RETURN = 1

/** Functions by address: kallsyms is read only for links that need it. */
export type SymbolAt = (address: bigint) => { readonly name: string; readonly module?: string } | undefined

const kprobeMulti = (info: FullLinkInfo, symbolAt: SymbolAt): LinkDetails => {
  const [addresses = [], cookies = []] = info.arrays
  const returns = (info.u32(28) & KPROBE_MULTI_RETURN) !== 0
  const missed = info.u64(32)
  const rows = addresses
    .map((addr, i) => ({ addr, cookie: cookies[i] ?? 0n, symbol: addr === 0n ? undefined : symbolAt(addr) }))
    .sort((a, b) => (a.addr < b.addr ? -1 : a.addr > b.addr ? 1 : 0))
  const named = rows.filter(({ symbol }) => symbol !== undefined)
  let text = `\n\t${returns ? 'kretprobe' : 'kprobe'}.multi  func_cnt ${info.u32(24)}  ${unlessZero(missed, `missed ${missed}  `)}`
  if (named.length > 0) text += `\n\t${'addr'.padEnd(16)} ${'cookie'.padEnd(16)} func [module]`
  for (const { addr, cookie, symbol } of named)
    text += `\n\t${hex16(addr)} ${cookie.toString(16).padEnd(16)} ${symbol?.name}${symbol?.module === undefined ? '' : ` [${symbol.module}]`}  `
  return {
    json: {
      retprobe: returns,
      func_cnt: info.u32(24),
      missed,
      funcs: named.map(({ addr, cookie, symbol }) => ({
        addr,
        func: symbol?.name,
        module: symbol?.module ?? null,
        cookie,
      })),
    },
    text: info.u32(24) === 0 ? '' : text,
  }
}

const uprobeMulti: Describe = (info) => {
  const [offsets = [], counters = [], cookies = []] = info.arrays
  const returns = (info.u32(56) & UPROBE_MULTI_RETURN) !== 0
  const pid = info.u32(60) | 0
  const column = (value: bigint): string => `0x${value.toString(16).padEnd(16)}`
  let text = `\n\t${returns ? 'uretprobe' : 'uprobe'}.multi  path ${info.text}  func_cnt ${info.u32(52)}  ${unlessZero(pid, `pid ${pid}  `)}`
  text += `\n\t${'offset'.padEnd(16)}   ${'ref_ctr_offset'.padEnd(16)}   ${'cookies'.padEnd(16)}`
  const funcs = offsets.map((offset, i) => ({ offset, ref_ctr_offset: counters[i] ?? 0n, cookie: cookies[i] ?? 0n }))
  for (const row of funcs) text += `\n\t${column(row.offset)} ${column(row.ref_ctr_offset)} ${column(row.cookie)}`
  return {
    json: { retprobe: returns, path: info.text, func_cnt: info.u32(52), pid, funcs },
    text: info.u32(52) === 0 ? '' : text,
  }
}

/** What each link type tells: the union of struct bpf_link_info by offset. */
const DESCRIBE: Readonly<Partial<Record<LinkType, Describe>>> = {
  raw_tracepoint: (info) => {
    const cookie = info.u64(32)
    return {
      json: { tp_name: info.text, cookie },
      text: `\n\ttp '${info.text}'  ${unlessZero(cookie, `cookie ${cookie}  `)}`,
    }
  },
  tracing: (info, sys) => {
    const [object, type, cookie] = [info.u32(20), info.u32(24), info.u64(32)]
    const program = programTypeOf(sys, info.programId)
    const attach = attachType(info.u32(16))
    return {
      json: { prog_type: program, attach_type: attach, target_obj_id: object, target_btf_id: type, cookie },
      text: `\n\tprog_type ${program ?? '(gone)'}  attach_type ${attach}  ${object === 0 && type === 0 ? '' : `\n\ttarget_obj_id ${object}  target_btf_id ${type}  `}${unlessZero(cookie, `\n\tcookie ${cookie}  `)}`,
    }
  },
  cgroup: (info) => {
    const type = attachType(info.u32(24))
    return {
      json: { cgroup_id: info.u64(16), attach_type: type },
      text: `\n\tcgroup_id ${info.u64(16)}  attach_type ${type}  `,
    }
  },
  iter: iterator,
  netns: (info) => {
    const type = attachType(info.u32(20))
    return {
      json: { netns_ino: info.u32(16), attach_type: type },
      text: `\n\tnetns_ino ${info.u32(16)}  attach_type ${type}  `,
    }
  },
  xdp: device,
  tcx: attachedDevice,
  netkit: attachedDevice,
  sockmap: (info) => {
    const type = attachType(info.u32(20))
    return {
      json: { map_id: info.u32(16), attach_type: type },
      text: `\n\tmap_id ${info.u32(16)}  attach_type ${type}  `,
    }
  },
  struct_ops: (info) => ({ json: { map_id: info.u32(16) }, text: '' }),
  netfilter: (info) => ({ json: netfilterJson(info), text: netfilterText(info) }),
  perf_event: perfEvent,
  uprobe_multi: uprobeMulti,
}

/** What a link tells by its type. */
export function linkDetails(info: FullLinkInfo, sys: Sys, symbolAt: SymbolAt): LinkDetails {
  const { typeName } = info
  if (typeName === undefined) return NOTHING
  if (typeName === 'kprobe_multi') return kprobeMulti(info, symbolAt)
  return DESCRIBE[typeName]?.(info, sys) ?? NOTHING
}
