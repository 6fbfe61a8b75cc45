import type { Btf } from '../../btf/index.ts'

const MAX_DEPTH = 16

/** A type as bpftool writes it in a function's head: `struct xdp_md * `, with the space behind. */
function typeText(btf: Btf, id: number, depth: number): string {
  if (id === 0) return 'void '
  if (depth > MAX_DEPTH) return '... '
  const type = btf.type(id)
  switch (type.kind) {
    case 'int':
    case 'typedef':
    case 'float':
      return `${type.name} `
    case 'struct':
    case 'union':
      return `${type.kind} ${type.name} `
    case 'enum':
    case 'enum64':
      return `enum ${type.name} `
    case 'fwd':
      return `${type.union ? 'union' : 'struct'} ${type.name} `
    case 'array':
      return `${typeText(btf, type.type, depth + 1)}[${type.count}]`
    case 'ptr':
      return `${typeText(btf, type.type, depth + 1)}* `
    case 'const':
    case 'volatile':
    case 'restrict':
      return `${type.kind} ${typeText(btf, type.type, depth + 1)}`
    case 'func_proto':
      return `${typeText(btf, type.returnType, depth + 1)}${parameters(btf, id, depth + 1)}`
    default:
      return ''
  }
}

function parameters(btf: Btf, protoId: number, depth: number): string {
  const proto = btf.type(protoId)
  if (proto.kind !== 'func_proto') return '()'
  if (proto.params.length === 0) return '(void)'
  const list = proto.params.map(({ name, type }) => (type === 0 ? '...' : `${typeText(btf, type, depth)}${name}`))
  return `(${list.join(', ')})`
}

/** `int xdp_count(struct xdp_md * ctx)` of a FUNC; undefined for another kind. */
export function functionSignature(btf: Btf, funcId: number): string | undefined {
  const func = btf.type(funcId)
  if (func.kind !== 'func') return undefined
  const proto = btf.type(func.type)
  if (proto.kind !== 'func_proto') return undefined
  return `${typeText(btf, proto.returnType, 0)}${func.name}${parameters(btf, func.type, 0)}`
}
