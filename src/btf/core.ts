import type { CoreRelocation } from '../asm/index.ts'
import { InputError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import { type Access, describe, matchAccess, parseAccess } from './core-access.ts'
import { CORE_KIND, essentialName, isEnumKind } from './core-names.ts'
import { kindsCompatible } from './core-types.ts'
import { type CoreResult, compute, NOTHING } from './core-values.ts'

/** Where a relocation leads in a target: its type, and the members on the way. */
export interface CoreTarget {
  readonly btf: Btf
  readonly typeId: number
  readonly members: readonly { readonly typeId: number; readonly index: number }[]
}

/**
 * Resolves CO-RE relocations of one object against one target kernel, by libbpf's rules: candidates are target types of
 * the same name without flavour; all that match must agree.
 */
export class CoreResolver {
  readonly local: Btf
  readonly target: Btf
  readonly #modules: readonly Btf[]
  readonly #candidates = new Map<number, { btf: Btf; id: number }[]>()
  readonly #results = new Map<string, CoreResult>()

  /** @param modules BTF of kernel modules (split over `target`), looked at when `target` has no candidate */
  constructor(local: Btf, target: Btf, modules: readonly Btf[] = []) {
    this.local = local
    this.target = target
    this.#modules = modules
  }

  /** @throws InputError `core.relocation` (malformed), `core.ambiguous`, `core.depth` */
  resolve(relocation: CoreRelocation): CoreResult {
    const key = `${relocation.kind} ${relocation.typeId} ${relocation.access}`
    let result = this.#results.get(key)
    if (result === undefined) this.#results.set(key, (result = this.#resolve(relocation)))
    return result
  }

  #resolve(relocation: CoreRelocation): CoreResult {
    const { kind, typeId } = relocation
    const { local } = this
    const access = parseAccess(local, relocation)
    if (kind === CORE_KIND.typeIdLocal)
      return { ...NOTHING, original: BigInt(typeId), value: BigInt(typeId), validate: false }
    const name = local.name(typeId)
    if (name === '')
      throw new InputError('core.relocation', `${describe(local, relocation)}: anonymous types cannot be looked up`)
    const candidates = this.#candidatesOf(typeId, name)
    let chosen: { result: CoreResult; access: Access } | undefined
    const matching: { btf: Btf; id: number }[] = []
    for (const candidate of candidates) {
      const found = matchAccess(access, kind, candidate.btf, candidate.id)
      if (found === undefined) continue
      const result = compute(kind, access, found, relocation)
      if (chosen === undefined) chosen = { result, access: found }
      else if (
        chosen.access.bitOffset !== found.bitOffset ||
        chosen.result.value !== result.value ||
        chosen.result.poison !== result.poison
      )
        throw new InputError(
          'core.ambiguous',
          `${describe(local, relocation)}: the target's types of that name disagree (${chosen.result.value} and ${result.value})`,
        )
      matching.push(candidate)
    }
    if (chosen !== undefined) {
      this.#candidates.set(typeId, matching)
      return chosen.result
    }
    const missing = compute(kind, access, undefined, relocation)
    return missing.poison ? { ...missing, reason: this.#reason(relocation, access, candidates) } : missing
  }

  /** All target types that fit a relocation. @throws InputError `core.relocation` */
  targetsOf(relocation: CoreRelocation): CoreTarget[] {
    const { kind, typeId } = relocation
    const name = this.local.name(typeId)
    if (kind === CORE_KIND.typeIdLocal || name === '') return []
    const access = parseAccess(this.local, relocation)
    return this.#candidatesOf(typeId, name).flatMap(({ btf, id }) => {
      const found = matchAccess(access, kind, btf, id)
      return found === undefined ? [] : [{ btf, typeId: id, members: found.steps }]
    })
  }

  #candidatesOf(typeId: number, name: string): { btf: Btf; id: number }[] {
    let found = this.#candidates.get(typeId)
    if (found !== undefined) return found
    const kind = this.local.kind(typeId)
    const essential = essentialName(name)
    const search = (btf: Btf): { btf: Btf; id: number }[] =>
      idsByEssentialName(btf, essential)
        .filter((id) => kindsCompatible(btf.kind(id), kind))
        .map((id) => ({ btf, id }))
    found = search(this.target)
    if (found.length === 0)
      for (const module of this.#modules) found.push(...search(module).filter(({ id }) => id >= module.firstId))
    this.#candidates.set(typeId, found)
    return found
  }

  #reason(relocation: CoreRelocation, access: Access, candidates: readonly { btf: Btf; id: number }[]): string {
    const kind = this.local.kind(relocation.typeId)
    const name = essentialName(this.local.name(relocation.typeId))
    if (candidates.length === 0) return `this kernel has no ${kind} ${name}`
    if (isEnumKind(relocation.kind))
      return `${kind} ${name} has no value ${essentialName(access.accessors[0].name ?? '')} on this kernel`
    const path: string[] = []
    // the first step that no candidate has
    for (let i = 1; i <= access.accessors.length; i++) {
      const step = access.accessors[i - 1]
      const partial: Access = { ...access, accessors: access.accessors.slice(0, i) }
      const works = candidates.some(({ btf, id }) => matchAccess(partial, CORE_KIND.fieldExists, btf, id) !== undefined)
      if (works) {
        if (step.name !== undefined) path.push(step.name)
        continue
      }
      const holder = path.length === 0 ? name : `${name}.${path.join('.')}`
      return step.name === undefined
        ? `${holder} has no element ${step.index} on this kernel`
        : `${holder} has no field ${step.name} of a matching type on this kernel`
    }
    return `${kind} ${name} does not match on this kernel`
  }
}

const byEssentialName = new WeakMap<Btf, Map<string, readonly number[]>>()

/** Types of a name, and its flavours: NAME___anything. */
function idsByEssentialName(btf: Btf, essential: string): readonly number[] {
  let known = byEssentialName.get(btf)
  if (known === undefined) byEssentialName.set(btf, (known = new Map()))
  let ids = known.get(essential)
  if (ids === undefined) {
    const flavours = btf.idsWithNameStart(`${essential}___`).filter((id) => essentialName(btf.name(id)) === essential)
    ids = [...btf.idsByName(essential), ...flavours].sort((a, b) => a - b)
    known.set(essential, ids)
  }
  return ids
}
