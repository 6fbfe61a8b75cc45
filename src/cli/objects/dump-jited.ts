import type { Btf } from '../../btf/index.ts'
import { UnsupportedError } from '../../errors/index.ts'
import type { ProgramDetails } from '../../syscall/index.ts'
import { type DumpOptions, placeJson } from './dump-xlated.ts'
import type { Json } from './json.ts'
import { hexList } from './options.ts'
import { functionSignature } from './signature.ts'

/** One machine instruction of a jited program. */
export interface MachineLine {
  /** Bytes from the function's start. */
  readonly pc: number
  readonly operation: string
  readonly operands: readonly string[]
  readonly bytes: Uint8Array
  /** The source line that begins here. */
  readonly source?: { readonly text: string; readonly file: string; readonly line: number; readonly column: number }
}

/** The machine code of one function of the program. */
export interface MachineFunction {
  readonly signature?: string
  /** `bpf_prog_<tag>_<name>`. */
  readonly name: string
  readonly lines: readonly MachineLine[]
}

/**
 * Disassembles the jited code (AT&T syntax, as objdump and bpftool do).
 * @throws UnsupportedError `dump.machine` on machines other than x86-64
 */
export async function disassembleJited(
  details: ProgramDetails,
  btf: Btf | undefined,
  nameAt: (address: bigint) => string | undefined,
  machine: string = process.arch,
): Promise<MachineFunction[]> {
  if (machine !== 'x64')
    throw new UnsupportedError(
      'dump.machine',
      `jited code of ${machine} is not disassembled: only x86-64 is (dump it with 'file')`,
    )
  const { Decoder, DecoderOptions, Formatter, FormatterSyntax } = await import('iced-x86')
  const formatter = new Formatter(FormatterSyntax.Gas)
  formatter.hexPrefix = '0x'
  formatter.hexSuffix = ''
  formatter.uppercaseHex = false
  formatter.spaceAfterOperandSeparator = true
  const functions: MachineFunction[] = []
  const lengths = details.jitedLengths.length > 0 ? details.jitedLengths : [details.jited.length]
  const sources = new Map<bigint, number>()
  details.jitedLineInfo.forEach((address, index) => {
    if (!sources.has(address)) sources.set(address, index)
  })
  let start = 0
  lengths.forEach((length, index) => {
    const code = details.jited.subarray(start, start + length)
    start += length
    const address = details.ksyms[index] ?? 0n
    const decoder = new Decoder(64, code, DecoderOptions.None)
    decoder.ip = address
    const lines: MachineLine[] = []
    while (decoder.canDecode) {
      const at = decoder.position
      const instruction = decoder.decode()
      const text = formatter.format(instruction)
      const space = text.indexOf(' ')
      const operation = space < 0 ? text : text.slice(0, space)
      const operands =
        space < 0
          ? []
          : text
              .slice(space + 1)
              .trim()
              .split(/,(?![^(]*\))\s*/)
      const info = address === 0n ? undefined : sources.get(address + BigInt(at))
      const record = info === undefined ? undefined : details.lineInfo[info]
      lines.push({
        pc: at,
        operation,
        operands: operands.map((operand) => named(operand, nameAt, address, length)),
        bytes: code.slice(at, decoder.position),
        ...(record !== undefined &&
          btf !== undefined && {
            source: {
              text: btf.string(record.lineOffset).trimStart(),
              file: btf.string(record.fileNameOffset),
              line: record.line,
              column: record.column,
            },
          }),
      })
      instruction.free()
    }
    decoder.free()
    const func = details.funcInfo[index]
    const tag = details.subprogramTags[index] ?? details.tag
    const symbol = address === 0n ? undefined : nameAt(address)
    functions.push({
      ...(func !== undefined && btf !== undefined && { signature: functionSignature(btf, func.typeId) }),
      name: symbol ?? `bpf_prog_${tag}${details.name === '' ? '' : `_${details.name}`}`,
      lines,
    })
  })
  formatter.free()
  return functions
}

/** Absolute addresses: inside the function the distance from its start, elsewhere with the kernel symbol behind. */
function named(
  operand: string,
  nameAt: (address: bigint) => string | undefined,
  start: bigint,
  length: number,
): string {
  const hex = /^\$?0x([0-9a-f]{16})$/.exec(operand)?.[1]
  if (hex === undefined) return operand
  const address = BigInt(`0x${hex}`)
  if (address >= start && address < start + BigInt(length)) return `0x${(address - start).toString(16)}`
  const name = nameAt(address)
  return name === undefined ? operand : `${operand} <${name}>`
}

export function jitedText(functions: readonly MachineFunction[], { opcodes, linum }: DumpOptions): string {
  let out = ''
  for (const { signature, name, lines } of functions) {
    if (signature !== undefined) out += `${signature}:\n`
    out += `${name}:\n`
    for (const { pc, operation, operands, bytes, source } of lines) {
      if (source !== undefined)
        out +=
          linum === true
            ? `; ${source.text} [file:${source.file} line_num:${source.line} line_col:${source.column}]\n`
            : `; ${source.text}\n`
      out += `${pc.toString(16).padStart(4)}:\t${operation}${operands.length === 0 ? '' : `\t${operands.join(', ')}`}\n`
      if (opcodes === true) out += `\t${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')}\n`
    }
    out += '\n'
  }
  return out
}

export function jitedJson(functions: readonly MachineFunction[], { opcodes, linum }: DumpOptions): Json {
  return functions.map(({ signature, name, lines }) => ({
    proto: signature,
    name,
    insns: lines.map(({ pc, operation, operands, bytes, source }) => ({
      src: source?.text,
      ...(linum === true && source !== undefined && placeJson(source)),
      pc: `0x${pc.toString(16)}`,
      operation,
      operands,
      ...(opcodes === true && { opcodes: hexList(bytes) }),
    })),
  }))
}
