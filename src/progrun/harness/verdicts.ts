import type { ProgramType } from '../../uapi/index.ts'

/** Names of return values, by program type (include/uapi/linux/bpf.h, pkt_cls.h, netfilter.h). */
const TC = {
  TC_ACT_UNSPEC: -1,
  TC_ACT_OK: 0,
  TC_ACT_RECLASSIFY: 1,
  TC_ACT_SHOT: 2,
  TC_ACT_PIPE: 3,
  TC_ACT_STOLEN: 4,
  TC_ACT_QUEUED: 5,
  TC_ACT_REPEAT: 6,
  TC_ACT_REDIRECT: 7,
  TC_ACT_TRAP: 8,
} as const
const SK = { SK_DROP: 0, SK_PASS: 1 } as const
const LWT = { BPF_OK: 0, BPF_DROP: 2, BPF_REDIRECT: 7, BPF_LWT_REROUTE: 128 } as const
/** The uapi has no names for these two. */
const CGROUP = { DENY: 0, ALLOW: 1 } as const

export const VERDICTS = {
  xdp: { XDP_ABORTED: 0, XDP_DROP: 1, XDP_PASS: 2, XDP_TX: 3, XDP_REDIRECT: 4 },
  sched_cls: TC,
  sched_act: TC,
  cgroup_skb: CGROUP,
  cgroup_sock: CGROUP,
  cgroup_sock_addr: CGROUP,
  cgroup_device: CGROUP,
  cgroup_sysctl: CGROUP,
  cgroup_sockopt: CGROUP,
  lwt_in: LWT,
  lwt_out: LWT,
  lwt_xmit: LWT,
  lwt_seg6local: LWT,
  sk_skb: SK,
  sk_msg: SK,
  sk_lookup: SK,
  sk_reuseport: SK,
  flow_dissector: { BPF_OK: 0, BPF_DROP: 2, BPF_FLOW_DISSECTOR_CONTINUE: 129 },
  netfilter: { NF_DROP: 0, NF_ACCEPT: 1 },
} as const satisfies Partial<Record<ProgramType, Readonly<Record<string, number>>>>

export type VerdictName<K extends ProgramType = ProgramType> = K extends keyof typeof VERDICTS
  ? keyof (typeof VERDICTS)[K] & string
  : string

/** The name of a return value (r0 as a signed 32-bit number), undefined where the type names none. */
export function verdictName(type: ProgramType | undefined, value: number): string | undefined {
  const names: Readonly<Record<string, number>> | undefined =
    type !== undefined && Object.hasOwn(VERDICTS, type) ? VERDICTS[type as keyof typeof VERDICTS] : undefined
  return names === undefined ? undefined : Object.entries(names).find(([, number]) => number === value)?.[0]
}

/** The number of a verdict's name; undefined when this type has no such name. */
export function verdictValue(type: ProgramType | undefined, name: string): number | undefined {
  const names: Readonly<Record<string, number>> | undefined =
    type !== undefined && Object.hasOwn(VERDICTS, type) ? VERDICTS[type as keyof typeof VERDICTS] : undefined
  return names !== undefined && Object.hasOwn(names, name) ? names[name] : undefined
}
