import { ATTACH_TYPES, PROGRAM_FLAGS, PROGRAM_TYPES } from '../../../../src/uapi/index.ts'
import type { Random } from '../../verifier/random.ts'
import { argumentsOf, type Kernel, prototypeOf, type Site, type SiteMaker, TRAMPOLINE } from './site.ts'

const WAYS = [
  ['fentry', ATTACH_TYPES.trace_fentry],
  ['fexit', ATTACH_TYPES.trace_fexit],
  ['fmod_ret', ATTACH_TYPES.modify_return],
] as const

/** Functions with rules of their own: for tests, in deny lists, security hooks, system calls, sleeping. */
const SPECIAL: readonly string[] = [
  'bpf_fentry_test1',
  'bpf_modify_return_test',
  'security_file_open',
  'security_inode_getattr',
  '__x64_sys_getpgid',
  'vfs_open',
  'filp_close',
  'dentry_open',
  'vfs_getattr',
  'vfs_truncate',
  'migrate_disable',
  '__rcu_read_lock',
  'do_exit',
  'bpf_sk_storage_free',
  'tcp_connect',
  'kernel_clone',
]

interface Traced {
  readonly id: number
  readonly name: string
}

/**
 * Functions of the kernel that BTF describes. Only those with an address: without one the kernel refuses, which BTF does not
 * tell (docs/verifier.md).
 */
function traced({ btf, symbols }: Kernel): Traced[] {
  const found: Traced[] = []
  for (let id = 1; btf.has(id); id++)
    if (btf.kind(id) === 'func' && symbols.has(btf.name(id))) found.push({ id, name: btf.name(id) })
  return found
}

export function functionSites(kernel: Kernel): SiteMaker {
  const all = traced(kernel)
  const special = all.filter(({ name }) => SPECIAL.includes(name) || name.startsWith('bpf_lsm_'))
  return (random) => {
    const { id, name } = random.pick(special.length > 0 && random.chance(0.25) ? special : all)
    const proto = prototypeOf(kernel.btf, id)
    const [way, attachType] = random.pick(WAYS)
    const sleepable = random.chance(0.15)
    return {
      what: `${name} ${way}${sleepable ? ' sleepable' : ''}`,
      type: PROGRAM_TYPES.tracing,
      attachType,
      flags: sleepable ? PROGRAM_FLAGS.sleepable : 0,
      target: { attachBtfId: id, attachTo: { name } },
      arguments: proto === undefined ? [] : argumentsOf(kernel.btf, proto),
      helpersOf: TRAMPOLINE,
    }
  }
}

const TYPES = [PROGRAM_TYPES.tracing, PROGRAM_TYPES.lsm, PROGRAM_TYPES.ext]

/** Targets that fit nothing: other kinds of types, none, no id at all, any attach type. */
export function oddSites({ btf }: Kernel): SiteMaker {
  const names = ['vfs_open', 'bpf_lsm_file_open', 'bpf_fentry_test1', 'bpf_iter_task', 'bpf_modify_return_test']
  const ids = names.flatMap((name) => btf.idByName(name, 'func') ?? [])
  return (random) => {
    const target = random.weighted<Site['target']>([
      [4, ids.length === 0 ? {} : { attachBtfId: random.pick(ids) }],
      [3, { attachBtfId: random.between(1, btf.endId + 2) }],
      [1, { attachBtfId: random.pick([btf.endId, 0xfffff, 0x10_0000, 0x7fffffff]) }],
      [1, {}],
    ])
    const type = random.pick(TYPES)
    const attachType =
      type === PROGRAM_TYPES.ext && random.chance(0.9)
        ? 0
        : random.chance(0.8)
          ? random.pick(ODD_ATTACH_TYPES)
          : random.below(Object.keys(ATTACH_TYPES).length + 2)
    return {
      what: `id ${target.attachBtfId ?? 'none'} attach ${attachType}`,
      type,
      attachType,
      flags: flagsOf(random),
      target,
      arguments: [],
      helpersOf: TRAMPOLINE,
    }
  }
}

const ODD_ATTACH_TYPES = [
  ATTACH_TYPES.trace_raw_tp,
  ATTACH_TYPES.trace_fentry,
  ATTACH_TYPES.trace_fexit,
  ATTACH_TYPES.modify_return,
  ATTACH_TYPES.trace_iter,
  ATTACH_TYPES.lsm_mac,
  ATTACH_TYPES.lsm_cgroup,
  0,
]

function flagsOf(random: Random): number {
  return random.chance(0.2) ? PROGRAM_FLAGS.sleepable : 0
}
