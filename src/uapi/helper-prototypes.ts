import recorded from './helper-prototypes.json' with { type: 'json' }

/** A row: return type, arguments (spaces between), flags; types are the kernel's names joined by `|`, then `:size` or `:struct`. */
export type HelperPrototypeRow = readonly [returns: string, parameters: string, flags: string]

/** The helpers' signatures as scripts/record-helper-prototypes.mjs read them from the kernel's sources. */
export const HELPER_PROTOTYPES: {
  /** bpf_helper_changes_pkt_data(). */
  readonly changesPacket: readonly string[]
  /** is_acquire_function(). */
  readonly acquires: readonly string[]
  /** Helpers that get a sleeping variant in sleepable programs. */
  readonly mightSleepWhenSleepable: readonly string[]
  /** Which row a program type takes where it is not the first: type, helper, index. */
  readonly choice: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly prototypes: Readonly<Record<string, readonly HelperPrototypeRow[]>>
} = recorded as never
