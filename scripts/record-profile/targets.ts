/**
 * Records what programs with an attach target may call: helpers of tracing and struct_ops programs, and for every program
 * type the kernel functions (kfuncs) it may name. Writes src/uapi/profiles/ARCH-VERSION-targets.json; run as root.
 *
 *   node --conditions=typebpf-source --import tsx scripts/record-profile/targets.ts [OUTPUT]
 */
import { writeFileSync } from 'node:fs'
import { arch, release } from 'node:os'
import type { Btf } from '../../src/btf/index.ts'
import { kernelBtf } from '../../src/syscall/index.ts'
import { ATTACH_TYPES, PROGRAM_FLAGS, PROGRAM_TYPES } from '../../src/uapi/index.ts'
import { insn, probe, type Target } from './probe.ts'
import { helpersOf } from './programs.ts'

const EXIT = insn(0x95, 0, 0, 0, 0)
const btf = kernelBtf() as Btf
const id = (name: string, kind: 'func' | 'typedef' | 'struct'): number => {
  const found = btf.idByName(name, kind)
  if (found === undefined) throw new Error(`this kernel has no ${kind} ${name}`)
  return found
}
const SLEEPABLE = PROGRAM_FLAGS.sleepable
const tracing = (attachType: number, attachBtfId: number, flags = 0) => ({
  type: PROGRAM_TYPES.tracing,
  attachType,
  attachBtfId,
  flags,
})
const member = (struct: string, name: string): Target => {
  const type = btf.find(struct, 'struct')
  if (type?.kind !== 'struct') throw new Error(struct)
  return {
    type: PROGRAM_TYPES.struct_ops,
    attachType: type.members.findIndex((m) => m.name === name),
    attachBtfId: id(struct, 'struct'),
  }
}
/** A target of each kind that allows something else; the key is what the tables look up. */
const TARGETS: Readonly<Record<string, Target>> = {
  'tracing-raw_tp': tracing(ATTACH_TYPES.trace_raw_tp, id('btf_trace_sched_switch', 'typedef')),
  'tracing-fentry': tracing(ATTACH_TYPES.trace_fentry, id('bpf_fentry_test1', 'func')),
  'tracing-fentry-sleepable': tracing(ATTACH_TYPES.trace_fentry, id('__x64_sys_getpgid', 'func'), SLEEPABLE),
  'tracing-fexit': tracing(ATTACH_TYPES.trace_fexit, id('bpf_fentry_test1', 'func')),
  'tracing-fexit-sleepable': tracing(ATTACH_TYPES.trace_fexit, id('__x64_sys_getpgid', 'func'), SLEEPABLE),
  'tracing-modify_return': tracing(ATTACH_TYPES.modify_return, id('bpf_modify_return_test', 'func')),
  'tracing-modify_return-sleepable': tracing(ATTACH_TYPES.modify_return, id('__x64_sys_getpgid', 'func'), SLEEPABLE),
  'tracing-iter': tracing(ATTACH_TYPES.trace_iter, id('bpf_iter_task', 'func')),
  'tracing-iter-sleepable': tracing(ATTACH_TYPES.trace_iter, id('bpf_iter_task', 'func'), SLEEPABLE),
  'tracing-iter-tcp': tracing(ATTACH_TYPES.trace_iter, id('bpf_iter_tcp', 'func')),
  'tracing-iter-unix': tracing(ATTACH_TYPES.trace_iter, id('bpf_iter_unix', 'func')),
  'struct_ops-tcp_congestion_ops-release': member('tcp_congestion_ops', 'release'),
  'struct_ops-tcp_congestion_ops': member('tcp_congestion_ops', 'ssthresh'),
  'struct_ops-bpf_dummy_ops': member('bpf_dummy_ops', 'test_1'),
}
const PLAIN: Readonly<Record<string, Target>> = Object.fromEntries(
  Object.entries(PROGRAM_TYPES)
    .filter(([name]) => !['unspec', 'tracing', 'struct_ops', 'ext', 'lsm', 'lirc_mode2'].includes(name))
    .map(([name, type]) => [name, { type, attachType: attachOf(name), flags: name === 'syscall' ? SLEEPABLE : 0 }]),
)

function attachOf(name: string): number {
  const needed: Record<string, number> = {
    cgroup_sock_addr: ATTACH_TYPES.cgroup_inet4_bind,
    cgroup_sockopt: ATTACH_TYPES.cgroup_getsockopt,
    sk_lookup: ATTACH_TYPES.sk_lookup,
    netfilter: ATTACH_TYPES.netfilter,
  }
  return needed[name] ?? 0
}

