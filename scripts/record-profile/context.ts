import { insn, probe, type Target } from './probe.ts'

const READ = [0x71, 0x69, 0x61, 0x79] // ldx b, h, w, dw
const WRITE = [0x73, 0x6b, 0x63, 0x7b] // stx b, h, w, dw
const READ_SIGNED = [0x91, 0x89, 0x81] // ldxs b, h, w
/** Past this the rule must be uniform: then only its end is searched. */
export const SCANNED_BYTES = 256
const MOV_ZERO = insn(0xb7, 0, 0, 0, 0)
const MOV_ONE = insn(0xb7, 0, 0, 0, 1)
const EXIT = insn(0x95, 0, 0, 0, 0)

const ILLEGAL = 'invalid bpf_context access'

/**
 * What a load at this place gives: `-` illegal, `scalar`, another register type as the log prints it, or `!` and the
 * kernel's words where it refuses for another reason.
 */
function read(target: Target, opcode: number, offset: number): string {
  const answer = probe(target, [insn(opcode, 0, 1, offset, 0), MOV_ONE, EXIT])
  const line = answer.log.split('\n').find((l) => l.startsWith('0: (') && l.includes('R0'))
  if (line !== undefined && !answer.log.includes(ILLEGAL)) {
    const state = /R0(?:_w)?=([a-z_0-9]+)/.exec(line)
    if (state !== null) return /^[0-9]/.test(state[1]) ? 'scalar' : state[1]
  }
  if (answer.log.includes(ILLEGAL)) return '-'
  if (answer.result === 0) return 'scalar'
  return `!${refusal(answer.log) ?? answer.result}`
}

function write(target: Target, opcode: number, offset: number): string {
  const answer = probe(target, [MOV_ZERO, insn(opcode, 1, 0, offset, 0), MOV_ONE, EXIT])
  if (answer.log.includes(ILLEGAL)) return '-'
  if (answer.result === 0 || /At program exit/.test(answer.log)) return 'ok'
  return `!${refusal(answer.log) ?? answer.result}`
}

/** The last line that is neither an instruction nor statistics. */
export function refusal(log: string): string | undefined {
  return log
    .split('\n')
    .filter((l) => l !== '' && !/^(processed|verification time|stack depth|\d+: [(R]|func#|insns processed)/.test(l))
    .at(-1)
}

/** All accesses at one offset: `1248` reads, writes, then `124` sign-extending reads; spaces between the groups. */
export function accessesAt(target: Target, offset: number): string {
  const reads = READ.map((opcode) => read(target, opcode, offset))
  const writes = WRITE.map((opcode) => write(target, opcode, offset))
  const signed = READ_SIGNED.map((opcode) => read(target, opcode, offset))
  return [reads, writes, signed].map((group) => group.join(',')).join(' ')
}

export interface RecordedContext {
  /** Bytes that are legal at all. */
  readonly size: number
  /** What each offset allows (see {@link accessesAt}). */
  readonly offsets: readonly string[]
  /** True when the pattern of bytes 8 to 15 goes on, eight bytes at a time, up to `size`. */
  readonly repeats?: boolean
  /** Offsets -8 to -1, where anything is legal there (tracepoints compare an offset without its sign). */
  readonly negative?: readonly string[]
}

/** An offset where nothing is legal. */
export const NOTHING = '-,-,-,- -,-,-,- -,-,-'

/** The whole context of a program type as this kernel sees it. */
export function recordContext(target: Target): RecordedContext {
  const below = Array.from({ length: 8 }, (_, i) => accessesAt(target, i - 8))
  const negative = below.every((accesses) => accesses === NOTHING) ? undefined : below
  return { ...recordOffsets(target), ...(negative === undefined ? {} : { negative }) }
}

function recordOffsets(target: Target): RecordedContext {
  const patterns = Array.from({ length: SCANNED_BYTES }, (_, offset) => accessesAt(target, offset))
  let size = SCANNED_BYTES
  while (size > 0 && patterns[size - 1] === NOTHING) size--
  if (size < SCANNED_BYTES) return { size, offsets: patterns.slice(0, size) }
  const period = patterns.slice(8, 16)
  if (!patterns.every((p, i) => i < 8 || p === period[i % 8]))
    throw new Error('a context past 256 bytes that is not uniform')
  let low = SCANNED_BYTES
  let high = 32760
  const legal = (offset: number): boolean => accessesAt(target, offset) !== NOTHING
  if (!legal(high))
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (legal(middle)) low = middle
      else high = middle
    }
  return { size: high, offsets: patterns.slice(0, 16), repeats: true }
}
