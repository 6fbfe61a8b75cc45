import { readdirSync, readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { UsageError } from '../errors/index.ts'
import {
  bpf,
  type LinkInfo,
  linkInfo,
  type OwnedFd,
  objectIds,
  openById,
  pin,
  programInfo,
  realSys,
  type Sys,
} from '../syscall/index.ts'
import { attachTypeName, LINK_TYPES, programTypeName } from '../uapi/index.ts'
import { type Holder, holders } from './objects/holders.ts'
import type { Json } from './objects/json.ts'
import { type OutputOptions, printJson, wantsJson, withOutput } from './objects/options.ts'
import { select, selectOne } from './objects/select.ts'

const TYPE_NAMES = new Map<number, string>(Object.entries(LINK_TYPES).map(([name, number]) => [number, name]))

/** A fact of a link: its JSON key and value, and how the text form says it. */
interface Fact {
  readonly key: string
  readonly value: Json
  readonly text?: string
}

function interfaceName(index: number): string | undefined {
  try {
    for (const name of readdirSync('/sys/class/net'))
      if (Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8')) === index) return name
  } catch {
    // no sysfs here
  }
  return undefined
}

const attachType = (number: number): Fact => {
  const name = attachTypeName(number)
  return { key: 'attach_type', value: name ?? number, text: `attach_type ${name ?? number}` }
}

const interfaceFacts = (index: number): Fact[] => {
  const name = index === 0 ? undefined : interfaceName(index)
  const text = index === 0 ? '(detached)' : `${name ?? '(unknown)'}(${index})`
  return [
    { key: 'devname', value: index === 0 ? '(detached)' : (name ?? '(unknown)') },
    { key: 'ifindex', value: index, text: `ifindex ${text}` },
  ]
}

type Details = (raw: DataView, sys: Sys, programId: number) => Fact[]

const at32 = (raw: DataView, offset: number): number => (offset + 4 <= raw.byteLength ? raw.getUint32(offset, true) : 0)
const at64 = (raw: DataView, offset: number): bigint =>
  offset + 8 <= raw.byteLength ? raw.getBigUint64(offset, true) : 0n

function programType(sys: Sys, id: number): Fact[] {
  using fd = openById(sys, 'program', id)
  if (fd === undefined) return []
  const { type } = programInfo(sys, fd.fd)
  const name = programTypeName(type) ?? type
  return [{ key: 'prog_type', value: name, text: `\n\tprog_type ${name}` }]
}

/** What each link type tells besides its program: the union of struct bpf_link_info by offset. */
const DETAILS: Readonly<Partial<Record<keyof typeof LINK_TYPES, Details>>> = {
  tracing: (raw, sys, id) => [
    ...programType(sys, id),
    attachType(at32(raw, 16)),
    { key: 'target_obj_id', value: at32(raw, 20), text: `\n\ttarget_obj_id ${at32(raw, 20)}` },
    { key: 'target_btf_id', value: at32(raw, 24), text: `target_btf_id ${at32(raw, 24)}` },
  ],
  cgroup: (raw) => [
    { key: 'cgroup_id', value: at64(raw, 16), text: `\n\tcgroup_id ${at64(raw, 16)}` },
    attachType(at32(raw, 24)),
  ],
  netns: (raw) => [
    { key: 'netns_ino', value: at32(raw, 16), text: `\n\tnetns_ino ${at32(raw, 16)}` },
    attachType(at32(raw, 20)),
  ],
  xdp: (raw) => interfaceFacts(at32(raw, 16)),
  tcx: (raw) => [...interfaceFacts(at32(raw, 16)), attachType(at32(raw, 20))],
  netkit: (raw) => [...interfaceFacts(at32(raw, 16)), attachType(at32(raw, 20))],
  sockmap: (raw) => [
    { key: 'map_id', value: at32(raw, 16), text: `\n\tmap_id ${at32(raw, 16)}` },
    attachType(at32(raw, 20)),
  ],
  struct_ops: (raw) => [{ key: 'map_id', value: at32(raw, 16), text: `map ${at32(raw, 16)}` }],
  netfilter: (raw) => [
    { key: 'pf', value: at32(raw, 16), text: `\n\tpf ${at32(raw, 16)}` },
    { key: 'hook', value: at32(raw, 20), text: `hook ${at32(raw, 20)}` },
    { key: 'prio', value: at32(raw, 24) | 0, text: `prio ${at32(raw, 24) | 0}` },
    { key: 'flags', value: at32(raw, 28), text: `flags 0x${at32(raw, 28).toString(16)}` },
  ],
}

interface Row {
  readonly info: LinkInfo
  readonly facts: readonly Fact[]
  readonly holders: readonly Holder[]
}

function rowOf(sys: Sys, fd: OwnedFd, found: ReadonlyMap<number, readonly Holder[]>): Row {
  const info = linkInfo(sys, fd.fd)
  const name = TYPE_NAMES.get(info.type) as keyof typeof LINK_TYPES | undefined
  const facts = name === undefined ? [] : (DETAILS[name]?.(info.raw, sys, info.programId) ?? [])
  return { info, facts, holders: (found.get(info.id) ?? []).filter(({ pid }) => pid !== process.pid) }
}

function rowJson({ info, facts, holders }: Row): Json {
  return {
    id: info.id,
    type: TYPE_NAMES.get(info.type) ?? info.type,
    prog_id: info.programId,
    ...Object.fromEntries(facts.map(({ key, value }) => [key, value])),
    pids: holders.length > 0 ? holders.map(({ pid, comm }) => ({ pid, comm })) : undefined,
  }
}

function rowText({ info, facts, holders }: Row): string {
  const type = TYPE_NAMES.get(info.type) ?? `type ${info.type}`
  const [first, ...rest] = facts.filter(({ text }) => text !== undefined).map(({ text }) => text as string)
  const body =
    first === undefined
      ? ''
      : `${first.startsWith('\n') ? first : `\n\t${first}`}  ${rest.map((text) => `${text}  `).join('')}`
  const pids = holders.length > 0 ? `\n\tpids ${holders.map(({ pid, comm }) => `${comm}(${pid})`).join(', ')}` : ''
  return `${info.id}: ${type}  prog ${info.programId}  ${body}${pids}\n`
}

function show(words: readonly string[], options: OutputOptions): void {
  const sys = realSys()
  const found = holders().link_id
  const rows: Row[] = []
  if (words.length > 0) {
    const { fds } = select(sys, 'link', words)
    for (const owned of fds) {
      using fd = owned
      rows.push(rowOf(sys, fd, found))
    }
  } else
    for (const id of objectIds(sys, 'link')) {
      using fd = openById(sys, 'link', id)
      if (fd !== undefined) rows.push(rowOf(sys, fd, found))
    }
  if (wantsJson(options))
    printJson(words.length > 0 && rows.length === 1 ? rowJson(rows[0]) : rows.map(rowJson), options)
  else for (const row of rows) process.stdout.write(rowText(row))
}

const HANDLE = 'id ID | pinned PATH'

export function register(program: Command): void {
  const link = program.command('link').description('show, pin and detach links')
  withOutput(link.command('show').alias('list'))
    .description('list all links, or the one that the words name')
    .argument('[link...]', HANDLE)
    .action(show)
  link
    .command('pin')
    .description('pin a link to a path of a BPF file system')
    .argument('<link...>', `${HANDLE}, then the path`)
    .action((words: string[]) => {
      const sys = realSys()
      const { fd: owned, rest } = selectOne(sys, 'link', words)
      using fd = owned
      if (rest.length !== 1) throw new UsageError('cli.words', 'one path is needed behind the link')
      pin(sys, fd.fd, rest[0])
    })
  link
    .command('detach')
    .description('detach a link: its program no longer runs there (Linux 5.9)')
    .argument('<link...>', HANDLE)
    .action((words: string[]) => {
      const sys = realSys()
      const { fd: owned } = selectOne(sys, 'link', words)
      using fd = owned
      bpf(sys, 'link_detach', { link_fd: fd.fd }, fd.what)
    })
}
