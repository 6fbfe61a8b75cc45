import { ERRNO } from '../../uapi/index.ts'
import { findMemory } from '../fake-memory.ts'
import type { Machine } from '../machine.ts'

const MAX_TEXT = 4096

function textAt(m: Machine, address: bigint): string {
  let text = ''
  while (text.length < MAX_TEXT) {
    const at = findMemory(m, address + BigInt(text.length), 1)
    // the kernel copies all or nothing
    if (at === undefined) return ''
    const byte = m.memory.u8[at]
    if (byte === 0) return text
    text += String.fromCharCode(byte)
  }
  return text
}

function addressText(m: Machine, address: bigint, kind: string): string {
  const size = kind.endsWith('4') ? 4 : 16
  const at = findMemory(m, address, size)
  if (at === undefined) return '(efault)'
  const bytes = m.memory.bytes(at, size)
  if (size === 4) return kind[0] === 'i' ? [...bytes].map((b) => String(b).padStart(3, '0')).join('.') : bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] << 8) | bytes[2 * i + 1]).toString(16))
  if (kind[0] === 'i') return groups.map((group) => group.padStart(4, '0')).join('')
  return groups
    .join(':')
    .replace(/\b(?:0:){2,}0?|(?:^|:)0(?::0)+$/, ':')
    .replace(/:{3,}/, '::')
}

/** Pads as printf does. */
function pad(text: string, flags: string, width: number): string {
  if (text.length >= width) return text
  if (flags.includes('-')) return text.padEnd(width)
  if (!flags.includes('0')) return text.padStart(width)
  const sign = /^[-+]|^0x/.exec(text)?.[0] ?? ''
  return sign + text.slice(sign.length).padStart(width - sign.length, '0')
}

function number(value: bigint, conversion: string, long: boolean, flags: string): string {
  const bits = long ? 64 : 32
  if (conversion === 'd' || conversion === 'i') return BigInt.asIntN(bits, value).toString()
  const unsigned = BigInt.asUintN(bits, value)
  if (conversion === 'u') return unsigned.toString()
  const digits = unsigned.toString(conversion === 'o' ? 8 : 16)
  const text = flags.includes('#') && conversion !== 'o' ? `0x${digits}` : digits
  return conversion === 'X' ? text.toUpperCase() : text
}

const PIECE = /%(%|([-+ #0]*)(\d*)(?:\.(\d+))?(ll|l|h{1,2}|z)?([diuxXosc]|p(?:[iI][46]|[sSBbKx]|[ku]s)?))|%/g

/** What the kernel takes in a format: printable ASCII and white space. */
const FORMAT = /^[\x20-\x7e\t\n\v\f\r]*$/

/** The bytes of a formatted text, one a character. */
export function textBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0))
}

/**
 * The kernel's bpf_bprintf subset: d i u x X o s c p with l, ll, widths, %pI4 %pi6 %ps %pks.
 * @returns the text, a character a byte, or -EINVAL for a format that the kernel refuses
 */
export function formatText(m: Machine, format: string, args: readonly bigint[]): string | number {
  if (!FORMAT.test(format)) return -ERRNO.EINVAL
  let used = 0
  let bad = false
  const text = format.replace(
    PIECE,
    (whole, percent, flags = '', width = '', _precision, length = '', conversion = '') => {
      if (percent === '%') return '%'
      if (conversion === '' || used >= args.length) {
        bad = true
        return whole
      }
      const value = args[used++]
      const room = Number(width === '' ? 0 : width)
      if (conversion === 's' || conversion === 'pks' || conversion === 'pus') return pad(textAt(m, value), flags, room)
      if (conversion === 'c') return pad(String.fromCharCode(Number(value & 255n)), flags, room)
      if (/^p[iI]/.test(conversion)) return addressText(m, value, conversion.slice(1))
      if (conversion[0] === 'p') return pad(value.toString(16).padStart(16, '0'), flags, room)
      return pad(number(value, conversion, length === 'l' || length === 'll' || length === 'z', flags), flags, room)
    },
  )
  return bad ? -ERRNO.EINVAL : text
}
