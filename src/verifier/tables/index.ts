/**
 * The facts that the verifier model asks for: helpers, context accesses and return ranges per program type, read from
 * the recorded profiles of src/uapi/profiles. `tables` is Linux 6.18's.
 */
import {
  ATTACH_TYPES,
  HELPER_PROTOTYPES,
  helperName,
  PROFILE_6_18,
  PROGRAM_TYPES,
  type Profile,
  type ProfileProgram,
  type ProfileTargets,
  programTypeName,
  TARGETS_6_18,
} from '../../uapi/index.ts'
import type { HelperPrototype, ProgramFacts, ReturnRange, VerifierTables } from '../kernel/prototype.ts'
import { ContextTable } from './contexts.ts'
import { helpersOfLsm, helpersOfProgram, helpersOfTarget } from './helpers.ts'
import { LSM_KFUNCS } from './lsm.ts'

interface Facts {
  readonly helpers: readonly (HelperPrototype | undefined)[]
  readonly context: ContextTable | undefined
  readonly returns: ReturnRange | undefined
}

const NO_HELPERS: readonly (HelperPrototype | undefined)[] = []

/** Why BPF_PROG_LOAD would refuse this program type or attach type before its verifier runs; undefined when it would not. */
export type LoadRefusal = (program: ProgramFacts) => string | undefined

const KPROBE = PROGRAM_TYPES.kprobe
const SESSIONS: ReadonlySet<number> = new Set([ATTACH_TYPES.trace_kprobe_session, ATTACH_TYPES.trace_uprobe_session])

class ProfileTables implements VerifierTables {
  #profile: Profile
  #targets: ProfileTargets
  #ofTargets = new Map<string, Facts | undefined>()
  #kfuncSets = new Map<string, ReadonlySet<string>>()
  #contexts = new Map<string, ContextTable>()
  #facts = new Map<number, Facts | undefined>()
  #knownKfuncs: ReadonlySet<string> | undefined
  #lastKey = -1
  #last: Facts | undefined

  constructor(profile: Profile, targets: ProfileTargets) {
    this.#profile = profile
    this.#targets = targets
  }

  tracepointNulls(name: string): number | undefined {
    return this.#targets.tracepointNulls[name]
  }

  mayCallKfunc(program: ProgramFacts, name: string): boolean | undefined {
    const targets = this.#targets
    const { targetKey } = program
    const row =
      targetKey === undefined
        ? targets.kfuncs[programTypeName(program.type) ?? '']
        : (targets.programs[targetKey] ?? targets.programs[/^(tracing|lsm)-/.test(targetKey) ? 'tracing-raw_tp' : ''])
            ?.kfuncs
    if (row === undefined) return undefined
    if (targetKey?.startsWith('lsm') === true) {
      if (LSM_KFUNCS.has(name)) return true
      if (!this.#isKnownKfunc(name)) return undefined
    }
    // Sessions are told by the attach type, with which kernel functions were not recorded.
    if (program.type === KPROBE && name.startsWith('bpf_session_') && SESSIONS.has(program.expectedAttachType))
      return true
    let set = this.#kfuncSets.get(row)
    if (set === undefined) this.#kfuncSets.set(row, (set = new Set(targets.kfuncSets[row])))
    return set.has(name)
  }

  /** The recorded kernel opens it to some program. */
  #isKnownKfunc(name: string): boolean {
    this.#knownKfuncs ??= new Set(Object.values(this.#targets.kfuncSets).flat())
    return this.#knownKfuncs.has(name)
  }

