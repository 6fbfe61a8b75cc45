import recorded from './x86_64-6.18.json' with { type: 'json' }
import targets from './x86_64-6.18-targets.json' with { type: 'json' }

/** One program type with one attach type (and sleepable or not) as recorded. */
export interface ProfileProgram {
  readonly type: string
  readonly attachType: number
  readonly sleepable?: boolean
  /** Bounds of R0 at exit, null where any value is taken. */
  readonly returns: readonly [minimum: number, maximum: number] | null
  /** Key of `helperSets`. */
  readonly helpers: string
  /** Key of `contexts`. */
  readonly context: string
  /** Of the profile's `gplOnly`, those that this program may call under any licence. */
  readonly gplFree?: readonly string[]
  /** Helpers known here but refused, with the kernel's words. */
  readonly conditional?: Readonly<Record<string, string>>
}

/** A context: a letter of `accesses` for each offset; `repeats`: bytes 8 to 15 go on up to `size`. */
export interface ProfileContext {
  readonly size: number
  readonly repeats?: boolean
  readonly offsets: readonly string[]
  /** Offsets -8 to -1 where they are legal; the pattern goes on downwards. */
  readonly negative?: readonly string[]
}

/** What a kernel allows, recorded from it by scripts/record-profile. */
export interface Profile {
  readonly kernel: { readonly version: string; readonly release: string; readonly architecture: string }
  /** Program types that policy kept from being recorded. */
  readonly denied: readonly string[]
  /** Program types that this kernel does not have. */
  readonly invalid: readonly string[]
  /** Program types whose rules depend on an attach target. */
  readonly needTarget: readonly string[]
  /** Attach types that load; others are refused before the verifier speaks. */
  readonly attachTypes: Readonly<Record<string, readonly number[] | 'any'>>
  readonly gplOnly: readonly string[]
  readonly programs: readonly ProfileProgram[]
  readonly helperSets: Readonly<Record<string, readonly string[]>>
  readonly contexts: Readonly<Record<string, ProfileContext>>
  readonly accesses: Readonly<Record<string, string>>
}

/** One kind of attach target as recorded: keys of `helperSets` and `kfuncSets`. */
export interface ProfileTarget {
  readonly helpers: string
  readonly gplOnly: string
  readonly conditional?: Readonly<Record<string, string>>
  readonly kfuncs: string
}

/** What programs with an attach target may call, and every program type's kernel functions. */
export interface ProfileTargets {
  /** By kind of target: `tracing-raw_tp`. */
  readonly programs: Readonly<Record<string, ProfileTarget>>
  readonly helperSets: Readonly<Record<string, readonly string[]>>
  /** Arguments of tracepoints that may be null (bit 0) or an error (bit 1), four bits an argument. */
  readonly tracepointNulls: Readonly<Record<string, number>>
  /** Key of `kfuncSets` by program type. */
  readonly kfuncs: Readonly<Record<string, string>>
  readonly kfuncSets: Readonly<Record<string, readonly string[]>>
}

/** Linux 6.18 on x86-64: programs with an attach target. */
export const TARGETS_6_18: ProfileTargets = targets as unknown as ProfileTargets

/** Linux 6.18 on x86-64. */
export const PROFILE_6_18: Profile = recorded as unknown as Profile

/** Profiles by kernel version. */
export const PROFILES: Readonly<Record<string, Profile>> = { '6.18': PROFILE_6_18 }
