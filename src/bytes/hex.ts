import { InputError } from '../errors/index.ts'

/**
 * Bytes of a hex string; white space between bytes is allowed.
 * @throws InputError `hex.invalid` with the position of the first character that is not a hex digit.
 */
export function hexToBytes(text: string, what = 'hex text'): Uint8Array {
  const digits = text.replace(/\s+/g, '')
  const bad = digits.search(/[^0-9a-fA-F]/)
  if (bad >= 0)
    throw new InputError('hex.invalid', `${what}: ${JSON.stringify(digits[bad])} at digit ${bad} is not a hex digit`)
  if (digits.length % 2 !== 0)
    throw new InputError('hex.invalid', `${what}: ${digits.length} hex digits, an even number is needed`)
  const bytes = new Uint8Array(digits.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))

/** Lower-case hex, two digits a byte, `separator` between bytes. */
export function bytesToHex(bytes: Uint8Array, separator = ''): string {
  let text = ''
  for (let i = 0; i < bytes.length; i++) text += (i > 0 ? separator : '') + HEX[bytes[i]]
  return text
}
