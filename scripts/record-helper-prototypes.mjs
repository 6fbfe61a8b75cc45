// Reads the helpers' signatures (struct bpf_func_proto) and which of several a program type gets from a kernel source tree
// and writes them as rows: src/uapi/helper-prototypes.json. Availability is not taken from here but recorded by
// scripts/record-profile from a running kernel.
//
//   node scripts/record-helper-prototypes.mjs KERNEL_SOURCE
import { readFileSync, writeFileSync } from 'node:fs'

const root = process.argv[2]
if (root === undefined) throw new Error('usage: record-helper-prototypes.mjs KERNEL_SOURCE')

const FILES =
  'net/core/sock_map.c net/core/filter.c net/core/bpf_sk_storage.c net/ipv4/bpf_tcp_ca.c kernel/trace/bpf_trace.c kernel/bpf/bpf_inode_storage.c kernel/bpf/bpf_iter.c kernel/bpf/stackmap.c kernel/bpf/bpf_cgrp_storage.c kernel/bpf/ringbuf.c kernel/bpf/core.c kernel/bpf/task_iter.c kernel/bpf/bpf_lsm.c kernel/bpf/helpers.c kernel/bpf/syscall.c kernel/bpf/btf.c kernel/bpf/bpf_task_storage.c kernel/bpf/cgroup.c net/netfilter/nf_bpf_link.c'.split(
    ' ',
  )
const text = Object.fromEntries(FILES.map((file) => [file, readFileSync(`${root}/${file}`, 'utf8')]))
const all = Object.values(text).join('\n')

// Signatures by the C name of the prototype.
const prototypes = new Map()
for (const [, name, body] of all.matchAll(/struct bpf_func_proto (\w+)(?: __weak)?\s*=\s*\{([^}]*)\}/g))
  prototypes.set(
    name,
    Object.fromEntries([...body.matchAll(/\.(\w+)\s*=\s*([^,]+?)\s*(?:,|$)/g)].map((m) => [m[1], m[2].trim()])),
  )

// Functions that choose a prototype: what each helper's case returns, in order, and the function that it falls back to.
const selectors = new Map()
const sleepableVariant = new Set()
for (const [file, source] of Object.entries(text))
  for (const [, name, body] of source.matchAll(
    /\n(\w+_func_proto)\(enum bpf_func_id \w+,\s*const struct bpf_prog \*\w+\)\n\{\n([\s\S]*?)\n\}/g,
  )) {
    const cases = new Map()
    const fallbacks = []
    let current = []
    let answered = false
    for (const line of body.split('\n')) {
      const label = /case BPF_FUNC_(\w+):/.exec(line)
      if (label !== null) {
        if (answered) current = []
        answered = false
        current.push(label[1])
        continue
      }
      if (/^\tdefault:/.test(line)) current = []
      if (/return NULL;/.test(line)) answered = true
      // `prog->sleepable ? &a : &b`, on one line or two: they differ in might_sleep only; b is kept, the helper noted.
      let choices = line
      if (/prog->sleepable \? &\w+/.test(line)) {
        for (const helper of current) sleepableVariant.add(helper)
        choices = line.replace(/prog->sleepable \? &\w+/, '')
        if (!choices.includes('&')) continue
      }
      for (const [, proto] of choices.matchAll(/&(\w+_proto\w*)/g)) {
        answered = true
        for (const helper of current) if (!cases.has(helper)) cases.set(helper, proto)
      }
      const call = /(?:return|=) (\w+)\((?:func_id(?:, prog)?)?\);/.exec(line)
      if (call !== null) {
        if (call[1].endsWith('_func_proto')) fallbacks.push(call[1])
        else if (/^bpf_get_\w+_proto$/.test(call[1])) {
          // A function that fills something in and answers the helper's one prototype.
          answered = true
          for (const helper of current) cases.set(helper, `bpf_${helper}_proto`)
        }
      }
    }
    // Two functions share a name: the tracing programs' own one and syscall.c's stand-in.
    const key =
      file === 'kernel/bpf/syscall.c' && name === 'tracing_prog_func_proto' ? 'syscall_tracing_func_proto' : name
    selectors.set(key, { cases, fallbacks })
  }

