import { bytesToHex } from '../../bytes/index.ts'

/** A decoded value on one line: bigints as `3n`, bytes as `hex:00ff`, structs as an object. */
export function valueText(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'string') return JSON.stringify(value)
  if (value instanceof Uint8Array) return `hex:${bytesToHex(value)}`
  if (Array.isArray(value)) return `[${value.map(valueText).join(', ')}]`
  if (typeof value === 'object' && value !== null)
    return `{ ${Object.entries(value)
      .map(([name, item]) => `${name}: ${valueText(item)}`)
      .join(', ')} }`
  return String(value)
}

/** A key as text: numbers and text as they are, bytes as hex, structs as JSON. */
export function keyText(key: unknown): string {
  if (key instanceof Uint8Array) return bytesToHex(key)
  if (typeof key === 'object')
    return JSON.stringify(key, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value instanceof Uint8Array ? bytesToHex(value) : value,
    )
  return String(key)
}
