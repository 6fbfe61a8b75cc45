import { InputError } from '../errors/index.ts'
import { LD_IMM64, SLOT_BYTES } from '../uapi/index.ts'
import { type ByteOrderOptions, decodeSlots } from './slots.ts'
import { type KernelNames, kernelText } from './text/kernel.ts'
import { llvmText } from './text/llvm.ts'
import { OPCODE_HEX } from './text/tables.ts'

/** A symbol of a code section. */
export interface CodeSymbol {
  readonly name: string
  /** Bytes from the section's start. */
  readonly address: number
}

export interface LlvmListingOptions extends ByteOrderOptions {
  /** Stands for the section's start where no symbol does. Default `.text`. */
  readonly section?: string
  readonly symbols?: readonly CodeSymbol[]
  /** Loads and stores of up to 32 bits name `w` registers, as `llvm-objdump --mcpu=v3` does. Default false, as there. */
  readonly alu32?: boolean
  /** Slots to print: from the first (included) to the second (not included). Default all. */
  readonly range?: readonly [from: number, to: number]
  /** Lines that stand before a slot's instruction, such as source lines. */
  readonly before?: (slot: number) => readonly string[]
  /** Lines that stand below a slot's instruction, such as relocations. */
  readonly after?: (slot: number) => readonly string[]
}

/**
 * A code section as `llvm-objdump -d` prints it below "Disassembly of section": symbols, then a line an instruction with its
 * slot, bytes and text; jumps name the symbol they reach; runs of zero bytes are one line `...`.
 * @throws InputError `asm.truncated` when the length is no multiple of eight
 */
export function llvmListing(bytes: Uint8Array, options: LlvmListingOptions = {}): string {
  const slots = decodeSlots(bytes, options)
  const alu32 = options.alu32 ?? false
  const { opcode, dst, src, offset, imm, length } = slots
  const symbols = listedSymbols(options)
  const raw = rawSlots(bytes)
  const [from, to] = options.range ?? [0, length]
  let out = ''
  let next = 0
  for (let slot = 0; slot < length; slot++) {
    if (slot === from) out = ''
    else if (slot >= to) break
    if (next < symbols.length && symbols[next].address <= slot * SLOT_BYTES) {
      while (next + 1 < symbols.length && symbols[next + 1].address <= slot * SLOT_BYTES) next++
      out += `\n${(slot * SLOT_BYTES).toString(16).padStart(16, '0')} <${symbols[next].name}>:\n`
      next++
    }
    if (options.before !== undefined) for (const line of options.before(slot)) out += `${line}\n`
    const wide = opcode[slot] === LD_IMM64 && slot + 1 < length
    if (opcode[slot] === 0 && isZero(slots, slot)) {
      const end = next < symbols.length ? Math.min(length, symbols[next].address / SLOT_BYTES) : length
      while (slot + 1 < end && isZero(slots, slot + 1)) slot++
      out += '\t\t...\n'
      continue
    }
    const text =
      opcode[slot] === LD_IMM64 && !wide
        ? undefined
        : llvmText(opcode[slot], dst[slot], src[slot], offset[slot], imm[slot], wide ? imm[slot + 1] : 0, alu32)
    out += `${String(slot).padStart(8)}:\t${raw(slot)}`
    if (wide) out += ` ${raw(slot + 1)}`
    out +=
      text === undefined
        ? '\t<unknown>\n'
        : `\t${text}${targetName(opcode[slot], text, slot, offset[slot], imm[slot], symbols)}\n`
    if (options.after !== undefined) for (const line of options.after(slot)) out += `${line}\n`
    if (wide) slot++
  }
  return out
}

function isZero(slots: ReturnType<typeof decodeSlots>, slot: number): boolean {
  return (
    slots.opcode[slot] === 0 &&
    slots.imm[slot] === 0 &&
    slots.offset[slot] === 0 &&
    slots.dst[slot] === 0 &&
    slots.src[slot] === 0
  )
}

/** Symbols by address, then name; the section's own name at its start when no symbol is there. */
function listedSymbols(options: LlvmListingOptions): CodeSymbol[] {
  const symbols = [...(options.symbols ?? [])].sort(
    (a, b) => a.address - b.address || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  )
  if (symbols.length === 0 || symbols[0].address !== 0)
    symbols.unshift({ name: options.section ?? '.text', address: 0 })
  return symbols
}

function targetName(
  opcode: number,
  text: string,
  slot: number,
  offset: number,
  imm: number,
  symbols: readonly CodeSymbol[],
): string {
  const cls = opcode & 7
  if ((cls !== 5 && cls !== 6) || text.startsWith('call') || text === 'exit') return ''
  const target = (slot + 1 + (opcode === 0x06 ? imm : offset)) * SLOT_BYTES
  let low = 0
  let high = symbols.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (symbols[middle].address <= target) low = middle + 1
    else high = middle
  }
  if (low === 0) return ''
  const symbol = symbols[low - 1]
  const distance = target - symbol.address
  return distance === 0 ? ` <${symbol.name}>` : ` <${symbol.name}+0x${distance.toString(16)}>`
}

