import { SystemError, UnsupportedError, UsageError } from '../errors/index.ts'
import {
  type Feature,
  helperFeatures,
  instructionFeature,
  mapTypeFeature,
  programTypeFeature,
  realSys,
  type Sys,
} from '../syscall/index.ts'
import {
  ATTACH_TYPES,
  HELPER_NAMES,
  LINK_TYPES,
  MAP_TYPES,
  type MapType,
  PROGRAM_TYPES,
  type ProgramType,
} from '../uapi/index.ts'
import { BPF_CAPABILITIES, dropBpfCapabilities } from './capabilities.ts'
import { collectFacts, type HostFacts } from './doctor/facts.ts'
import type { Json } from './objects/json.ts'
import { printJson } from './objects/options.ts'
import { fullWord } from './objects/select.ts'
import type { Context } from './words/noun.ts'
import { print } from './words/output.ts'

/** Kernel options that bpftool reports, in its order. */
const OPTIONS = [
  'BPF',
  'BPF_SYSCALL',
  'HAVE_EBPF_JIT',
  'BPF_JIT',
  'BPF_JIT_ALWAYS_ON',
  'DEBUG_INFO_BTF',
  'DEBUG_INFO_BTF_MODULES',
  'CGROUPS',
  'CGROUP_BPF',
  'CGROUP_NET_CLASSID',
  'SOCK_CGROUP_DATA',
  'BPF_EVENTS',
  'KPROBE_EVENTS',
  'UPROBE_EVENTS',
  'TRACING',
  'FTRACE_SYSCALLS',
  'FUNCTION_ERROR_INJECTION',
  'BPF_KPROBE_OVERRIDE',
  'NET',
  'XDP_SOCKETS',
  'LWTUNNEL_BPF',
  'NET_ACT_BPF',
  'NET_CLS_BPF',
  'NET_CLS_ACT',
  'NET_SCH_INGRESS',
  'XFRM',
  'IP_ROUTE_CLASSID',
  'IPV6_SEG6_BPF',
  'BPF_LIRC_MODE2',
  'BPF_STREAM_PARSER',
  'NETFILTER_XT_MATCH_BPF',
  'BPFILTER',
  'BPFILTER_UMH',
  'TEST_BPF',
  'HZ',
] as const

const SYSCTLS = [
  ['unprivileged_bpf_disabled', 'kernel.unprivileged_bpf_disabled'],
  ['bpf_jit_enable', 'net.core.bpf_jit_enable'],
  ['bpf_jit_harden', 'net.core.bpf_jit_harden'],
  ['bpf_jit_kallsyms', 'net.core.bpf_jit_kallsyms'],
  ['bpf_jit_limit', 'net.core.bpf_jit_limit'],
] as const

/** Helpers by number, as C names them. */
const HELPERS: readonly string[] = HELPER_NAMES.map((name) => `bpf_${name}`)

/** Probing these leaves a line in the kernel's log: only with `full`, as in bpftool. */
const NOISY: ReadonlySet<string> = new Set(['bpf_trace_printk', 'bpf_trace_vprintk', 'bpf_probe_write_user'])

const MISC = [
  { key: 'have_large_insn_limit', probe: 'one million instructions', text: 'Large program size limit' },
  { key: 'have_bounded_loops', probe: 'bounded loops', text: 'Bounded loop support' },
  { key: 'have_v2_isa_extension', probe: 'cpu v2', text: 'ISA extension v2' },
  { key: 'have_v3_isa_extension', probe: 'cpu v3', text: 'ISA extension v3' },
  { key: 'have_v4_isa_extension', probe: 'cpu v4', text: 'ISA extension v4' },
] as const

const names = <K extends string>(table: Readonly<Record<K, number>>): K[] =>
  (Object.keys(table) as K[]).filter((name) => table[name] !== 0 || !['unspec'].includes(name))

interface Found {
  readonly facts: HostFacts
  readonly programTypes: ReadonlyMap<ProgramType, Feature>
  readonly mapTypes: ReadonlyMap<MapType, Feature>
  /** Helpers that the kernel offers each type; absent where probing it is inconclusive. */
  readonly helpers: ReadonlyMap<ProgramType, readonly string[]>
  readonly misc: ReadonlyMap<string, Feature>
}

