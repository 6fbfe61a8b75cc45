/** Instructions as the verifier's log writes them (kernel/bpf/disasm.c's dialect). */
import { helperName } from '../../uapi/index.ts'
import type { Code } from './program.ts'

const ALU_TEXT = ['+=', '-=', '*=', '/=', '|=', '&=', '<<=', '>>=', 'neg', '%=', '^=', '=', 's>>=', 'endian']
const ALU_SIGNED: Readonly<Record<number, string>> = { 3: 's/=', 9: 's%=' }
const ATOMIC_TEXT: Readonly<Record<number, string>> = { 0: 'add', 4: 'or', 5: 'and', 10: 'xor' }
const JUMP_TEXT = ['jmp', '==', '>', '>=', '&', '!=', 's>', 's>=', 'call', 'exit', '<', '<=', 's<', 's<=']
const SIZE_TEXT = ['u32', 'u16', 'u8', 'u64']
const SIGNED_SIZE_TEXT = ['s32', 's16', 's8', '(null)']
const CLASS_TEXT = ['ld', 'ldx', 'st', 'stx', 'alu', 'jmp', 'jmp32', 'alu64']
const MOVSX_TEXT: Readonly<Record<number, string>> = { 8: '(s8)', 16: '(s16)', 32: '(s32)' }

export function aluText(opcode: number): string {
  return ALU_TEXT[opcode >> 4] ?? '(null)'
}

function plus(value: number): string {
  return value < 0 ? `${value}` : `+${value}`
}

function hex2(value: number): string {
  return value.toString(16).padStart(2, '0')
}

function arithmetic(code: Code, i: number, op: number): string {
  const opcode = code.op[i]
  const narrow = (op & 7) === 4
  const r = narrow ? 'w' : 'r'
  const dst = code.dst[i]
  const off = code.off[i]
  const imm = code.imm[i]
  const kind = opcode & 0xf0
  if (kind === 0xd0) {
    const name = narrow ? ((opcode & 8) !== 0 ? 'be' : 'le') : 'bswap'
    return `r${dst} = ${name}${imm} r${dst}`
  }
  if (kind === 0x80) return `${r}${dst} = -${r}${dst}`
  if (opcode === 0xbf && off === 1) return `r${dst} = addr_space_cast(r${code.src[i]}, ${imm >>> 16}, ${imm & 0xffff})`
  if (opcode === 0xbf && off === -1) return `r${dst} = &(void __percpu *)(r${code.src[i]})`
  const signed = (kind === 0x30 || kind === 0x90) && off === 1
  const text = signed ? ALU_SIGNED[kind >> 4] : (ALU_TEXT[kind >> 4] ?? '(null)')
  if ((opcode & 8) === 0) return `${r}${dst} ${text} ${imm}`
  const movsx = kind === 0xb0 ? (MOVSX_TEXT[off] ?? '') : ''
  return `${r}${dst} ${text} ${movsx}${r}${code.src[i]}`
}

function store(code: Code, i: number): string {
  const opcode = code.op[i]
  const mode = opcode & 0xe0
  const size = SIZE_TEXT[(opcode & 0x18) >> 3]
  const dst = code.dst[i]
  const src = code.src[i]
  const place = `(r${dst} ${plus(code.off[i])})`
  const imm = code.imm[i]
  if (mode === 0x60) return `*(${size} *)${place} = r${src}`
  if (mode !== 0xc0) return `BUG_${hex2(opcode)}`
  const wide = (opcode & 0x18) === 0x18 ? '64' : ''
  const op = imm & 0xf0
  const name = ATOMIC_TEXT[op >> 4]
  if (name !== undefined && imm === op) return `lock *(${size} *)${place} ${ALU_TEXT[op >> 4]} r${src}`
  if (name !== undefined && imm === (op | 1))
    return `r${src} = atomic${wide}_fetch_${name}((${size} *)${place}, r${src})`
  if (imm === 0xf1) return `r0 = atomic${wide}_cmpxchg((${size} *)${place}, r0, r${src})`
  if (imm === 0xe1) return `r${src} = atomic${wide}_xchg((${size} *)${place}, r${src})`
  if (imm === 0x100) return `r${dst} = load_acquire((${size} *)(r${src} ${plus(code.off[i])}))`
  if (imm === 0x110) return `store_release((${size} *)${place}, r${src})`
  return `BUG_${hex2(opcode)}`
}

