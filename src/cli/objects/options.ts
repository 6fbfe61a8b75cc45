import { print } from '../words/output.ts'
import type { Holder } from './holders.ts'
import { type Json, toJson } from './json.ts'

/** What all inspecting commands share. */
export interface OutputOptions {
  readonly json?: boolean
  readonly pretty?: boolean
}

/** One JSON document on standard output. */
export function printJson(value: Json, { pretty }: OutputOptions): void {
  print(`${toJson(value, pretty === true)}\n`)
}

/** Bytes as bpftool's JSON has them: an array of "0x0f". */
export const hexList = (bytes: Uint8Array): string[] =>
  Array.from(bytes, (byte) => `0x${byte.toString(16).padStart(2, '0')}`)

/** Bytes as bpftool's text has them: two digits a byte, 16 bytes a line. */
export function hexText(bytes: Uint8Array): string {
  let out = ''
  bytes.forEach((byte, i) => {
    out += (i === 0 ? '' : i % 16 === 0 ? '\n' : i % 8 === 0 ? '  ' : ' ') + byte.toString(16).padStart(2, '0')
  })
  return out
}

/** The paths where an object is pinned, a line each. */
export const pinnedText = (paths: readonly string[]): string => paths.map((path) => `\n\tpinned ${path}`).join('')

/** The processes that hold an object. */
export const pidsText = (holders: readonly Holder[]): string =>
  holders.length === 0 ? '' : `\n\tpids ${holders.map(({ pid, comm }) => `${comm}(${pid})`).join(', ')}`
