import type { Btf } from '../../btf/index.ts'

const MAX_DEPTH = 32

/** A type as bpftool writes it in a function's head: `struct xdp_md * `, with the space behind. */
function typeText(btf: Btf, id: number, depth: number): string {
  if (id === 0) return 'void '
  if (depth > MAX_DEPTH) return ''
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
    case 'type_tag':
      return typeText(btf, type.type, depth + 1)
    case 'func_proto':
      return signature(btf, id, '', depth)
    default:
      return ''
  }
}

function signature(btf: Btf, protoId: number, name: string, depth: number): string {
  const proto = btf.type(protoId)
  if (proto.kind !== 'func_proto') return ''
  const parameters = proto.params.map((parameter) => {
    if (parameter.type === 0) return '...'
    const text = typeText(btf, parameter.type, depth + 1)
    return parameter.name === '' ? text.replace(/ $/, '') : `${text}${parameter.name}`
  })
  return `${typeText(btf, proto.returnType, depth + 1)}${name}(${parameters.join(', ')})`
}

/** `int xdp_count(struct xdp_md * ctx)` of a FUNC; undefined for another kind. */
export function functionSignature(btf: Btf, funcId: number): string | undefined {
  const func = btf.type(funcId)
  if (func.kind !== 'func') return undefined
  return btf.type(func.type).kind === 'func_proto' ? signature(btf, func.type, func.name, 0) : undefined
}

/** `int (struct sock * sk)` of a FUNC_PROTO behind modifiers; undefined for another kind. */
export function prototypeText(btf: Btf, id: number): string | undefined {
  const type = btf.type(id)
  return type.kind === 'func_proto' ? signature(btf, id, '', 0) : undefined
}
