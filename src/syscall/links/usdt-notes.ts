import { ByteReader } from '../../bytes/index.ts'
import { type ElfFile, type ElfNote, fileOffsetOf, readNotes, sectionNamed } from '../../elf/container/index.ts'
import { InputError, UnsupportedError } from '../../errors/index.ts'

const NOTE_TYPE = 3
const MACHINE = { x64: 62, arm64: 183 } as const

/** Where an argument of a USDT probe is when the probe is hit. */
export type UsdtArgument = {
  /** 1, 2, 4 or 8. */
  readonly sizeBytes: number
  readonly signed: boolean
} & (
  | { readonly kind: 'constant'; readonly value: bigint }
  /** Offset of the register in struct pt_regs. */
  | { readonly kind: 'register'; readonly register: number }
  /** In memory at register + offset, plus an index register shifted left by `shift`. */
  | {
      readonly kind: 'memory'
      readonly register: number
      readonly offset: bigint
      readonly index?: { readonly register: number; readonly shift: number }
    }
)

/** One place of a USDT probe: compilers inline it wherever it is used. */
export interface UsdtPlace {
  readonly provider: string
  readonly name: string
  /** Bytes from the file's start: what uprobes take. */
  readonly offset: number
  /** Virtual address in the file, as the note has it. */
  readonly address: number
  /** File offset of the counter that says that somebody listens; 0 where there is none. */
  readonly semaphoreOffset: number
  /** The arguments as the note spells them: "-4@%edi 8@%rsi". */
  readonly argumentText: string
}

/** Places of registers in struct pt_regs of x86-64, with the names of their parts. */
const X64_REGISTERS: ReadonlyMap<string, number> = new Map(
  (
    [
      [0, 'r15 r15d r15w r15b'],
      [8, 'r14 r14d r14w r14b'],
      [16, 'r13 r13d r13w r13b'],
      [24, 'r12 r12d r12w r12b'],
      [32, 'rbp ebp bp bpl'],
      [40, 'rbx ebx bx bl'],
      [48, 'r11 r11d r11w r11b'],
      [56, 'r10 r10d r10w r10b'],
      [64, 'r9 r9d r9w r9b'],
      [72, 'r8 r8d r8w r8b'],
      [80, 'rax eax ax al'],
      [88, 'rcx ecx cx cl'],
      [96, 'rdx edx dx dl'],
      [104, 'rsi esi si sil'],
      [112, 'rdi edi di dil'],
      [128, 'rip eip ip'],
      [152, 'rsp esp sp spl'],
    ] as const
  ).flatMap(([offset, names]) => names.split(' ').map((name): [string, number] => [name, offset])),
)

/** Registers in struct user_pt_regs of arm64: x0 to x30, then the stack pointer. */
function arm64Register(name: string): number | undefined {
  if (name === 'sp') return 31 * 8
  const match = /^[xw](\d+)$/.exec(name)
  const number = Number(match?.[1] ?? 31)
  return number < 31 ? number * 8 : undefined
}

type Place = UsdtArgument extends infer A ? (A extends UsdtArgument ? Omit<A, 'sizeBytes' | 'signed'> : never) : never

function x64Place(text: string): Place | undefined {
  const register = (name: string): number | undefined => X64_REGISTERS.get(name)
  const constant = /^\$(-?(?:0x[0-9a-f]+|\d+))$/i.exec(text)
  if (constant !== null) return { kind: 'constant', value: bigintOf(constant[1]) }
  const plain = /^%(\w+)$/.exec(text)
  if (plain !== null) {
    const found = register(plain[1])
    return found === undefined ? undefined : { kind: 'register', register: found }
  }
  const memory = /^(-?(?:0x[0-9a-f]+|\d+))?\(%(\w+)(?:,%(\w+)(?:,([1248]))?)?\)$/i.exec(text)
  if (memory === null) return undefined
  const [, offset, base, index, scale] = memory
  const baseRegister = register(base)
  const indexRegister = index === undefined ? undefined : register(index)
  if (baseRegister === undefined || (index !== undefined && indexRegister === undefined)) return undefined
  return {
    kind: 'memory',
    register: baseRegister,
    offset: bigintOf(offset ?? '0'),
    ...(indexRegister === undefined
      ? {}
      : { index: { register: indexRegister, shift: Math.log2(Number(scale ?? 1)) } }),
  }
}