/** The eight bytes of a slot in hex, separated by spaces. */
function rawSlots(bytes: Uint8Array): (slot: number) => string {
  return (slot) => {
    const at = slot * SLOT_BYTES
    return (
      `${OPCODE_HEX[bytes[at]]} ${OPCODE_HEX[bytes[at + 1]]} ${OPCODE_HEX[bytes[at + 2]]} ${OPCODE_HEX[bytes[at + 3]]} ` +
      `${OPCODE_HEX[bytes[at + 4]]} ${OPCODE_HEX[bytes[at + 5]]} ${OPCODE_HEX[bytes[at + 6]]} ${OPCODE_HEX[bytes[at + 7]]}`
    )
  }
}

export interface KernelListingOptions extends ByteOrderOptions {
  readonly names?: KernelNames
  /** Lines that stand before a slot's instruction: a function's name, a source line. */
  readonly before?: (slot: number) => readonly string[]
  /** A line of raw bytes below each instruction. */
  readonly opcodes?: boolean
  /** Slots to print: from the first (included) to the second (not included). Default all. */
  readonly range?: readonly [from: number, to: number]
}

/**
 * Instructions as the verifier's log prints them: `0: (b7) r0 = 0`.
 * @throws InputError `asm.truncated`
 */
export function kernelListing(bytes: Uint8Array, options: KernelListingOptions = {}): string {
  return numberedListing(bytes, options, (slot) => `${slot}: `)
}

/**
 * A translated program as `bpftool prog dump xlated` (7.1) prints it: numbers of four digits get a space as well; see {@link xlatedNames} for what it calls things.
 * @throws InputError `asm.truncated`
 */
export function xlatedListing(bytes: Uint8Array, options: KernelListingOptions = {}): string {
  return numberedListing(
    bytes,
    { ...options, names: options.names ?? xlatedNames() },
    (slot) => `${slot < 1000 ? String(slot).padStart(4) : ` ${slot}`}: `,
  )
}

function numberedListing(
  bytes: Uint8Array,
  { names, before, opcodes, littleEndian, range }: KernelListingOptions,
  number: (slot: number) => string,
): string {
  const { opcode, dst, src, offset, imm, length } = decodeSlots(bytes, { littleEndian })
  const raw = rawSlots(bytes)
  const [from, to] = range ?? [0, length]
  let out = ''
  for (let slot = from; slot < Math.min(to, length); slot++) {
    if (before !== undefined) for (const line of before(slot)) out += `${line}\n`
    const wide = opcode[slot] === LD_IMM64
    if (wide && slot + 1 === length)
      throw new InputError('asm.truncated', `instruction ${slot}: a 64-bit immediate load without its second slot`)
    const high = wide ? imm[slot + 1] : 0
    out += `${number(slot)}${kernelText(opcode[slot], dst[slot], src[slot], offset[slot], imm[slot], high, names, slot)}\n`
    if (opcodes === true) out += `       ${raw(slot)}${wide ? ` ${raw(slot + 1)}` : ''}\n`
    if (wide) slot++
  }
  return out
}

export interface XlatedSymbols {
  /** Address of `__bpf_call_base`; helpers are called at this plus `imm`. 0n or absent: hidden. */
  readonly callBase?: bigint
  /** Name of the kernel symbol at exactly this address. */
  readonly symbolAt?: (address: bigint) => string | undefined
  /** Addresses of the program's functions once jited, by subprogram; empty for interpreted programs. */
  readonly jitedAddresses?: readonly bigint[]
  /** A map's name by id, to stand behind it in brackets; bpftool prints the id only. */
  readonly mapName?: (id: number) => string | undefined
}

/** What bpftool calls the callees and immediates of a translated program. */
export function xlatedNames(symbols: XlatedSymbols = {}): KernelNames {
  const base = symbols.callBase ?? 0n
  const jited = symbols.jitedAddresses ?? []
  const map = (id: number): string => {
    const name = symbols.mapName?.(id)
    return name === undefined ? `id:${id}` : `id:${id} ${name}`
  }
  return {
    call(src, offset, imm) {
      const local = src === 1
      const address = local && imm >>> 0 < jited.length ? jited[imm >>> 0] : BigInt.asUintN(64, base + BigInt(imm))
      const name = symbols.symbolAt?.(address)
      if (!local) return name ?? `0x${address.toString(16)}`
      const distance = offset >= 0 ? `+${offset}` : `${offset}`
      return jited.length === 0 ? distance : `${distance}#${name ?? `0x${address.toString(16)}`}`
    },
    immediate(src, imm, high) {
      switch (src) {
        case 1:
          return `map[${map(imm)}]`
        case 2:
          return `map[${map(imm)}][0]+${high}`
        case 6:
          return `map[idx:${imm}]+${high}`
        case 4:
          return `subprog[${imm >= 0 ? '+' : ''}${imm}]`
        default:
          return undefined
      }
    },
  }
}
