import type { OutputOptions } from '../objects/options.ts'

/** The options that stand anywhere on a line, as bpftool has them. */
export interface Context extends OutputOptions {
  /** `-f`: name the paths where objects are pinned. */
  readonly bpffs?: boolean
  /** `-n`: never mount a BPF file system. */
  readonly nomount?: boolean
  /** `-d`: the verifier's log, and every bpf(2) command. */
  readonly debug?: boolean
  /** `-L`. */
  readonly useLoader?: boolean
  /** `-B FILE`: the BTF that another one continues. */
  readonly baseBtf?: string
  /** `-o FILE`. */
  readonly output?: string
}

/** What a verb does with the words behind it; an answer (or promise) that is a number is the exit code. */
export type Action = (words: readonly string[], context: Context) => unknown

/** One thing that can be done with a kind of object: `prog show`. */
export interface Verb {
  readonly name: string
  readonly summary: string
  /** The words that follow, as its help shows them. */
  readonly words: string
  /** Another name that prefixes find too. */
  readonly alias?: string
  /** Its code is imported only when it runs. */
  readonly load: () => Promise<Action>
  /** It prints nothing: `null` in JSON. */
  readonly silent?: boolean
}

/**
 * A kind of object and what can be done with it. The order of the verbs is bpftool's: the first one that a prefix fits
 * is meant (`prog d` is `dump`), the first one of all when none is named.
 */
export interface Noun {
  readonly name: string
  readonly summary: string
  readonly verbs: readonly Verb[]
}

/** What the capital words of usage lines stand for. */
export const LEGEND: Readonly<Record<string, string>> = {
  PROG: '{ id ID | tag TAG | name NAME | pinned PATH }, or a bare id',
  MAP: '{ id ID | name NAME | pinned PATH }, or a bare id',
  LINK: '{ id ID | pinned PATH }, or a bare id',
  DATA: 'bytes: 1 2 0x0f …, or hex 01 02 0f …',
  VALUE: 'DATA; MAP in a map of maps; PROG in a program array',
  ATTACH_TYPE:
    "{ ingress | egress | sock_create | sock_release | sock_ops | device | bind4 | bind6 | connect4 | connect6 | post_bind4 | post_bind6 | getpeername4 | getpeername6 | getsockname4 | getsockname6 | sendmsg4 | sendmsg6 | recvmsg4 | recvmsg6 | sysctl | getsockopt | setsockopt }, or libbpf's name (cgroup_inet4_connect)",
  SKB_TYPE: '{ sk_msg_verdict | sk_skb_verdict | sk_skb_stream_verdict | sk_skb_stream_parser | flow_dissector }',
  NET_TYPE: '{ xdp | xdpgeneric | xdpdrv | xdpoffload | tcx_ingress | tcx_egress }',
  CGROUP: 'a folder of the cgroup2 file system',
}

/** The capital words of a usage line, with those that they name in turn. */
export function legendOf(words: string): readonly (readonly [word: string, meaning: string])[] {
  const found = new Map<string, string>()
  const look = (text: string): void => {
    for (const [word] of text.matchAll(/[A-Z][A-Z_]+/g)) {
      const meaning = LEGEND[word]
      if (meaning === undefined || found.has(word)) continue
      found.set(word, meaning)
      look(meaning)
    }
  }
  look(words)
  return [...found]
}