const SELECTOR = {
  socket_filter: 'sk_filter',
  kprobe: 'kprobe_prog',
  sched_cls: 'tc_cls_act',
  sched_act: 'tc_cls_act',
  tracepoint: 'tp_prog',
  xdp: 'xdp',
  perf_event: 'pe_prog',
  cgroup_skb: 'cg_skb',
  cgroup_sock: 'sock_filter',
  lwt_in: 'lwt_in',
  lwt_out: 'lwt_out',
  lwt_xmit: 'lwt_xmit',
  sock_ops: 'sock_ops',
  sk_skb: 'sk_skb',
  cgroup_device: 'cgroup_dev',
  sk_msg: 'sk_msg',
  raw_tracepoint: 'raw_tp_prog',
  cgroup_sock_addr: 'sock_addr',
  lwt_seg6local: 'lwt_seg6local',
  sk_reuseport: 'sk_reuseport',
  flow_dissector: 'flow_dissector',
  cgroup_sysctl: 'sysctl',
  raw_tracepoint_writable: 'raw_tp_prog',
  cgroup_sockopt: 'cg_sockopt',
  tracing: 'tracing_prog',
  struct_ops: 'bpf_tcp_ca_get',
  lsm: 'bpf_lsm',
  sk_lookup: 'sk_lookup',
  syscall: 'syscall_prog',
  netfilter: 'bpf_nf',
}

function chosen(selector, helper, seen = new Set()) {
  const row = selectors.get(selector)
  if (row === undefined || seen.has(selector)) return undefined
  seen.add(selector)
  const own = row.cases.get(helper)
  if (own !== undefined) return own
  for (const next of row.fallbacks) {
    const found = chosen(
      next === 'tracing_prog_func_proto' && selector === 'syscall_prog_func_proto' ? 'tracing_prog_func_proto' : next,
      helper,
      seen,
    )
    if (found !== undefined) return found
  }
  return selector === 'tracing_prog_func_proto' ? chosen('raw_tp_prog_func_proto', helper, seen) : undefined
}

const SIZES = {
  u32: 4,
  u64: 8,
  s64: 8,
  'struct iphdr': 20,
  'struct ipv6hdr': 40,
  'struct tcphdr': 20,
  long: 8,
  'unsigned long': 8,
  'struct bpf_dynptr_kern': 16,
}
const socks = new Map(
  [
    ...readFileSync(`${root}/include/linux/btf_ids.h`, 'utf8').matchAll(
      /BTF_(?:SOCK|TRACING)_TYPE\((BTF_\w+), (\w+)\)/g,
    ),
  ].map((m) => [m[1], m[2]]),
)
const single = new Map([...all.matchAll(/BTF_ID_LIST_SINGLE\((\w+), struct, (\w+)\)/g)].map((m) => [m[1], m[2]]))
const lists = new Map(
  [...all.matchAll(/BTF_ID_LIST\((\w+)\)\n((?:BTF_ID\(struct, \w+\)\n)+)/g)].map((m) => [
    m[1],
    [...m[2].matchAll(/struct, (\w+)/g)].map((n) => n[1]),
  ]),
)
for (const name of ['bpf_cgroup_btf_id', 'cgroup_btf_id']) single.set(name, 'cgroup') // declared in another file
single.set('tcp_sock_id', 'tcp_sock') // filled at run time by btf_find_by_name_kind
const ALIASES = {
  ARG_PTR_TO_MAP_VALUE_OR_NULL: 'ARG_PTR_TO_MAP_VALUE|PTR_MAYBE_NULL',
  ARG_PTR_TO_MEM_OR_NULL: 'ARG_PTR_TO_MEM|PTR_MAYBE_NULL',
  ARG_PTR_TO_CTX_OR_NULL: 'ARG_PTR_TO_CTX|PTR_MAYBE_NULL',
  ARG_PTR_TO_SOCKET_OR_NULL: 'ARG_PTR_TO_SOCKET|PTR_MAYBE_NULL',
  ARG_PTR_TO_STACK_OR_NULL: 'ARG_PTR_TO_STACK|PTR_MAYBE_NULL',
  ARG_PTR_TO_BTF_ID_OR_NULL: 'ARG_PTR_TO_BTF_ID|PTR_MAYBE_NULL',
  ARG_PTR_TO_UNINIT_MEM: 'ARG_PTR_TO_MEM|MEM_UNINIT|MEM_WRITE',
  ARG_PTR_TO_FIXED_SIZE_MEM: 'ARG_PTR_TO_MEM|MEM_FIXED_SIZE',
  RET_PTR_TO_MAP_VALUE_OR_NULL: 'RET_PTR_TO_MAP_VALUE|PTR_MAYBE_NULL',
  RET_PTR_TO_SOCKET_OR_NULL: 'RET_PTR_TO_SOCKET|PTR_MAYBE_NULL',
  RET_PTR_TO_TCP_SOCK_OR_NULL: 'RET_PTR_TO_TCP_SOCK|PTR_MAYBE_NULL',
  RET_PTR_TO_SOCK_COMMON_OR_NULL: 'RET_PTR_TO_SOCK_COMMON|PTR_MAYBE_NULL',
  RET_PTR_TO_RINGBUF_MEM_OR_NULL: 'RET_PTR_TO_MEM|PTR_MAYBE_NULL|MEM_RINGBUF',
  RET_PTR_TO_DYNPTR_MEM_OR_NULL: 'RET_PTR_TO_MEM|PTR_MAYBE_NULL',
  RET_PTR_TO_BTF_ID_OR_NULL: 'RET_PTR_TO_BTF_ID|PTR_MAYBE_NULL',
  RET_PTR_TO_BTF_ID_TRUSTED: 'RET_PTR_TO_BTF_ID|PTR_TRUSTED',
  ARG_SCALAR: 'ARG_ANYTHING',
}

