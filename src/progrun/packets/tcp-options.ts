import { ByteWriter } from '../../bytes/index.ts'
import type { TcpOption } from './layer.ts'

/** The option bytes of a TCP header, padded with end-of-list to a multiple of 4. */
export function writeTcpOptions(options: readonly TcpOption[]): Uint8Array {
  const out = new ByteWriter({ littleEndian: false })
  for (const option of options) {
    switch (option.kind) {
      case 'nop':
        out.u8(1)
        break
      case 'end':
        out.u8(0)
        if (option.data !== undefined) out.raw(option.data)
        break
      case 'mss':
        out.u8(2).u8(4).u16(option.value)
        break
      case 'windowScale':
        out.u8(3).u8(3).u8(option.shift)
        break
      case 'sackPermitted':
        out.u8(4).u8(2)
        break
      case 'sack':
        out.u8(5).u8(2 + 8 * option.blocks.length)
        for (const [left, right] of option.blocks) out.u32(left).u32(right)
        break
      case 'timestamps':
        out.u8(8).u8(10).u32(option.value).u32(option.echo)
        break
      case 'unknown':
        out
          .u8(option.type)
          .u8(2 + option.data.length)
          .raw(option.data)
        break
      case 'malformed':
        out.raw(option.data)
        break
      default:
        option satisfies never
    }
  }
  return out.align(4).toBytes()
}

/** Options as a list that {@link writeTcpOptions} turns back into the same bytes, whatever they are. */
export function readTcpOptions(bytes: Uint8Array): TcpOption[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out: TcpOption[] = []
  let at = 0
  while (at < bytes.length) {
    const type = bytes[at]
    if (type === 0) {
      out.push(at + 1 < bytes.length ? { kind: 'end', data: bytes.slice(at + 1) } : { kind: 'end' })
      break
    }
    if (type === 1) {
      out.push({ kind: 'nop' })
      at++
      continue
    }
    const length = bytes[at + 1] ?? 0
    if (length < 2 || at + length > bytes.length) {
      out.push({ kind: 'malformed', data: bytes.slice(at) })
      break
    }
    out.push(readOption(type, length, at + 2, view, bytes))
    at += length
  }
  return out
}

function readOption(type: number, length: number, at: number, view: DataView, bytes: Uint8Array): TcpOption {
  if (type === 2 && length === 4) return { kind: 'mss', value: view.getUint16(at) }
  if (type === 3 && length === 3) return { kind: 'windowScale', shift: bytes[at] }
  if (type === 4 && length === 2) return { kind: 'sackPermitted' }
  if (type === 8 && length === 10)
    return { kind: 'timestamps', value: view.getUint32(at), echo: view.getUint32(at + 4) }
  if (type === 5 && length > 2 && (length - 2) % 8 === 0) {
    const blocks = Array.from(
      { length: (length - 2) / 8 },
      (_, i) => [view.getUint32(at + 8 * i), view.getUint32(at + 8 * i + 4)] as const,
    )
    return { kind: 'sack', blocks }
  }
  return { kind: 'unknown', type, data: bytes.slice(at, at + length - 2) }
}
