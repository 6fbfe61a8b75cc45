import { readFileSync } from 'node:fs'
import { xlatedListing, xlatedNames } from '../asm/index.ts'
import type { Btf } from '../btf/index.ts'
import type { ProgramDetails } from '../syscall/index.ts'

/** Kernel symbols by address. */
export interface KernelSymbols {
  readonly byAddress: ReadonlyMap<bigint, string>
  /** Address of `__bpf_call_base`, 0n where addresses are hidden. */
  readonly callBase: bigint
}

/** /proc/kallsyms. Where addresses are hidden (kptr_restrict), no symbols. */
export function readKernelSymbols(path = '/proc/kallsyms'): KernelSymbols {
  const byAddress = new Map<bigint, string>()
  let callBase = 0n
  const text = readFileSync(path, 'utf8')
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at)
    const line = text.slice(at, end < 0 ? text.length : end)
    at = end < 0 ? text.length : end + 1
    const space = line.indexOf(' ')
    if (space < 0 || /^0+$/.test(line.slice(0, space))) continue
    const address = BigInt(`0x${line.slice(0, space)}`)
    const name = /^\S+/.exec(line.slice(space + 3))?.[0] ?? ''
    if (!byAddress.has(address)) byAddress.set(address, name)
    if (name === '__bpf_call_base') callBase = address
  }
  return callBase === 0n ? { byAddress: new Map(), callBase } : { byAddress, callBase }
}

export interface XlatedTextOptions {
  /** Raw bytes below each instruction. */
  readonly opcodes?: boolean
  /** File, line and column behind each source line. */
  readonly lineNumbers?: boolean
  readonly symbols?: KernelSymbols
  /** The program's BTF, for prototypes and source lines. */
  readonly btf?: Btf
}

/** A loaded program as `bpftool prog dump xlated` prints it: prototypes, source lines, instructions. */
export function xlatedText(program: ProgramDetails, options: XlatedTextOptions = {}): string {
  const { btf, symbols } = options
  const functions = new Map(program.funcInfo.map(({ insn, typeId }) => [insn, typeId]))
  const lines = program.lineInfo
  let used = 0
  const sourceAt = (slot: number): readonly string[] => {
    if (btf === undefined || used >= lines.length || lines[used].insn > slot) return []
    // the last record at or before the slot, looking from the first one not counted as shown
    let last = used
    while (last + 1 < lines.length && lines[last + 1].insn <= slot) last++
    used++
    const { fileNameOffset, lineOffset, line, column } = lines[last]
    const place = ` [file:${btf.string(fileNameOffset)} line_num:${line} line_col:${column}]`
    const text = btf.string(lineOffset).replace(/^\s+/, '')
    return [`; ${text}${options.lineNumbers === true ? place : ''}`]
  }
  const before = (slot: number): readonly string[] => {
    const typeId = btf === undefined ? undefined : functions.get(slot)
    const prototype = btf === undefined || typeId === undefined ? '' : typeText(btf, typeId)
    return prototype === '' ? sourceAt(slot) : [`${prototype}:`, ...sourceAt(slot)]
  }
  const names = xlatedNames({
    callBase: symbols?.callBase,
    symbolAt: (address) => symbols?.byAddress.get(address),
    jitedAddresses: program.ksyms,
  })
  return xlatedListing(program.xlated, { names, before, opcodes: options.opcodes ?? false })
}

/** A type (most often a function with its prototype) on one line, spaced as bpftool does. */
function typeText(btf: Btf, id: number, depth = 0): string {
  if (depth > 32) return ''
  const type = btf.type(id)
  const inner = (of: number): string => typeText(btf, of, depth + 1)
  const signature = (protoId: number, name: string): string => {
    const proto = btf.type(protoId)
    if (proto.kind !== 'func_proto') return ''
    const params = proto.params.map((param) => {
      if (param.type === 0) return '...'
      const text = inner(param.type)
      return param.name === '' ? text.replace(/ $/, '') : `${text}${param.name}`
    })
    return `${inner(proto.returnType)}${name}(${params.join(', ')})`
  }
  switch (type.kind) {
    case 'void':
      return 'void '
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
      return `${inner(type.type)}[${type.count}]`
    case 'ptr':
      return `${inner(type.type)}* `
    case 'volatile':
    case 'const':
    case 'restrict':
      return `${type.kind} ${inner(type.type)}`
    case 'type_tag':
      return inner(type.type)
    case 'func_proto':
      return signature(id, '')
    case 'func':
      return signature(type.type, type.name)
    case 'var':
      return `${inner(type.type)} ${type.name}`
    case 'datasec':
    case 'decl_tag':
      return ''
    default:
      return type satisfies never
  }
}