function typeWord(type, size, btf) {
  let word = type
    .split('|')
    .map((part) => ALIASES[part.trim()] ?? part.trim())
    .join('|')
  if (size !== undefined) {
    const bytes = SIZES[/sizeof\((.+)\)/.exec(size)?.[1] ?? '']
    if (bytes === undefined) throw new Error(`size ${size}`)
    word += `:${bytes}`
  }
  if (btf !== undefined && btf !== 'BPF_PTR_POISON') {
    const list = /&(\w+)\[(\d+)\]/.exec(btf)
    const name =
      socks.get(/\[(\w+)\]/.exec(btf)?.[1] ?? '') ??
      single.get(/&(\w+)/.exec(btf)?.[1] ?? '') ??
      (list === null ? undefined : lists.get(list[1])?.[Number(list[2])])
    if (name === undefined) throw new Error(`BTF id ${btf}`)
    word += `:${name}`
  }
  return word
}

function row(proto) {
  const fields = prototypes.get(proto)
  if (fields === undefined) throw new Error(`no prototype ${proto}`)
  const args = []
  for (let i = 1; i <= 5; i++) {
    const type = fields[`arg${i}_type`]
    if (type === undefined) break
    args.push(typeWord(type, fields[`arg${i}_size`], fields[`arg${i}_btf_id`]))
  }
  const flags = ['gpl_only', 'pkt_access', 'might_sleep', 'allow_fastcall'].filter((flag) => fields[flag] === 'true')
  // A prototype without a return type has 0, which is RET_INTEGER.
  return [typeWord(fields.ret_type ?? 'RET_INTEGER', undefined, fields.ret_btf_id), args.join(' '), flags.join(' ')]
}

const names = [...readFileSync(`${root}/include/uapi/linux/bpf.h`, 'utf8').matchAll(/\tFN\((\w+), (\d+), /g)].map(
  (m) => m[1],
)
const table = {}
const choice = {}
for (const helper of names) {
  const variants = []
  for (const [type, selector] of Object.entries(SELECTOR)) {
    const proto = chosen(`${selector}_func_proto`, helper)
    if (proto === undefined) continue
    const text = JSON.stringify(row(proto))
    let index = variants.indexOf(text)
    if (index < 0) index = variants.push(text) - 1
    if (index > 0) (choice[type] ??= {})[helper] = index
  }
  if (variants.length > 0) table[helper] = variants.map((v) => JSON.parse(v))
}
const changes =
  /bool bpf_helper_changes_pkt_data\(enum bpf_func_id \w+\)\s*\{([\s\S]*?)return true/.exec(all)?.[1] ?? ''
const acquires =
  /static bool is_acquire_function[\s\S]*?return true/.exec(
    readFileSync(`${root}/kernel/bpf/verifier.c`, 'utf8'),
  )?.[0] ?? ''
const idsIn = (source) => [...source.matchAll(/BPF_FUNC_(\w+)/g)].map((m) => m[1])
writeFileSync(
  new URL('../src/uapi/helper-prototypes.json', import.meta.url),
  `{
  "comment": "Written by scripts/record-helper-prototypes.mjs from the sources of the kernel; do not edit. A row: what it returns, its arguments, flags. Several rows: 'choice' names the row of a program type where it is not the first.",
  "changesPacket": ${JSON.stringify(idsIn(changes))},
  "acquires": ${JSON.stringify(idsIn(acquires))},
  "mightSleepWhenSleepable": ${JSON.stringify([...sleepableVariant])},
  "choice": ${JSON.stringify(choice)},
  "prototypes": {
${Object.entries(table)
  .map(([helper, rows]) => `    ${JSON.stringify(helper)}: ${JSON.stringify(rows)}`)
  .join(',\n')}
  }
}
`,
)
const missing = names.filter((n) => table[n] === undefined && n !== 'unspec')
process.stdout.write(`${Object.keys(table).length} helpers; without a prototype: ${missing.join(' ')}\n`)
