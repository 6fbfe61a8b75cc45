import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hexToBytes } from '../../src/bytes/index.ts'

// read outside of vitest too
const CORPORA = process.env['TYPEBPF_CORPORA'] ?? new URL('../../../shared/corpora', import.meta.url).pathname

/** One vector of the public conformance suite. */
export interface Vector {
  /** The file's name without `.data`. */
  readonly name: string
  readonly path: string
  /** The program in the classic syntax. */
  readonly assembly: string
  /** What r1 points at, r2 holding its length; empty when the vector has none. */
  readonly memory: Uint8Array
  /** r0 at the end, unsigned; undefined when the vector expects an error. */
  readonly result: bigint | undefined
  /** The expected bytes as slots, where the vector states them. */
  readonly raw: readonly bigint[] | undefined
  /** Other sections by title (`no register offset`, `c`, `error`). */
  readonly other: ReadonlyMap<string, string>
}

/** Reads one vector file. @throws Error naming the file when a section is missing or not readable */
export function parseVector(name: string, path: string, text: string): Vector {
  const sections = new Map<string, string[]>()
  let lines: string[] | undefined
  for (const line of text.split(/\r?\n/)) {
    const title = /^--\s*(.*?)\s*$/.exec(line)
    if (title !== null) {
      lines = []
      sections.set(title[1], lines)
    } else lines?.push(line)
  }
  const section = (title: string): string | undefined => {
    const found = sections.get(title)?.join('\n')
    sections.delete(title)
    return found
  }
  const assembly = section('asm')
  if (assembly === undefined) throw new Error(`${path}: no section asm`)
  const withoutRemarks = (body: string): string => body.replace(/#.*$/gm, '').trim()
  const memory = section('mem')
  const result = section('result')
  const raw = section('raw')
  return {
    name,
    path,
    assembly,
    memory: hexToBytes(withoutRemarks(memory ?? ''), path),
    result: result === undefined ? undefined : BigInt.asUintN(64, BigInt(withoutRemarks(result))),
    raw: raw === undefined ? undefined : withoutRemarks(raw).split(/\s+/).map(BigInt),
    other: new Map([...sections].map(([title, body]) => [title, body.join('\n').trim()])),
  }
}

/** All vectors of the corpora, by name. */
export function readVectors(folder = join(CORPORA, 'conformance')): Vector[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.data'))
    .sort()
    .map((file) =>
      parseVector(file.slice(0, -'.data'.length), join(folder, file), readFileSync(join(folder, file), 'utf8')),
    )
}