function arm64Place(text: string): Place | undefined {
  if (/^-?\d+$/.test(text)) return { kind: 'constant', value: BigInt(text) }
  const plain = arm64Register(text)
  if (plain !== undefined) return { kind: 'register', register: plain }
  const memory = /^\[(\w+)(?:,\s*(-?\d+))?\]$/.exec(text)
  const base = memory === null ? undefined : arm64Register(memory[1])
  return base === undefined ? undefined : { kind: 'memory', register: base, offset: BigInt(memory?.[2] ?? 0) }
}

function bigintOf(text: string): bigint {
  return text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text)
}

/**
 * The arguments of a probe from the note's text.
 * @throws UnsupportedError `usdt.argument` for a spelling that is not known
 */
export function parseUsdtArguments(text: string, machine: 'x64' | 'arm64'): UsdtArgument[] {
  const found: UsdtArgument[] = []
  // "4@[sp, 8]" has a blank inside its brackets.
  for (const [word] of text.matchAll(/-?\d+f?@(?:\[[^\]]*\]|\S+)/g)) {
    const [, size, place] = /^(-?\d+)@(.*)$/.exec(word) ?? []
    const sizeBytes = Math.abs(Number(size))
    const parsed = place === undefined ? undefined : machine === 'x64' ? x64Place(place) : arm64Place(place)
    if (parsed === undefined || ![1, 2, 4, 8].includes(sizeBytes))
      throw new UnsupportedError('usdt.argument', `USDT argument ${JSON.stringify(word)} is not understood`)
    found.push({ sizeBytes, signed: size.startsWith('-'), ...parsed })
  }
  if (found.length === 0 && text.trim() !== '')
    throw new UnsupportedError('usdt.argument', `USDT arguments ${JSON.stringify(text)} are not understood`)
  return found
}

/** The machine whose register names a binary's notes use. @throws UnsupportedError `usdt.machine` */
export function usdtMachine(file: ElfFile): 'x64' | 'arm64' {
  if (file.machine === MACHINE.x64) return 'x64'
  if (file.machine === MACHINE.arm64) return 'arm64'
  throw new UnsupportedError('usdt.machine', `${file.what}: USDT arguments are read for x86-64 and arm64 only`)
}

function placeOf(file: ElfFile, { description }: ElfNote, base: number | undefined): UsdtPlace | undefined {
  const reader = new ByteReader(description, { littleEndian: file.littleEndian, what: `${file.what}: USDT note` })
  const word = (): number => (file.is64 ? Number(reader.u64()) : reader.u32())
  const [location, noteBase, semaphore] = [word(), word(), word()]
  const [provider, name, argumentText] = new TextDecoder().decode(reader.take(reader.remaining)).split('\0')
  if (argumentText === undefined)
    throw new InputError('usdt.note', `${file.what}: a USDT note without provider, name and arguments`)
  // Prelink moves sections but not what notes say: the difference of the bases is how far.
  const moved = base === undefined || noteBase === 0 ? 0 : base - noteBase
  const address = location + moved
  const offset = fileOffsetOf(file, address)
  if (offset === undefined) return undefined
  const semaphoreOffset = semaphore === 0 ? 0 : (fileOffsetOf(file, semaphore + moved) ?? 0)
  return { provider, name, offset, address, semaphoreOffset, argumentText }
}

/** All USDT places of a binary (SystemTap's .note.stapsdt). @throws InputError `usdt.note` for a broken note */
export function usdtPlaces(file: ElfFile): UsdtPlace[] {
  const section = sectionNamed(file, '.note.stapsdt')
  if (section === undefined) return []
  const base = sectionNamed(file, '.stapsdt.base')?.address
  return readNotes(file, section)
    .filter(({ name, type }) => name === 'stapsdt' && type === NOTE_TYPE)
    .map((note) => placeOf(file, note, base))
    .filter((place) => place !== undefined)
}
