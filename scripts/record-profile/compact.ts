import { NOTHING, type RecordedContext } from './context.ts'
import type { RecordedProgram } from './programs.ts'

const ALPHABET = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
const rows = (entries: readonly string[]): string => entries.map((entry) => `    ${entry}`).join(',\n')
const pair = (key: string, value: unknown): string => `${JSON.stringify(key)}: ${JSON.stringify(value)}`

/** The recording as written: helper sets and contexts that several programs share stand once;
 * in a context each offset is one letter, sixteen a line, a dot where nothing is legal. */
export function deflate(recorded: {
  readonly kernel: object
  readonly programs: readonly RecordedProgram[]
  readonly denied: readonly string[]
  readonly invalid: readonly string[]
  readonly needTarget: readonly string[]
  readonly attachTypes: object
}): string {
  const helperSets = new Map<string, { name: string; set: readonly string[] }>()
  const contexts = new Map<string, { name: string; context: RecordedContext }>()
  const programs = recorded.programs.map(({ helpers, gplOnly, conditional, context, ...rest }) => {
    const helperKey = JSON.stringify(helpers)
    if (!helperSets.has(helperKey)) helperSets.set(helperKey, { name: `${rest.type}-${rest.attachType}`, set: helpers })
    const contextKey = JSON.stringify(context)
    if (!contexts.has(contextKey)) contexts.set(contextKey, { name: `${rest.type}-${rest.attachType}`, context })
    return {
      ...rest,
      helpers: helperSets.get(helperKey)?.name,
      context: contexts.get(contextKey)?.name,
      gplOnly,
      ...(Object.keys(conditional).length === 0 ? {} : { conditional }),
    }
  })
  const letters = new Map<string, string>([[NOTHING, '.']])
  const letter = (accesses: string): string => {
    let known = letters.get(accesses)
    if (known === undefined) {
      known = ALPHABET[letters.size - 1]
      if (known === undefined) throw new Error('more kinds of context access than letters')
      letters.set(accesses, known)
    }
    return known
  }
  const lines = (offsets: readonly string[]): string[] =>
    Array.from({ length: Math.ceil(offsets.length / 16) }, (_, i) =>
      offsets
        .slice(i * 16, i * 16 + 16)
        .map(letter)
        .join(''),
    )
  const contextRows = [...contexts.values()].map(({ name, context }) =>
    pair(name, {
      size: context.size,
      ...(context.repeats ? { repeats: true } : {}),
      offsets: lines(context.offsets),
      ...(context.negative === undefined ? {} : { negative: lines(context.negative) }),
    }),
  )
  const common = programs.length === 0 ? [] : [...new Set(programs.flatMap((p) => p.gplOnly))].sort()
  const slim = programs.map(({ gplOnly, helpers, ...rest }) => {
    const set = [...helperSets.values()].find((s) => s.name === helpers)?.set ?? []
    // Rare: a helper that is GPL-only for other types and free for this one.
    const gplFree = set.filter((name) => common.includes(name) && !gplOnly.includes(name))
    return JSON.stringify({ ...rest, helpers, ...(gplFree.length === 0 ? {} : { gplFree }) })
  })
  return `{
  "comment": "Recorded by scripts/record-profile from a running kernel; do not edit.",
  ${pair('kernel', recorded.kernel)},
  ${pair('denied', recorded.denied)},
  ${pair('invalid', recorded.invalid)},
  ${pair('needTarget', recorded.needTarget)},
  ${pair('attachTypes', recorded.attachTypes)},
  ${pair('gplOnly', common)},
  "programs": [
${rows(slim)}
  ],
  "helperSets": {
${rows([...helperSets.values()].map(({ name, set }) => pair(name, set)))}
  },
  "contexts": {
${rows(contextRows)}
  },
  "accesses": {
${rows([...letters].map(([accesses, name]) => pair(name, accesses)))}
  }
}
`
}
