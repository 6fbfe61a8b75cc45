import { readFileSync, writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import { Btf } from '../btf/index.ts'
import { NegativeError, UsageError } from '../errors/index.ts'
import {
  btfBytes,
  kernelMemory,
  type OwnedFd,
  objectIds,
  openById,
  type ProgramDetails,
  pin,
  programDetails,
  realSys,
  type Sys,
} from '../syscall/index.ts'
import { CLASS, JMP, programTypeName, SLOT_BYTES } from '../uapi/index.ts'
import { disassembleJited, jitedJson, jitedText } from './objects/dump-jited.ts'
import { type DumpOptions, xlatedJson, xlatedText } from './objects/dump-xlated.ts'
import { type Holder, holders } from './objects/holders.ts'
import type { Json } from './objects/json.ts'
import { kernelSymbols, NO_SYMBOLS } from './objects/kallsyms.ts'
import { type OutputOptions, printJson, wantsJson, withOutput } from './objects/options.ts'
import { fullWord, select, selectOne } from './objects/select.ts'

/** Seconds since 1970 at which the machine started. */
function bootTime(): number {
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
  return Date.now() / 1000 - uptime
}

function localTime(seconds: number): string {
  const date = new Date(seconds * 1000)
  const two = (value: number): string => String(Math.trunc(Math.abs(value))).padStart(2, '0')
  const offset = -date.getTimezoneOffset()
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  return `${day}T${time}${offset < 0 ? '-' : '+'}${two(offset / 60)}${two(offset % 60)}`
}

function btfOf(sys: Sys, id: number): Btf | undefined {
  if (id === 0) return undefined
  const fd = openById(sys, 'btf', id)
  if (fd === undefined) return undefined
  using owned = fd
  return new Btf(btfBytes(sys, owned.fd), { what: `BTF ${id}` })
}

/** The kernel keeps 15 bytes of a name; BTF has the whole. */
function fullName(info: ProgramDetails, btf: () => Btf | undefined): string {
  if (info.name.length < 15 || info.funcInfo.length === 0) return info.name
  const types = btf()
  const func = types?.type(info.funcInfo[0].typeId)
  return func?.kind === 'func' && func.name.startsWith(info.name) ? func.name : info.name
}

interface Row {
  readonly info: ProgramDetails
  readonly name: string
  readonly memlock: number
  readonly loadedAt: number
  readonly holders: readonly Holder[]
}

function rowOf(sys: Sys, fd: OwnedFd, boot: number, found: ReadonlyMap<number, readonly Holder[]>): Row {
  const info = programDetails(sys, fd.fd)
  return {
    info,
    name: fullName(info, () => btfOf(sys, info.btfId)),
    memlock: kernelMemory(fd.fd),
    loadedAt: Math.floor(boot + Number(info.loadTime) / 1e9),
    holders: (found.get(info.id) ?? []).filter(({ pid }) => pid !== process.pid),
  }
}

const typeText = (type: number): string | number => programTypeName(type) ?? type

function rowJson({ info, name, memlock, loadedAt, holders }: Row): Json {
  return {
    id: info.id,
    type: typeText(info.type),
    name: name === '' ? undefined : name,
    tag: info.tag,
    gpl_compatible: info.gplCompatible,
    run_time_ns: info.runTimeNs > 0n ? info.runTimeNs : undefined,
    run_cnt: info.runTimeNs > 0n ? info.runCount : undefined,
    recursion_misses: info.recursionMisses > 0n ? info.recursionMisses : undefined,
    loaded_at: info.loadTime > 0n ? loadedAt : undefined,
    uid: info.loadTime > 0n ? info.createdByUid : undefined,
    orphaned: false,
    bytes_xlated: info.xlatedBytes,
    jited: info.jitedBytes > 0,
    bytes_jited: info.jitedBytes > 0 ? info.jitedBytes : undefined,
    bytes_memlock: memlock,
    map_ids: info.mapIds.length > 0 ? info.mapIds : undefined,
    btf_id: info.btfId > 0 ? info.btfId : undefined,
    verified_insns: info.verifiedInsns,
    pids: holders.length > 0 ? holders.map(({ pid, comm }) => ({ pid, comm })) : undefined,
  }
}

function rowText({ info, name, memlock, loadedAt, holders }: Row): string {
  const type = programTypeName(info.type) ?? `type ${info.type}`
  let out = `${info.id}: ${type}  ${name === '' ? '' : `name ${name}  `}tag ${info.tag}${info.gplCompatible ? '  gpl' : ''}`
  if (info.runTimeNs > 0n) out += ` run_time_ns ${info.runTimeNs} run_cnt ${info.runCount}`
  if (info.recursionMisses > 0n) out += ` recursion_misses ${info.recursionMisses}`
  out += '\n'
  if (info.loadTime > 0n) out += `\tloaded_at ${localTime(loadedAt)}  uid ${info.createdByUid}\n`
  out += `\txlated ${info.xlatedBytes}B  ${info.jitedBytes > 0 ? `jited ${info.jitedBytes}B` : 'not jited'}  memlock ${memlock}B`
  if (info.mapIds.length > 0) out += `  map_ids ${info.mapIds.join(',')}`
  if (info.btfId > 0) out += `\n\tbtf_id ${info.btfId}`
  if (holders.length > 0) out += `\n\tpids ${holders.map(({ pid, comm }) => `${comm}(${pid})`).join(', ')}`
  return `${out}\n`
}

function show(words: readonly string[], options: OutputOptions): void {
  const sys = realSys()
  const boot = bootTime()
  const found = holders().prog_id
  const rows: Row[] = []
  if (words.length > 0) {
    const { fds, rest } = select(sys, 'program', words)
    if (rest.length > 0)
      throw new UsageError('cli.words', `nothing is expected behind ${words.slice(0, 2).join(' ')}: ${rest.join(' ')}`)
    for (const owned of fds) {
      using fd = owned
      rows.push(rowOf(sys, fd, boot, found))
    }
  } else
    for (const id of objectIds(sys, 'program')) {
      using fd = openById(sys, 'program', id)
      if (fd !== undefined) rows.push(rowOf(sys, fd, boot, found))
    }
  if (wantsJson(options))
    printJson(words.length > 0 && rows.length === 1 ? rowJson(rows[0]) : rows.map(rowJson), options)
  else for (const row of rows) process.stdout.write(rowText(row))
}

const CALL = CLASS.jmp | JMP.call

function hasCalls(xlated: Uint8Array): boolean {
  for (let at = 0; at < xlated.length; at += SLOT_BYTES) if (xlated[at] === CALL) return true
  return false
}

interface DumpWords extends DumpOptions {
  readonly file?: string
}

function dumpWords(words: readonly string[]): DumpWords {
  let out: DumpWords = {}
  for (let i = 0; i < words.length; i++) {
    const word = fullWord(words[i], ['opcodes', 'linum', 'file'])
    if (word === 'file') {
      if (words[i + 1] === undefined) throw new UsageError('cli.words', "'file' needs a path")
      out = { ...out, file: words[++i] }
    } else if (word === undefined)
      throw new UsageError('cli.words', `expected opcodes, linum or file, got ${JSON.stringify(words[i])}`)
    else out = { ...out, [word]: true }
  }
  return out
}

async function dump(what: string, words: readonly string[], options: OutputOptions): Promise<void> {
  const kind = fullWord(what, ['xlated', 'jited'])
  if (kind === undefined) throw new UsageError('cli.words', `expected xlated or jited, got ${JSON.stringify(what)}`)
  const sys = realSys()
  const { fds, rest } = select(sys, 'program', words)
  const form = dumpWords(rest)
  const documents: Json[] = []
  for (const owned of fds) {
    using fd = owned
    const details = programDetails(sys, fd.fd)
    const code = kind === 'xlated' ? details.xlated : details.jited
    if (code.length === 0)
      throw new NegativeError(
        'dump.hidden',
        kind === 'jited' && details.jitedBytes === 0
          ? `program ${details.id} is not jited`
          : `the kernel hides the ${kind} code of program ${details.id}: it needs CAP_SYS_ADMIN, kernel.kptr_restrict below 2 and net.core.bpf_jit_harden below 2`,
      )
    if (form.file !== undefined) {
      writeFileSync(form.file, code)
      continue
    }
    const btf = btfOf(sys, details.btfId)
    // reading all symbols takes longer than all the rest: only where something is called
    const symbols = kind === 'jited' || hasCalls(details.xlated) ? kernelSymbols() : NO_SYMBOLS
    if (!wantsJson(options) && fds.length > 1) process.stdout.write(`${details.id}: ${details.name}\n`)
    if (kind === 'xlated') {
      if (wantsJson(options)) documents.push(xlatedJson(details, btf, symbols, form))
      else process.stdout.write(xlatedText(details, btf, symbols, form))
    } else {
      const functions = await disassembleJited(details, btf, symbols.nameAt)
      if (wantsJson(options)) documents.push(jitedJson(functions, form))
      else process.stdout.write(jitedText(functions, form))
    }
  }
  if (wantsJson(options) && form.file === undefined)
    printJson(documents.length === 1 ? documents[0] : documents, options)
}

const HANDLE = 'id ID | tag TAG | name NAME | pinned PATH'

export function register(program: Command): void {
  const prog = program.command('prog').description('show and dump the programs in the kernel')
  withOutput(prog.command('show').alias('list'))
    .description('list all programs, or those that the words name')
    .argument('[program...]', HANDLE)
    .action(show)
  withOutput(prog.command('dump'))
    .description('instructions as the verifier left them (xlated) or machine code (jited), with source lines')
    .argument('<what>', 'xlated or jited')
    .argument('<program...>', `${HANDLE}, then: opcodes, linum, file PATH`)
    .action(dump)
  prog
    .command('pin')
    .description('pin a program to a path of a BPF file system')
    .argument('<program...>', `${HANDLE}, then the path`)
    .action((words: string[]) => {
      const sys = realSys()
      const { fd: owned, rest } = selectOne(sys, 'program', words)
      using fd = owned
      if (rest.length !== 1) throw new UsageError('cli.words', 'one path is needed behind the program')
      pin(sys, fd.fd, rest[0])
    })
}
