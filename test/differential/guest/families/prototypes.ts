/** Functions of generated targets and of what replaces them: their prototypes as BTF. */
import { BTF_LINKAGE, BtfBuilder } from '../../../../src/btf/index.ts'
import type { ProgramImage } from '../../../../src/spec/index.ts'
import type { Random } from '../../verifier/random.ts'

export type ParameterWord = 'ctx' | 'int' | 'long' | 'char' | 'pointer' | 'struct'
export type ResultWord = 'int' | 'long' | 'char' | 'void' | 'pointer'

export interface FunctionWords {
  readonly name: string
  readonly slot: number
  readonly parameters: readonly ParameterWord[]
  readonly result: ResultWord
  readonly isStatic?: boolean
}

const PARAMETERS: readonly (readonly [number, ParameterWord])[] = [
  [4, 'ctx'],
  [4, 'int'],
  [3, 'long'],
  [1, 'char'],
  [2, 'pointer'],
  [1, 'struct'],
]

export function anyParameters(random: Random): ParameterWord[] {
  return Array.from({ length: random.below(4) }, () => random.weighted(PARAMETERS))
}

export function anyResult(random: Random): ResultWord {
  return random.weighted([
    [8, 'int'],
    [2, 'long'],
    [1, 'char'],
  ])
}

/** BTF and records of functions; `context` is the struct behind `ctx`. */
export function describe(context: string, functions: readonly FunctionWords[]): Pick<ProgramImage, 'btf' | 'funcInfo'> {
  const btf = new BtfBuilder()
  const int = btf.int('int', 4, { signed: true })
  const long = btf.int('long', 8, { signed: true })
  const char = btf.int('char', 1, { signed: true })
  const pair = btf.add({
    kind: 'struct',
    name: 'pair',
    size: 16,
    members: [
      { name: 'first', type: int, bitOffset: 0, bitSize: 0 },
      { name: 'second', type: long, bitOffset: 64, bitSize: 0 },
    ],
  })
  const types: Readonly<Record<ParameterWord | ResultWord, number>> = {
    ctx: btf.pointer(contextType(btf, context)),
    int,
    long,
    char,
    void: 0,
    pointer: btf.pointer(int),
    struct: btf.pointer(pair),
  }
  const funcInfo = new Uint8Array(functions.length * 8)
  const view = new DataView(funcInfo.buffer)
  for (const [i, { name, slot, parameters, result, isStatic }] of functions.entries()) {
    const proto = btf.add({
      kind: 'func_proto',
      returnType: types[result],
      params: parameters.map((word, at) => ({ name: `a${at}`, type: types[word] })),
    })
    const linkage = isStatic === true ? BTF_LINKAGE.static : BTF_LINKAGE.global
    view.setUint32(i * 8, slot, true)
    view.setUint32(i * 8 + 4, btf.add({ kind: 'func', name, type: proto, linkage }), true)
  }
  return { btf: btf.toBytes(), funcInfo }
}

/** Kprobes know their context by a typedef's name; the others by a struct's. */
function contextType(btf: BtfBuilder, name: string): number {
  const struct = btf.add({ kind: 'struct', name: name === KPROBE_CONTEXT ? 'pt_regs' : name, size: 0, members: [] })
  return name === KPROBE_CONTEXT ? btf.add({ kind: 'typedef', name, type: struct }) : struct
}

export const KPROBE_CONTEXT = 'bpf_user_pt_regs_t'
