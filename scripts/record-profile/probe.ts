import { tryBpf } from '../../src/syscall/sys/command.ts'
import { realSys } from '../../src/syscall/sys/real.ts'

/** What the running kernel said of one small program. */
export interface Answer {
  /** fd answers are closed at once: 0 is accepted, else minus the errno. */
  readonly result: number
  readonly log: string
}

export interface Target {
  readonly type: number
  readonly attachType: number
  readonly flags?: number
  readonly attachBtfId?: number
}

const sys = realSys()
const LOG_BYTES = 1 << 14
const log = sys.alloc(LOG_BYTES)
const code = sys.alloc(4096)
const gpl = sys.alloc(16)
gpl.bytes.set(new TextEncoder().encode('GPL\0'))
const proprietary = sys.alloc(16)
proprietary.bytes.set(new TextEncoder().encode('X\0'))
const decoder = new TextDecoder('latin1')

/** One instruction slot as bytes. */
export function insn(opcode: number, dst: number, src: number, offset: number, imm: number): number[] {
  return [
    opcode,
    (src << 4) | dst,
    offset & 0xff,
    (offset >> 8) & 0xff,
    imm & 0xff,
    (imm >> 8) & 0xff,
    (imm >> 16) & 0xff,
    (imm >>> 24) & 0xff,
  ]
}

/** Loads a program and closes it at once. */
export function probe(
  target: Target,
  instructions: readonly (readonly number[])[],
  options: { readonly logLevel?: number; readonly license?: 'GPL' | 'X' } = {},
): Answer {
  let at = 0
  for (const bytes of instructions) {
    code.bytes.set(bytes, at)
    at += 8
  }
  log.bytes[0] = 0
  const result = tryBpf(sys, 'prog_load', {
    prog_type: target.type,
    insn_cnt: instructions.length,
    insns: code.address,
    license: options.license === 'X' ? proprietary.address : gpl.address,
    log_level: options.logLevel ?? 2,
    log_size: LOG_BYTES,
    log_buf: log.address,
    prog_flags: target.flags ?? 0,
    expected_attach_type: target.attachType,
    attach_btf_id: target.attachBtfId ?? 0,
  })
  if (result >= 0) sys.call('close', result)
  const end = log.bytes.indexOf(0)
  return { result: Math.min(result, 0), log: decoder.decode(log.bytes.subarray(0, end < 0 ? LOG_BYTES : end)) }
}
