import { readdirSync, readFileSync } from 'node:fs'

/** A place in the model that refuses programs: its file and line, and what its words look like. */
export interface RejectSite {
  readonly place: string
  readonly text: string
  readonly pattern: RegExp
}

const FOLDER = new URL('../../../src/verifier/', import.meta.url)

function patternOf(template: string): RegExp {
  const words = template.split(/\$\{(?:[^{}]|\{[^{}]*\})*\}/)
  return new RegExp(words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*'))
}

/** Every `reject` call of the model whose words stand in the call itself. */
export function rejectSites(): RejectSite[] {
  return readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .flatMap((name) => {
      const source = readFileSync(new URL(name, FOLDER), 'utf8')
      return [...source.matchAll(/reject\(\s*(?:`((?:[^`\\]|\\.)*)`|'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")/g)].map(
        (match) => {
          const text = (match[1] ?? match[2] ?? match[3]).replace(/\\n/g, '\n').split('\n').at(-1) ?? ''
          const line = source.slice(0, match.index).split('\n').length
          return { place: `${name}:${line}`, text, pattern: patternOf(text) }
        },
      )
    })
}

/**
 * Sites that no program reaches on 6.18 as root, or whose words are never the last: the reason of each. They keep the model's
 * order of checks the kernel's, or wait for profiles without privileges.
 */
export const NEVER_LAST: readonly (readonly [words: RegExp, why: string])[] = [
  [/^verifier bug|^verifier internal error/, 'the verifier found a contradiction in itself'],
  [/^invalid BPF_(ALU|JMP|LD)/, 'an unknown opcode is refused before the walk'],
  [/^invalid insn idx/, 'falling off the end is refused before the walk'],
  [/^invalid read from stack/, 'reads of stack that was not written are refused without CAP_PERFMON only'],
  [/^reference has not been acquired|^func .* reference has not/, 'the argument check before it says so'],
  [/^invalid map_ptr to access/, 'a map pointer comes first in every prototype that has a key or a value'],
  [/^more than one arg with ref_obj_id/, 'no helper takes two referenced arguments'],
  [/^direct value access on string failed/, 'only arrays give a readable constant address, and theirs can be read'],
  [
    /^arg#\$|^arg#.* (tag|tags|ctx|NULL|size|type)|^R.* is not a scalar|^Arg#|^Global function/,
    'followed by "Caller passes invalid args"',
  ],
]

/** The sites that none of the model's messages came from. */
export function unreachedSites(messages: Iterable<string>): RejectSite[] {
  let left = rejectSites().filter(({ text }) => !NEVER_LAST.some(([words]) => words.test(text)))
  for (const message of messages) left = left.filter(({ pattern }) => !pattern.test(message))
  return left
}