/** @throws SystemError `feature.privilege`: the kernel's answers would be about the privilege, not about the kernel */
function mustBePrivileged({ capabilities = 0n }: HostFacts): void {
  const missing = Object.entries(BPF_CAPABILITIES).flatMap(([name, bit]) =>
    ((capabilities >> BigInt(bit)) & 1n) === 0n ? [name] : [],
  )
  if (missing.length > 0)
    throw new SystemError('feature.privilege', `a full probe needs ${missing.join(', ')}`, {
      details: ["run as root, or add 'unprivileged' to ask what a process without them may use"],
    })
}

const has = (feature: Feature | undefined): boolean => feature?.answer === 'supported'

function probe(sys: Sys, facts: HostFacts, full: boolean): Found {
  const programTypes = new Map(names(PROGRAM_TYPES).map((type) => [type, programTypeFeature(sys, type)]))
  const mapTypes = new Map(names(MAP_TYPES).map((type) => [type, mapTypeFeature(sys, type)]))
  const helpers = new Map<ProgramType, string[]>()
  const asked = [...HELPERS.keys()].filter((helper) => helper > 0 && (full || !NOISY.has(HELPERS[helper])))
  for (const [type, feature] of programTypes) {
    if (!has(feature)) continue
    const answers = helperFeatures(sys, type, asked)
    helpers.set(
      type,
      asked.filter((_, i) => has(answers[i])).map((helper) => HELPERS[helper]),
    )
  }
  const misc = new Map(MISC.map(({ key, probe: name }) => [key as string, instructionFeature(sys, name)]))
  return { facts, programTypes, mapTypes, helpers, misc }
}

/** A sysctl; -1 when it cannot be read, as in bpftool. */
const number = (text: string | undefined): number => (text === undefined ? -1 : Number(text))

/** CONFIG_HZ is a number in text, as bpftool has it. */
function toTree({ facts, programTypes, mapTypes, helpers, misc }: Found): Json {
  const inconclusive = [...programTypes, ...mapTypes].flatMap(([name, feature]) =>
    feature.answer === 'inconclusive' ? [{ name, why: feature.why }] : [],
  )
  return {
    system_config: {
      ...Object.fromEntries(SYSCTLS.map(([key, name]) => [key, number(facts.sysctls.get(name))])),
      ...Object.fromEntries(OPTIONS.map((option) => [`CONFIG_${option}`, facts.config?.get(option) ?? null])),
    },
    syscall_config: { have_bpf_syscall: true },
    program_types: Object.fromEntries(
      [...programTypes].map(([name, feature]) => [`have_${name}_prog_type`, has(feature)]),
    ),
    map_types: Object.fromEntries([...mapTypes].map(([name, feature]) => [`have_${name}_map_type`, has(feature)])),
    helpers: Object.fromEntries(
      [...programTypes.keys()].map((name) => [`${name}_available_helpers`, helpers.get(name) ?? []]),
    ),
    misc: Object.fromEntries([...misc].map(([key, feature]) => [key, has(feature)])),
    inconclusive,
  }
}

const available = (feature: Feature): string =>
  feature.answer === 'supported'
    ? 'is available'
    : feature.answer === 'unsupported'
      ? `is NOT available${feature.since === undefined ? '' : ` (since Linux ${feature.since})`}`
      : `cannot be told: ${feature.why}`

function toText({ facts, programTypes, mapTypes, helpers, misc }: Found): string {
  let out = 'Scanning system configuration...\n'
  for (const [, name] of SYSCTLS) out += `${name} is ${facts.sysctls.get(name) ?? 'not readable'}\n`
  for (const option of OPTIONS) {
    const value = facts.config?.get(option)
    out += `CONFIG_${option} ${facts.config === undefined ? 'is unknown' : value === undefined ? 'is not set' : `is set to ${value}`}\n`
  }
  out += '\nScanning system call availability...\nbpf() syscall is available\n\nScanning eBPF program types...\n'
  for (const [name, feature] of programTypes) out += `eBPF program_type ${name} ${available(feature)}\n`
  out += '\nScanning eBPF map types...\n'
  for (const [name, feature] of mapTypes) out += `eBPF map_type ${name} ${available(feature)}\n`
  out += '\nScanning eBPF helper functions...\n'
  for (const [name, list] of helpers)
    out += `eBPF helpers supported for program type ${name}:\n${list.map((helper) => `\t- ${helper}\n`).join('')}`
  out += '\nScanning miscellaneous eBPF features...\n'
  for (const { key, text } of MISC)
    out += `${text} ${available(misc.get(key) ?? { answer: 'inconclusive', why: 'not probed' })}\n`
  return out
}