const kfuncIds: number[] = []
for (let i = 1; i < btf.typeCount; i++) {
  const type = btf.kind(i) === 'decl_tag' ? btf.type(i) : undefined
  if (type?.kind === 'decl_tag' && type.name === 'bpf_kfunc') kfuncIds.push(type.type)
}

const sets = new Map<string, string>()
const share = (names: readonly string[], key: string, into: Record<string, readonly string[]>): string => {
  const text = JSON.stringify(names)
  const known = sets.get(text)
  if (known !== undefined) return known
  sets.set(text, key)
  into[key] = names
  return key
}
const kfuncSets: Record<string, readonly string[]> = {}
const helperSets: Record<string, readonly string[]> = {}

function kfuncsOf(key: string, target: Target): string {
  const names: string[] = []
  for (const kfunc of kfuncIds) {
    const { log, result } = probe(target, [insn(0x85, 0, 2, 0, kfunc), EXIT], { logLevel: 1 })
    if (log === '' && result !== 0) throw new Error(`${key}: errno ${-result}`)
    if (!/is not allowed/.test(log)) names.push(btf.name(kfunc))
  }
  return share(names, `${key}-kfuncs`, kfuncSets)
}

/** Policy (a LSM) keeps this kind of program from being loaded here: nothing is recorded. */
const isDenied = (target: Target): boolean => {
  const { result, log } = probe(target, [insn(0xb7, 0, 0, 0, 0), EXIT])
  return result < 0 && log === ''
}
const denied: string[] = []
const programs = Object.fromEntries(
  Object.entries(TARGETS).flatMap(([key, target]) => {
    if (isDenied(target)) {
      denied.push(key)
      return []
    }
    process.stderr.write(`${key} `)
    const { helpers, gplOnly, conditional } = helpersOf(target)
    return [
      [
        key,
        {
          helpers: share(helpers, key, helperSets),
          gplOnly: share(gplOnly, `${key}-gpl`, helperSets),
          ...(Object.keys(conditional).length === 0 ? {} : { conditional }),
          kfuncs: kfuncsOf(key, target),
        },
      ],
    ]
  }),
)
const kfuncs = Object.fromEntries(Object.entries(PLAIN).map(([key, target]) => [key, kfuncsOf(key, target)]))
/** Tracepoints whose arguments may be null (1) or an error (2), a digit an argument from the lowest: enough with a load each. */
const tracepointNulls: Record<string, number> = {}
for (let typedef = 1; typedef < btf.typeCount; typedef++) {
  if (btf.kind(typedef) !== 'typedef' || !btf.name(typedef).startsWith('btf_trace_')) continue
  const pointer = btf.resolve(typedef)
  const proto = pointer.kind === 'ptr' ? btf.type(pointer.type) : pointer
  if (proto.kind !== 'func_proto') continue
  let mask = 0
  for (let i = 0; i + 1 < proto.params.length; i++) {
    const target = tracing(ATTACH_TYPES.trace_raw_tp, typedef)
    const { log } = probe(target, [insn(0x79, 0, 1, 8 * i, 0), insn(0xb7, 0, 0, 0, 0), EXIT])
    if (/R0=\w*ptr_or_null_/.test(log)) mask |= 1 << (4 * i)
    if (/as scalar as it may encode error/.test(log)) mask |= 2 << (4 * i)
  }
  if (mask !== 0) tracepointNulls[btf.name(typedef).slice('btf_trace_'.length)] = mask
}
const name = `${arch() === 'x64' ? 'x86_64' : arch()}-${release().split('.').slice(0, 2).join('.')}`
const output = process.argv[2] ?? new URL(`../../src/uapi/profiles/${name}-targets.json`, import.meta.url).pathname
const lines = (rows: object): string =>
  Object.entries(rows)
    .map(([key, value]) => `    ${JSON.stringify(key)}: ${JSON.stringify(value)}`)
    .join(',\n')
writeFileSync(
  output,
  `{
  "comment": "Recorded by scripts/record-profile/targets.ts from a running kernel; do not edit.",
  "denied": ${JSON.stringify(denied)},
  "programs": {
${lines(programs)}
  },
  "helperSets": {
${lines(helperSets)}
  },
  "tracepointNulls": {
${lines(tracepointNulls)}
  },
  "kfuncs": {
${lines(kfuncs)}
  },
  "kfuncSets": {
${lines(kfuncSets)}
  }
}
`,
)
