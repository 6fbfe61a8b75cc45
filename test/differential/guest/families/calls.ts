/** Calls of any helper and any kernel function, with arguments that fit more often than not. */
import { HELPER_NAMES, HELPER_PROTOTYPES } from '../../../../src/uapi/index.ts'
import { tables } from '../../../../src/verifier/tables/index.ts'
import { ALU, type Code } from '../../verifier/code.ts'
import { CAMPAIGN_MAPS, MAP } from '../../verifier/maps.ts'
import type { Random } from '../../verifier/random.ts'
import { argumentsOf, type Kernel, prototypeOf, type Site } from './site.ts'

/** The context stays here. */
export const CONTEXT = 6
const BUFFER = -64

/** The address of the buffer on the stack. */
function buffer(code: Code, register: number, offset = BUFFER): void {
  code.movReg(register, 10).alu(ALU.add, register, offset)
}

export function fillBuffer(code: Code): void {
  for (let at = BUFFER; at < 0; at += 8) code.storeImm(8, 10, at, 0)
}

/** A word of the context that points to this struct, or to any; the context itself where there is none. */
function object(code: Code, random: Random, register: number, site: Site, name?: string): void {
  const fitting = site.arguments.flatMap((argument, at) =>
    argument.isPointer && (name === undefined || argument.name === name) ? [at] : [],
  )
  const any = fitting.length > 0 ? fitting : site.arguments.flatMap(({ isPointer }, at) => (isPointer ? [at] : []))
  if (any.length === 0) code.movReg(register, CONTEXT)
  else code.load(8, register, CONTEXT, 8 * random.pick(any))
}

function argument(code: Code, random: Random, register: number, word: string, site: Site): void {
  const [types, more] = word.split(':')
  const [base, ...flags] = types.split('|')
  if (random.chance(0.06)) {
    random.pick([
      () => code.mov(register, random.edge()),
      () => code.movReg(register, CONTEXT),
      () => buffer(code, register),
      () => code.map(register, random.below(CAMPAIGN_MAPS.length)),
      () => object(code, random, register, site),
    ])()
    return
  }
  if (flags.includes('PTR_MAYBE_NULL') && random.chance(0.3)) {
    code.mov(register, 0)
    return
  }
  switch (base) {
    case 'ARG_PTR_TO_CTX':
      code.movReg(register, CONTEXT)
      break
    case 'ARG_CONST_MAP_PTR':
      code.map(register, random.chance(0.6) ? MAP.array : random.below(CAMPAIGN_MAPS.length))
      break
    case 'ARG_PTR_TO_MAP_KEY':
    case 'ARG_PTR_TO_MAP_VALUE':
    case 'ARG_PTR_TO_MEM':
    case 'ARG_PTR_TO_DYNPTR':
    case 'ARG_PTR_TO_STACK':
      buffer(code, register)
      break
    case 'ARG_PTR_TO_CONST_STR':
      code.mapValue(register, MAP.rodata, 16)
      break
    case 'ARG_CONST_SIZE':
    case 'ARG_CONST_SIZE_OR_ZERO':
    case 'ARG_CONST_ALLOC_SIZE_OR_ZERO':
      code.mov(register, random.pick([8, 8, 16, 64, 0, 1, 65]))
      break
    case 'ARG_PTR_TO_BTF_ID':
      object(code, random, register, site, more)
      break
    case 'ARG_PTR_TO_SOCKET':
    case 'ARG_PTR_TO_SOCK_COMMON':
    case 'ARG_PTR_TO_BTF_ID_SOCK_COMMON':
      object(code, random, register, site, 'sock')
      break
    default:
      code.mov(register, random.chance(0.7) ? 0 : random.edge())
  }
}

/** One helper, any of them; without arguments made for it in every third case. */
export function helperCall(code: Code, random: Random, site: Site): void {
  const usual = random.chance(0.8)
  let id = random.between(1, HELPER_NAMES.length - 1)
  for (let tries = 0; tries < 20 && usual && tables.helper(site.helpersOf, id) === undefined; tries++)
    id = random.between(1, HELPER_NAMES.length - 1)
  const name = HELPER_NAMES[id]
  const rows = HELPER_PROTOTYPES.prototypes[name]
  if (rows !== undefined && random.chance(0.67)) {
    fillBuffer(code)
    const words = random
      .pick(rows)[1]
      .split(' ')
      .filter((word) => word !== '')
    for (const [i, word] of words.entries()) argument(code, random, i + 1, word, site)
  }
  code.call(id)
}

/** Names of the kernel's functions that programs may call, by their marks in its BTF. */
export function kernelFunctions({ btf }: Kernel): number[] {
  const found = new Set<number>()
  for (let id = 1; btf.has(id); id++) {
    if (btf.kind(id) !== 'decl_tag') continue
    const tag = btf.type(id)
    if (tag.kind === 'decl_tag' && tag.name === 'bpf_kfunc') found.add(tag.type)
  }
  return [...found]
}

/** One kernel function; its arguments by its prototype. */
export function kernelCall(code: Code, random: Random, site: Site, { btf }: Kernel, all: readonly number[]): void {
  if (all.length === 0) return
  const id = random.pick(all)
  const proto = prototypeOf(btf, id)
  if (proto !== undefined && random.chance(0.75)) {
    fillBuffer(code)
    for (const [i, { struct, name, isPointer }] of argumentsOf(btf, proto).slice(0, 5).entries()) {
      const wrong = random.chance(0.05)
      if (!isPointer || wrong) code.mov(i + 1, random.pick([0, 8, 1, 64]))
      else if (struct !== undefined && random.chance(0.85)) object(code, random, i + 1, site, name)
      else if (random.chance(0.8)) buffer(code, i + 1)
      else code.mov(i + 1, 0)
    }
  }
  code.callKfunc(id)
}
