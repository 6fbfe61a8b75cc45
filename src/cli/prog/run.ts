import { readFileSync, writeFileSync } from 'node:fs'
import { UsageError } from '../../errors/index.ts'
import { realSys, testRun } from '../../syscall/index.ts'
import type { Json } from '../objects/json.ts'
import { printJson } from '../objects/options.ts'
import { selectOne } from '../objects/select.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'

const FILES = ['data_in', 'data_out', 'ctx_in', 'ctx_out'] as const
const NUMBERS = ['data_size_out', 'ctx_size_out', 'repeat'] as const
const WORDS = [...FILES, ...NUMBERS] as const
type Given = Partial<Record<(typeof WORDS)[number], string>>

/** Room for what comes out when none is asked for, as bpftool gives. */
const DEFAULT_ROOM = 32 * 1024

function parse(words: readonly string[]): Given {
  const given: Given = {}
  for (let i = 0; i < words.length; i += 2) {
    const matches = WORDS.includes(words[i] as never) ? [words[i]] : WORDS.filter((word) => word.startsWith(words[i]))
    if (matches.length !== 1)
      throw new UsageError(
        'cli.words',
        matches.length === 0
          ? `expected ${WORDS.join(', ')}, got ${JSON.stringify(words[i])}`
          : `${JSON.stringify(words[i])} is ambiguous: ${matches.join(' or ')}`,
      )
    if (words[i + 1] === undefined) throw new UsageError('cli.words', `'${matches[0]}' needs a value`)
    given[matches[0] as keyof Given] = words[i + 1]
  }
  if (given.data_in === '-' && given.ctx_in === '-')
    throw new UsageError('cli.words', 'data_in and ctx_in cannot both be standard input')
  return given
}

function number(given: Given, word: (typeof NUMBERS)[number]): number | undefined {
  const text = given[word]
  if (text === undefined) return undefined
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN
  if (!(value <= 0xffffffff))
    throw new UsageError('cli.number', `${word}: ${JSON.stringify(text)} is no number from 0 to 2^32-1`)
  return value
}

function input(path: string | undefined): Uint8Array | undefined {
  if (path === undefined) return undefined
  try {
    return readFileSync(path === '-' ? 0 : path)
  } catch (cause) {
    throw new UsageError('input.missing', `${path}: ${(cause as Error).message}`, { cause })
  }
}

/** Sixteen bytes a line: where, hex in pairs, and as text. */
function hexLines(bytes: Uint8Array): string {
  let out = ''
  for (let at = 0; at < bytes.length; at += 16) {
    const row = Array.from(bytes.subarray(at, at + 16))
    const hex = Array.from(
      { length: 16 },
      (_, i) => `${row[i]?.toString(16).padStart(2, '0') ?? '  '}${i % 2 === 1 ? ' ' : ''}`,
    )
    const text = row.map(
      (byte, i) => `${byte < 0x20 || byte > 0x7e ? '.' : String.fromCharCode(byte)}${i === 7 ? ' ' : ''}`,
    )
    out += `${at.toString(16).padStart(7, '0')}\t${hex.join('')}| ${text.join('')}\n`
  }
  return out
}

/** `prog run PROG …`: BPF_PROG_TEST_RUN. */
export function run(words: readonly string[], context: Context): void {
  const sys = realSys()
  const { fd: owned, rest } = selectOne(sys, 'program', words)
  using program = owned
  const given = parse(rest)
  if (rest.length === 0)
    throw new UsageError('cli.words', 'data or a context to run on is needed: data_in FILE, ctx_in FILE')
  const data = input(given.data_in)
  const ctx = input(given.ctx_in)
  const repeat = number(given, 'repeat') ?? 1
  const result = testRun(sys, program.fd, {
    ...(data !== undefined && { data, dataOutSize: number(given, 'data_size_out') || DEFAULT_ROOM }),
    ...(ctx !== undefined && { context: ctx, contextOutSize: number(given, 'ctx_size_out') || DEFAULT_ROOM }),
    repeat,
  })
  const json: Record<string, Json> = {}
  const put = (key: 'data_out' | 'ctx_out', bytes: Uint8Array, there: boolean): void => {
    const path = given[key]
    if (path === undefined || !there) return
    if (path !== '-') writeFileSync(path, bytes)
    else if (context.json === true) json[key] = [...bytes]
    else print(hexLines(bytes))
  }
  put('data_out', result.data, data !== undefined)
  put('ctx_out', result.context, ctx !== undefined)
  const { retval, durationNs } = result
  if (context.json === true) printJson({ ...json, retval, duration: durationNs }, context)
  else print(`Return value: ${retval}, duration${repeat > 1 ? ' (average)' : ''}: ${durationNs}ns\n`)
}
