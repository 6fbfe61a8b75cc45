import type { Btf } from './btf.ts'
import { BtfBuilder } from './builder.ts'
import { type BtfType, forEachReference, mapReferences } from './types.ts'

/** Where the types of each input went: `ids[input].get(old id)` is the new id. */
export interface MergedBtf {
  readonly builder: BtfBuilder
  readonly ids: readonly ReadonlyMap<number, number>[]
}

export interface MergeInput {
  readonly btf: Btf
  /** Types to take, with all they refer to; absent: all. */
  readonly roots?: Iterable<number>
  /** Types that are left out even when `roots` is absent (a datasec that the linker makes anew). */
  readonly omit?: (type: BtfType) => boolean
}

/**
 * Puts several BTFs into one and unites equal types. Two types are equal when nothing that can be reached from them
 * differs: found by refining classes until they no longer split, so structs that point to themselves unite, too.
 */
export function mergeBtf(inputs: readonly MergeInput[]): MergedBtf {
  const nodes: { input: number; id: number; type: BtfType; refs: number[] }[] = []
  const index = inputs.map(() => new Map<number, number>())
  inputs.forEach(({ btf, roots, omit }, input) => {
    const take = (id: number): void => {
      if (id === 0 || index[input].has(id)) return
      const type = btf.type(id)
      if (omit?.(type) === true) return
      index[input].set(id, nodes.length)
      nodes.push({ input, id, type, refs: [] })
    }
    if (roots === undefined) for (let id = 1; id < btf.endId; id++) take(id)
    else for (const id of roots) take(id)
    // follow references in order of discovery; the list grows while we go
    const start = nodes.findIndex((node) => node.input === input)
    if (start >= 0) for (let i = start; i < nodes.length; i++) forEachReference(nodes[i].type, take)
  })
  for (const node of nodes)
    forEachReference(node.type, (id) => node.refs.push(id === 0 ? -1 : (index[node.input].get(id) ?? -1)))

  const classes = refine(nodes.map(({ type, refs }) => ({ key: shallowKey(type), refs })))
  const builder = new BtfBuilder()
  const idOfClass = new Map<number, number>()
  nodes.forEach((_, i) => {
    if (!idOfClass.has(classes[i])) idOfClass.set(classes[i], builder.declare())
  })
  const defined = new Set<number>()
  nodes.forEach((node, i) => {
    if (defined.has(classes[i])) return
    defined.add(classes[i])
    const newId = (id: number): number => {
      const target = id === 0 ? undefined : index[node.input].get(id)
      return target === undefined ? 0 : (idOfClass.get(classes[target]) as number)
    }
    builder.define(idOfClass.get(classes[i]) as number, mapReferences(node.type, newId))
  })
  const ids = index.map(
    (map) => new Map([...map].map(([id, node]) => [id, idOfClass.get(classes[node]) as number] as const)),
  )
  return { builder, ids }
}

/** What a type says without its references. */
function shallowKey(type: BtfType): string {
  return JSON.stringify(
    mapReferences(type, (id) => (id === 0 ? 0 : 1)),
    (_, value) => (typeof value === 'bigint' ? `${value}n` : value),
  )
}

/** Classes of nodes that cannot be told apart by any path of references. */
function refine(nodes: readonly { readonly key: string; readonly refs: readonly number[] }[]): Int32Array {
  let classes = new Int32Array(nodes.length)
  let count = 0
  const first = new Map<string, number>()
  nodes.forEach(({ key }, i) => {
    let found = first.get(key)
    if (found === undefined) first.set(key, (found = count++))
    classes[i] = found
  })
  for (;;) {
    const next = new Int32Array(nodes.length)
    const seen = new Map<string, number>()
    nodes.forEach(({ refs }, i) => {
      let key = `${classes[i]}`
      for (const ref of refs) key += `,${ref < 0 ? -1 : classes[ref]}`
      let found = seen.get(key)
      if (found === undefined) seen.set(key, (found = seen.size))
      next[i] = found
    })
    if (seen.size === count) return classes
    count = seen.size
    classes = next
  }
}
