import { InputError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import { essentialName } from './core-names.ts'
import { type BtfComposite, type BtfEnum, type BtfEnum64, type BtfKind, typeName } from './types.ts'

const DEPTH = 32

/** The same kind, an enum of either width counting as one. */
export function kindsCompatible(a: BtfKind, b: BtfKind): boolean {
  const plain = (kind: BtfKind): BtfKind => (kind === 'enum64' ? 'enum' : kind)
  return plain(a) === plain(b)
}

const sameName = (a: string, b: string): boolean => essentialName(a) === essentialName(b)

function tooDeep(btf: Btf, id: number): never {
  throw new InputError('core.depth', `${btf.what}: ${btf.describe(id)} is nested too deeply to compare`)
}

/** May a field of the first type be read where the second one is? Sizes and signs of integers do not count. */
export function fieldsCompatible(local: Btf, localId: number, target: Btf, targetId: number): boolean {
  let [a, b] = [localId, targetId]
  for (let depth = 0; depth < DEPTH; depth++) {
    const x = local.resolve(a)
    const y = target.resolve(b)
    const composite = (kind: BtfKind): boolean => kind === 'struct' || kind === 'union'
    if (composite(x.kind) && composite(y.kind)) return true
    if (!kindsCompatible(x.kind, y.kind)) return false
    switch (x.kind) {
      case 'ptr':
      case 'float':
        return true
      case 'fwd':
      case 'enum':
      case 'enum64': {
        const [n, m] = [essentialName(x.name), essentialName(typeName(y))]
        return n === '' || m === '' || n === m
      }
      case 'int':
        return x.bitOffset === 0 && y.kind === 'int' && y.bitOffset === 0
      case 'array':
        if (y.kind !== 'array') return false
        a = x.type
        b = y.type
        break
      default:
        return false
    }
  }
  return tooDeep(local, localId)
}

/** Is the second type a stand-in for the first (type existence, size, id)? Names were compared before. */
export function typesCompatible(local: Btf, localId: number, target: Btf, targetId: number, level = DEPTH): boolean {
  if (!kindsCompatible(local.kind(localId), target.kind(targetId))) return false
  let [a, b] = [localId, targetId]
  for (let depth = 0; depth < DEPTH; depth++) {
    const x = local.resolve(a)
    const y = target.resolve(b)
    if (!kindsCompatible(x.kind, y.kind)) return false
    switch (x.kind) {
      case 'void':
      case 'struct':
      case 'union':
      case 'enum':
      case 'enum64':
      case 'fwd':
        return true
      case 'int':
        return x.bitOffset === 0 && y.kind === 'int' && y.bitOffset === 0
      case 'ptr':
        if (y.kind !== 'ptr') return false
        a = x.type
        b = y.type
        break
      case 'array':
        if (y.kind !== 'array') return false
        a = x.type
        b = y.type
        break
      case 'func_proto': {
        if (y.kind !== 'func_proto' || x.params.length !== y.params.length) return false
        if (level <= 0) return tooDeep(local, localId)
        for (const [i, param] of x.params.entries())
          if (
            !typesCompatible(
              local,
              local.skipModifiers(param.type),
              target,
              target.skipModifiers(y.params[i].type),
              level - 1,
            )
          )
            return false
        a = x.returnType
        b = y.returnType
        break
      }
      default:
        return false
    }
  }
  return tooDeep(local, localId)
}

/** Does the second type have everything that the first one says (type_matches)? */
export function typesMatch(
  local: Btf,
  localId: number,
  target: Btf,
  targetId: number,
  behindPointer = false,
  level = DEPTH,
): boolean {
  if (level <= 0) return tooDeep(local, localId)
  let [a, b] = [localId, targetId]
  let pointer = behindPointer
  for (let depth = 0; depth < DEPTH; depth++) {
    const x = local.resolve(a)
    const y = target.resolve(b)
    if (!sameName(typeName(x), typeName(y))) return false
    switch (x.kind) {
      case 'void':
        return y.kind === 'void'
      case 'fwd':
        if (y.kind === 'fwd') return x.union === y.union
        return pointer && ((y.kind === 'struct' && !x.union) || (y.kind === 'union' && x.union))
      case 'enum':
      case 'enum64':
        return (y.kind === 'enum' || y.kind === 'enum64') && enumsMatch(x, y)
      case 'struct':
      case 'union':
        if (pointer) return x.kind === y.kind || (y.kind === 'fwd' && y.union === (x.kind === 'union'))
        return x.kind === y.kind && compositesMatch(local, x, target, y as BtfComposite, pointer, level)
      case 'int':
        return y.kind === 'int' && x.size === y.size && x.signed === y.signed
      case 'ptr':
        if (y.kind !== 'ptr') return false
        pointer = true
        a = x.type
        b = y.type
        break
      case 'array':
        if (y.kind !== 'array' || x.count !== y.count) return false
        a = x.type
        b = y.type
        break
      case 'func_proto':
        if (y.kind !== 'func_proto' || x.params.length !== y.params.length) return false
        for (const [i, param] of x.params.entries())
          if (!typesMatch(local, param.type, target, y.params[i].type, pointer, level - 1)) return false
        a = x.returnType
        b = y.returnType
        break
      default:
        return false
    }
  }
  return tooDeep(local, localId)
}

function enumsMatch(x: BtfEnum | BtfEnum64, y: BtfEnum | BtfEnum64): boolean {
  if (x.size !== y.size || x.values.length > y.values.length) return false
  const names = new Set(y.values.map(({ name }) => essentialName(name)))
  return x.values.every(({ name }) => names.has(essentialName(name)))
}

function compositesMatch(
  local: Btf,
  x: BtfComposite,
  target: Btf,
  y: BtfComposite,
  pointer: boolean,
  level: number,
): boolean {
  if (x.members.length > y.members.length) return false
  return x.members.every((member) =>
    y.members.some(
      (other) =>
        sameName(member.name, other.name) && typesMatch(local, member.type, target, other.type, pointer, level - 1),
    ),
  )
}
