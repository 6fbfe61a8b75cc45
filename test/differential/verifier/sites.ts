import { readdirSync, readFileSync } from 'node:fs'
import { Env } from '../../../src/verifier/state/env.ts'

/** A place in the model that refuses programs. */
export interface RejectSite {
  /** File and line. */
  readonly place: string
  /** Its file and words, numbered where the file says the same more than once: what stays when lines move. */
  readonly key: string
  readonly file: string
  /** The last line of what it says, as it stands in the source. */
  readonly text: string
}

const FOLDER = new URL('../../../src/verifier/', import.meta.url)

/** Every `reject` call of the model whose words stand in the call itself. */
export function rejectSites(): RejectSite[] {
  return readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .flatMap((file) => {
      const source = readFileSync(new URL(file, FOLDER), 'utf8')
      const seen = new Map<string, number>()
      return [...source.matchAll(/reject\(\s*(?:`((?:[^`\\]|\\.)*)`|'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")/g)].map(
        (match) => {
          const words = match[1] ?? match[2] ?? match[3]
          const text = words.split('\\n').findLast((line) => line !== '') ?? ''
          const count = (seen.get(text) ?? 0) + 1
          seen.set(text, count)
          const line = source.slice(0, match.index).split('\n').length
          const key = `${file}: ${text}${count === 1 ? '' : ` (${count})`}`
          return { place: `${file}:${line}`, key, file, text }
        },
      )
    })
}

/** Notes the places that refuse programs from now on; `stop` ends it. */
export function watchSites(): { readonly places: ReadonlySet<string>; stop(): void } {
  const places = new Set<string>()
  const { reject } = Env.prototype
  Env.prototype.reject = function (this: Env, message: string, errno?: number): never {
    const trace: { stack?: string } = {}
    Error.captureStackTrace(trace, Env.prototype.reject)
    const [, file, line] = /src\/verifier\/([^:?\n]+)[^:\n]*:(\d+)/.exec(trace.stack ?? '') ?? []
    places.add(`${file}:${line}`)
    return reject.call(this, message, errno)
  }
  return {
    places,
    stop: () => {
      Env.prototype.reject = reject
    },
  }
}

/**
 * Sites that no program reaches as root on 6.18, with the reason that its sources give. They keep the model's order of
 * checks the kernel's, guard the model itself, or wait for other kernels.
 */
export const UNREACHABLE: readonly (readonly [key: RegExp, why: string])[] = [
  [/: verifier (bug|internal error):/, 'a contradiction inside the verifier; no program is known that leads there'],
  [/^walk\/.*: invalid BPF_(ALU|JMP|LD)/, 'an unknown opcode is refused before the walk (resolve_pseudo_ldimm64)'],
  [/^walk\/engine\.ts: invalid insn idx/, 'a function that ends in no exit or jump is refused before (check_subprogs)'],
  [/^program\/cfg\.ts: jump out of range/, 'check_subprogs has looked at every jump before'],
  [/^program\/cfg\.ts: $/, 'the stack of the walk never holds an instruction twice'],
  [/^program\/stack-depth\.ts: stack size of subprog/, 'a frame of more than 512 bytes is refused at its first use'],
  [/^calls\/arguments\.ts: invalid map_ptr to access map->/, 'every prototype with a key or value has its map before'],
  [/^calls\/dynptrs\.ts: cannot pass pointer to const/, 'the helpers that change a dynptr release or make it: refused'],
  [
    /^calls\/dynptrs\.ts: Expected a dynptr of type/,
    'only ring buffers are asked for by type, and only theirs are held',
  ],
  [
    /^calls\/btf-argument\.ts: Possibly NULL/,
    'no type that may be null fits, but for bpf_kptr_xchg, which says it itself',
  ],
  [/reference has not been acquired before$/, 'no register keeps the number of a reference that was given back'],
  [/: (ldimm64 )?unable to resolve the size of type/, "variables in the kernel's BTF are per CPU, and of known size"],
  [/^calls\/iterators\.ts: expected valid iter pointer/, 'iterators are looked at when the kernel registers them'],
  [/^calls\/kfunc-arguments\.ts: Function .* args$/, 'none of the kernel functions has more than five arguments'],
  [/^calls\/kfunc-arguments\.ts: Unrecognized arg/, 'all of the kernel functions take numbers and pointers'],
  [
    /^calls\/kfunc-arguments\.ts: R.* is not a const$/,
    'only functions of HID and of test modules have such an argument',
  ],
  [/^calls\/kfunc-arguments\.ts: .*reference type.*size cannot/, 'a struct of numbers always has a size'],
  [
    /^calls\/kfunc-call\.ts: kernel function .* returns pointer type/,
    'they return structs, void or int behind pointers',
  ],
  [/^kernel\/kfunc-prototype\.ts: .* valid func_proto/, 'no BTF has a function without a prototype (btf_func_resolve)'],
  [/^memory\/btf-access\.ts: .* access user memory/, "BTF of kernels that gcc compiled has no 'user' tag"],
  [/^memory\/btf-access\.ts: map_ptr access not supported/, 'every map type of 6.18 has its struct (map_btf_id)'],
  [/^memory\/memory\.ts: R.* \$\{NEGATIVE\} \(3\)$/, 'arithmetic on sockets is refused, so none has an offset'],
  [
    /^program\/program-target\.ts: attach_btf_id .* is not a function/,
    'the type of a known function of a program is one',
  ],
  [/^program\/program-target\.ts: .* has unrecognized type/, 'what can be replaced takes numbers and pointers only'],
  [/^memory\/stack\.ts: invalid read from stack off [^(]*$/, 'a slot with a register in it has no other special bytes'],
]

/** Sites that none of the places is and for which there is no reason to be unreachable. */
export function unreachedSites(sites: readonly RejectSite[], places: ReadonlySet<string>): RejectSite[] {
  return sites.filter(({ place, key }) => !places.has(place) && !UNREACHABLE.some(([words]) => words.test(key)))
}