function load(code: Code, i: number): string {
  const opcode = code.op[i]
  const mode = opcode & 0xe0
  const size = SIZE_TEXT[(opcode & 0x18) >> 3]
  if (mode === 0x20) return `r0 = *(${size} *)skb[${code.imm[i]}]`
  if (mode === 0x40) return `r0 = *(${size} *)skb[r${code.src[i]} + ${code.imm[i]}]`
  if (opcode === 0x18) {
    const high = BigInt((code.imm[i + 1] ?? 0) >>> 0)
    return `r${code.dst[i]} = 0x${((high << 32n) | BigInt(code.imm[i] >>> 0)).toString(16)}`
  }
  return `BUG_ld_${hex2(opcode)}`
}

function jump(code: Code, i: number, kfuncName: ((id: number) => string | undefined) | undefined): string {
  const opcode = code.op[i]
  const narrow = (opcode & 7) === 6
  const kind = opcode & 0xf0
  const src = code.src[i]
  const imm = code.imm[i]
  const off = code.off[i]
  if (kind === 0x80) {
    if (src === 1) return `call pc${plus(imm)}`
    const name = src === 0 ? helperName(imm) : undefined
    if (name !== undefined) return `call bpf_${name}#${imm}`
    if (src === 2) return `call ${imm === 0 ? '' : (kfuncName?.(imm) ?? 'kernel-function')}#${imm}`
    return `call unknown#${imm}`
  }
  if (opcode === 0x05) return `goto pc${plus(off)}`
  if (opcode === 0xe5 && src === 0) return `may_goto pc${plus(off)}`
  if (opcode === 0x06) return `gotol pc${plus(imm)}`
  if (opcode === 0x95) return 'exit'
  const r = narrow ? 'w' : 'r'
  const text = JUMP_TEXT[kind >> 4] ?? '(null)'
  const right = (opcode & 8) !== 0 ? `${r}${src}` : `0x${(imm >>> 0).toString(16)}`
  return `if ${r}${code.dst[i]} ${text} ${right} goto pc${plus(off)}`
}

/** One line without its number and newline: `(b7) r0 = 0`. */
export function instructionText(code: Code, i: number, kfuncName?: (id: number) => string | undefined): string {
  const opcode = code.op[i]
  const tag = `(${hex2(opcode)}) `
  switch (opcode & 7) {
    case 0:
      return opcode === 0x18 || (opcode & 0xe0) === 0x20 || (opcode & 0xe0) === 0x40
        ? tag + load(code, i)
        : load(code, i)
    case 1: {
      const mode = opcode & 0xe0
      if (mode !== 0x60 && mode !== 0x80) return `BUG_ldx_${hex2(opcode)}`
      const size = (mode === 0x60 ? SIZE_TEXT : SIGNED_SIZE_TEXT)[(opcode & 0x18) >> 3]
      return `${tag}r${code.dst[i]} = *(${size} *)(r${code.src[i]} ${plus(code.off[i])})`
    }
    case 2:
      if ((opcode & 0xe0) === 0x60)
        return `${tag}*(${SIZE_TEXT[(opcode & 0x18) >> 3]} *)(r${code.dst[i]} ${plus(code.off[i])}) = ${code.imm[i]}`
      return (opcode & 0xe0) === 0xc0 ? `${tag}nospec` : `BUG_st_${hex2(opcode)}`
    case 3: {
      const text = store(code, i)
      return text.startsWith('BUG') ? text : tag + text
    }
    case 4:
    case 7:
      return tag + arithmetic(code, i, opcode)
    case 5:
    case 6:
      return tag + jump(code, i, kfuncName)
    default:
      return `${tag}${CLASS_TEXT[opcode & 7]}`
  }
}
