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

/** How to name an object. */
export const HANDLES = {
  program: '{ id ID | tag TAG | name NAME | pinned PATH }',
  map: '{ id ID | name NAME | pinned PATH }',
  link: '{ id ID | pinned PATH }',
} as const