  helper(program: ProgramFacts, id: number): HelperPrototype | undefined {
    return (this.#of(program)?.helpers ?? NO_HELPERS)[id]
  }

  helperName(id: number): string | undefined {
    return helperName(id)
  }

  changesPacket(id: number): boolean {
    const name = helperName(id)
    return name !== undefined && HELPER_PROTOTYPES.changesPacket.includes(name)
  }

  context(program: ProgramFacts, offset: number, size: number, write: boolean, signExtending: boolean) {
    return this.#of(program)?.context?.access(offset, size, write, signExtending)
  }

  returns(program: ProgramFacts): ReturnRange | { readonly unsupported: string } | undefined {
    const facts = this.#of(program)
    if (facts === undefined) return { unsupported: this.unsupportedProgram(program) ?? 'this program type' }
    return facts.returns
  }

  unsupportedProgram(program: ProgramFacts): string | undefined {
    if (this.#of(program) !== undefined) return undefined
    const name = programTypeName(program.type) ?? String(program.type)
    return `program type ${name}: its rules depend on the attach target's types`
  }

  /** See {@link LoadRefusal}. */
  refusal(program: ProgramFacts): string | undefined {
    const name = programTypeName(program.type)
    if (name === undefined || name === 'unspec' || this.#profile.invalid.includes(name))
      return `this kernel has no program type ${name ?? program.type}`
    const attachTypes = this.#profile.attachTypes[name]
    if (attachTypes !== undefined && attachTypes !== 'any' && !attachTypes.includes(program.expectedAttachType))
      return `program type ${name} does not take the attach type ${program.expectedAttachType}`
    return undefined
  }

  #of(program: ProgramFacts): Facts | undefined {
    return program.targetKey === undefined ? this.#ofType(program) : this.#ofTarget(program.targetKey)
  }

  #ofTarget(key: string): Facts | undefined {
    if (this.#ofTargets.has(key)) return this.#ofTargets.get(key)
    const helpers = key.startsWith('lsm') ? helpersOfLsm(this.#targets, key) : helpersOfTarget(this.#targets, key)
    const returns = /^tracing-f/.test(key)
      ? { minimum: 0, maximum: 0, return32: false }
      : key.startsWith('tracing-iter')
        ? { minimum: 0, maximum: 1, return32: false }
        : undefined
    const facts = helpers === undefined ? undefined : { helpers, context: undefined, returns }
    this.#ofTargets.set(key, facts)
    return facts
  }

  #ofType(program: ProgramFacts): Facts | undefined {
    const key = program.type * 1024 + program.expectedAttachType * 2 + (program.sleepable ? 1 : 0)
    if (key === this.#lastKey) return this.#last
    let facts = this.#facts.get(key)
    if (facts === undefined && !this.#facts.has(key)) {
      const row = this.#row(program)
      facts = row === undefined ? undefined : this.#build(row)
      this.#facts.set(key, facts)
    }
    this.#lastKey = key
    this.#last = facts
    return facts
  }

  /** The recorded program; an attach type that changes nothing was recorded as 0. */
  #row(program: ProgramFacts): ProfileProgram | undefined {
    const ofType = this.#profile.programs.filter((p) => PROGRAM_TYPES[p.type as never] === program.type)
    const ofAttach = ofType.filter((p) => p.attachType === program.expectedAttachType)
    const candidates = ofAttach.length > 0 ? ofAttach : ofType.filter((p) => p.attachType === 0)
    return candidates.find((p) => (p.sleepable === true) === program.sleepable) ?? candidates[0]
  }

  #build(row: ProfileProgram): Facts {
    let context = this.#contexts.get(row.context)
    if (context === undefined) {
      context = new ContextTable(this.#profile, row.context)
      this.#contexts.set(row.context, context)
    }
    return {
      helpers: helpersOfProgram(this.#profile, row),
      context,
      returns: row.returns === null ? undefined : { minimum: row.returns[0], maximum: row.returns[1], return32: false },
    }
  }
}

/** The tables of a recorded kernel. */
export function tablesOf(
  profile: Profile,
  targets: ProfileTargets,
): VerifierTables & { readonly refusal: LoadRefusal } {
  return new ProfileTables(profile, targets)
}

/** Linux 6.18, x86-64. */
export const tables: VerifierTables & { readonly refusal: LoadRefusal } = tablesOf(PROFILE_6_18, TARGETS_6_18)
