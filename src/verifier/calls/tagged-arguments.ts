/** Arguments of global functions that are tagged as kernel objects, trusted or not (btf_prepare_func_args of Linux 6.18). */
import type { Btf } from '../../btf/index.ts'
import { KERNEL_OBJECT } from '../kernel/kernel-types.ts'
import { isNull, markKnown } from '../scalars/bounds.ts'
import { EACCES, ENOENT, type Env } from '../state/env.ts'
import * as R from '../state/registers.ts'
import { registerBase } from '../state/state.ts'
import { checkBtfArgument } from './btf-argument.ts'

/** A kernel struct that the caller vouches for, one that nobody does, or memory that nobody vouches for. */
export type ObjectArgument =
  | { readonly kind: 'trusted'; readonly name: string; readonly id: number; readonly nullable: boolean }
  | { readonly kind: 'untrusted'; readonly id: number }
  | { readonly kind: 'untrusted-memory' }

const PRIMITIVE: ReadonlySet<string> = new Set(['void', 'int', 'enum', 'enum64', 'float'])

/** What a `trusted` or `untrusted` tag makes of a pointer; `tags` are all of the argument's. */
export function describeObject(
  env: Env,
  btf: Btf,
  tags: readonly string[],
  index: number,
  pointee: number,
): ObjectArgument {
  if (tags.includes('trusted')) {
    if (tags.includes('nonnull')) env.reject(`arg#${index} has invalid combination of tags`)
    const found = kernelType(env, btf, index, pointee)
    return { kind: 'trusted', ...found, nullable: tags.includes('nullable') }
  }
  if (tags.some((tag) => tag !== 'untrusted'))
    env.reject(`arg#${index} untrusted cannot be combined with any other tags`)
  if (PRIMITIVE.has(btf.kind(btf.skipModifiers(pointee)))) return { kind: 'untrusted-memory' }
  return { kind: 'untrusted', id: kernelType(env, btf, index, pointee).id }
}

/** The kernel's struct of the same name, without its flavour. */
function kernelType(
  env: Env,
  btf: Btf,
  index: number,
  pointee: number,
): { readonly name: string; readonly id: number } {
  const types = env.typesOf(KERNEL_OBJECT)
  const type = btf.type(btf.skipModifiers(pointee))
  if (types === undefined) env.unmodelled("tagged arguments without the kernel's BTF")
  if (type.kind === 'void') env.reject(`arg#${index} reference type('UNKNOWN (anon)') candidate matching error: -22`)
  if (type.kind !== 'struct' && type.kind !== 'union') env.unmodelled('tagged arguments that are no structs')
  const name = type.name.split('___')[0]
  const id = types.btf.idByName(name, type.kind)
  if (id === undefined)
    env.reject(`arg#${index} reference type('${type.kind.toUpperCase()} ${type.name}') has no matches`, ENOENT)
  return { name, id }
}

/** Types that a trusted argument takes. */
const OBJECTS: ReadonlySet<number> = new Set([R.BTF_ID, R.BTF_ID | R.TRUSTED, R.BTF_ID | R.RCU])

/** The caller's register against the argument; anything does for what is not trusted. */
export function checkObjectArgument(env: Env, argument: ObjectArgument, register: number): void {
  if (argument.kind !== 'trusted') return
  const m = env.frame.m
  const b = registerBase(register)
  if (argument.nullable && isNull(m, b)) return
  const flags = argument.nullable ? R.MAYBE_NULL : 0
  if (!OBJECTS.has(m[b + R.TYPE] & ~flags)) env.reject(`R${register} type=${R.typeName(m[b + R.TYPE])}`, EACCES)
  checkBtfArgument(env, register, flags, argument.name, false)
}

/** The register of a function that is verified on its own. */
export function assumeObject(env: Env, argument: ObjectArgument, register: number): void {
  const m = env.frame.m
  const b = registerBase(register)
  markKnown(m, b, 0, 0)
  if (argument.kind === 'untrusted-memory') {
    m[b + R.TYPE] = R.MEM | R.RDONLY | R.UNTRUSTED
    return
  }
  const nullable = argument.kind === 'trusted' && argument.nullable ? R.MAYBE_NULL : 0
  m[b + R.TYPE] = R.BTF_ID | (argument.kind === 'trusted' ? R.TRUSTED : R.UNTRUSTED) | nullable
  m[b + R.AUX] = argument.id
  m[b + R.AUX2] = KERNEL_OBJECT
  m[b + R.ID] = env.newId()
}
