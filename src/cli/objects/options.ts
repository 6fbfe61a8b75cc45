import type { Command } from 'commander'
import { type Json, toJson } from './json.ts'

/** What all inspecting commands share. */
export interface OutputOptions {
  readonly json?: boolean
  readonly pretty?: boolean
}

/** Adds `-j, --json` and `-p, --pretty`. */
export function withOutput(command: Command): Command {
  return command.option('-j, --json', 'JSON with bpftool’s keys').option('-p, --pretty', 'indented JSON')
}

export const wantsJson = ({ json, pretty }: OutputOptions): boolean => json === true || pretty === true

/** One JSON document on standard output. */
export function printJson(value: Json, { pretty }: OutputOptions): void {
  process.stdout.write(`${toJson(value, pretty === true)}\n`)
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
