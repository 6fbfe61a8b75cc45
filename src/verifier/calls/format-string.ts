/** The format of bpf_snprintf, a constant string of a read-only map (bpf_bprintf_prepare of Linux 6.18). */
import { valueNumber } from '../scalars/bounds.ts'
import { EINVAL, type Env, Rejection } from '../state/env.ts'
import { AUX, OFF } from '../state/registers.ts'
import { registerBase } from '../state/state.ts'

const SPACE = /^[ \t-\r]$/
const PUNCTUATION = /^[!-/:-@[-`{-~]$/

/** The string ends, or something that belongs to no specifier follows. */
function ends(text: string, at: number): boolean {
  const c = text[at]
  return c === undefined || SPACE.test(c) || PUNCTUATION.test(c)
}

/** Specifiers in a format, undefined where the kernel refuses it; `limit` arguments are there. */
export function countSpecifiers(text: string, limit: number): number | undefined {
  let count = 0
  for (let i = 0; i < text.length; i++) {
    if (!/^[ -~\t-\r]$/.test(text[i])) return undefined
    if (text[i] !== '%') continue
    if (text[i + 1] === '%') {
      i++
      continue
    }
    if (count >= limit) return undefined
    const end = specifierEnd(text, i + 1)
    if (end === undefined) return undefined
    i = end
    count++
  }
  return count
}

/** Index of a specifier's last character. */
function specifierEnd(text: string, start: number): number | undefined {
  let i = start
  while ('0+- '.includes(text[i] ?? '?')) i++
  while (text[i] >= '0' && text[i] <= '9') i++
  if (text[i] === 'p') return pointerEnd(text, i)
  if (text[i] === 's') return ends(text, i + 1) ? i : undefined
  if (text[i] === 'c') return i
  if (text[i] === 'l') i++
  if (text[i] === 'l') i++
  return 'iduxX'.includes(text[i] ?? '?') ? i : undefined
}

function pointerEnd(text: string, i: number): number | undefined {
  const kind = text[i + 1]
  if (ends(text, i + 1)) return i
  if ((kind === 'k' || kind === 'u') && text[i + 2] === 's') return ends(text, i + 3) ? i + 2 : undefined
  if (kind === 'K' || kind === 'x' || kind === 's' || kind === 'S' || kind === 'B') return i + 1
  if ((kind === 'i' || kind === 'I') && (text[i + 2] === '4' || text[i + 2] === '6')) return i + 2
  return undefined
}

/** The format in R3 fits the number of arguments that R5 tells (check_bpf_snprintf_call). */
export function checkFormat(env: Env): void {
  const m = env.frame.m
  const bytes = valueNumber(m, registerBase(5))
  if (bytes % 8 !== 0) throw new Rejection(EINVAL)
  const b = registerBase(3)
  const at = m[b + OFF] + valueNumber(m, b)
  const value = env.map(m[b + AUX]).spec.contents?.[0]?.[1] ?? new Uint8Array(0)
  let text = ''
  for (let i = at; i < value.length && value[i] !== 0; i++) text += String.fromCharCode(value[i])
  if (countSpecifiers(text, bytes / 8) === undefined) env.reject('Invalid format string')
}