function toMacros({ facts, programTypes, mapTypes, helpers, misc }: Found, prefix: string): string {
  const define = (name: string, feature: Feature | undefined): string =>
    `#define ${prefix}${has(feature) ? '' : 'NO_'}HAVE_${name.toUpperCase()}\n`.replace('NO_HAVE_', 'NO_')
  let out = `/*** System call availability ***/\n#define ${prefix}HAVE_BPF_SYSCALL\n\n/*** eBPF program types ***/\n`
  for (const [name, feature] of programTypes) out += define(`${name}_prog_type`, feature)
  out += '\n/*** eBPF map types ***/\n'
  for (const [name, feature] of mapTypes) out += define(`${name}_map_type`, feature)
  out += `\n/*** eBPF helper functions ***/\n#define ${prefix}HAVE_PROG_TYPE_HELPER(prog_type, helper)\t${prefix}BPF__PROG_TYPE_ ## prog_type ## __HELPER_ ## helper\n`
  for (const [type, list] of helpers) {
    const there = new Set(list)
    for (const name of HELPERS.slice(1))
      out += `#define ${prefix}BPF__PROG_TYPE_${type}__HELPER_${name} ${there.has(name) ? 1 : 0}\n`
  }
  out += '\n/*** eBPF misc features ***/\n'
  for (const { key } of MISC) out += define(key.slice('have_'.length), misc.get(key))
  out += `\n/*** Kernel configuration ***/\n`
  for (const option of OPTIONS) {
    const value = facts.config?.get(option)
    if (value !== undefined) out += `#define ${prefix}CONFIG_${option} ${value}\n`
  }
  return out
}

/** `feature probe [kernel] [full] [unprivileged] [macros [prefix PREFIX]]`. */
export function probeWords(words: readonly string[], context: Context): void {
  const asked = { full: false, macros: false, unprivileged: false }
  let prefix = ''
  for (let i = 0; i < words.length; i++) {
    const word = fullWord(words[i], ['kernel', 'full', 'unprivileged', 'macros', 'prefix', 'dev'])
    if (word === 'full' || word === 'macros' || word === 'unprivileged') asked[word] = true
    else if (word === 'prefix') {
      prefix = words[++i] ?? ''
      if (!/^[A-Za-z_]\w*$/.test(prefix))
        throw new UsageError('cli.prefix', `prefix: ${JSON.stringify(words[i] ?? '')} is no C name`)
    } else if (word === 'dev')
      throw new UnsupportedError('feature.probe', "'dev': what a network device runs itself is not probed")
    else if (word === undefined)
      throw new UsageError(
        'cli.words',
        `expected kernel, full, unprivileged, macros or prefix NAME, got ${JSON.stringify(words[i])}`,
      )
  }
  const sys = realSys()
  if (asked.unprivileged) dropBpfCapabilities(sys)
  const facts = collectFacts()
  if (!asked.unprivileged) mustBePrivileged(facts)
  const found = probe(sys, facts, asked.full)
  if (context.json === true) printJson(toTree(found), context)
  else print(asked.macros ? toMacros(found, prefix) : toText(found))
}

const BUILTINS: Readonly<Record<string, () => readonly string[]>> = {
  prog_types: () => names(PROGRAM_TYPES),
  map_types: () => names(MAP_TYPES),
  attach_types: () => Object.keys(ATTACH_TYPES),
  link_types: () => Object.keys(LINK_TYPES).filter((name) => name !== 'unspec'),
  helpers: () => HELPERS.slice(1),
}

/** `feature list_builtins GROUP`. */
export function listBuiltins(words: readonly string[], context: Context): void {
  const key = words.length === 1 ? fullWord(words[0], Object.keys(BUILTINS)) : undefined
  if (key === undefined)
    throw new UsageError(
      'cli.words',
      `expected ${Object.keys(BUILTINS).join(', ')}, got ${JSON.stringify(words.join(' '))}`,
    )
  const list = BUILTINS[key]()
  if (context.json === true) printJson([...list], context)
  else print(`${list.join('\n')}\n`)
}
