import type { FunctionContext } from '../context.ts'
import type { CallTarget } from '../ir/ops.ts'
import { addBtf } from '../types/btf.ts'
import type { Type } from '../types/types.ts'

/** What a parameter or result of a kernel function is in BTF: the kernel compares kinds, structs by name. */
export type KernelType =
  | Type
  | 'void'
  /** Any pointer. */
  | 'pointer'
  /** A pointer to a struct of the kernel. */
  | { readonly kind: 'pointer'; readonly to: { readonly name: string; readonly size: number } }
export interface KernelPrototype {
  readonly name: string
  readonly params: readonly KernelType[]
  readonly result: KernelType
  /** Absent kernel functions are 0: ask {@link hasKernelFunction} first. */
  readonly weak?: boolean
}

const KEY = Symbol('kernel functions')

function kernelType(fn: FunctionContext, type: KernelType): number {
  const { btf } = fn.unit
  if (type === 'void') return 0
  if (type === 'pointer') return btf.pointer(0)
  if (type.kind !== 'pointer') return addBtf(btf, type)
  const { to } = type
  if (typeof to !== 'object' || to === null || !('name' in to)) return btf.pointer(0)
  return btf.pointer(btf.add({ kind: 'fwd', name: (to as { name: string }).name, union: false }))
}

/** A function of the kernel that programs may call (kfunc, Linux 5.13): declared in the object, found by its name at load. */
export function kernelFunction(fn: FunctionContext, prototype: KernelPrototype): CallTarget {
  const { unit } = fn
  unit.need(5, 13, `the kernel function ${prototype.name}`)
  const known = unit.extra(KEY, () => new Set<string>())
  if (!known.has(prototype.name)) {
    known.add(prototype.name)
    const params = prototype.params.map((type, i) => ({ name: `a${i}`, type: kernelType(fn, type) }))
    const proto = unit.btf.add({ kind: 'func_proto', returnType: kernelType(fn, prototype.result), params })
    const typeId = unit.btf.add({ kind: 'func', name: prototype.name, type: proto, linkage: 2 })
    unit.externs.push({ name: prototype.name, kind: 'kfunc', weak: prototype.weak ?? false, typeId })
  }
  return { kind: 'kfunc', name: prototype.name, ...(prototype.weak ? { weak: true } : {}) }
}
