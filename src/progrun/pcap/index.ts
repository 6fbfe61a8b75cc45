/** Packet captures: classic pcap and pcapng, read and written. Any bytes give a capture or an InputError `pcap.…`. */
import { readFileSync, writeFileSync } from 'node:fs'
import { ByteReader } from '../../bytes/index.ts'
import { InputError } from '../../errors/index.ts'
import type { Capture, PacketToWrite } from './capture.ts'
import { isClassicMagic, readPcap, writePcap } from './classic.ts'
import { PCAPNG_MAGIC, readPcapng, writePcapng } from './ng.ts'

export {
  type Capture,
  type CapturedPacket,
  type CaptureInterface,
  LINK_TYPES,
  type PacketToWrite,
  requireLinkType,
} from './capture.ts'
export { readPcap, writePcap } from './classic.ts'
export { readPcapng, writePcapng } from './ng.ts'

/** A capture of either format, told apart by its first bytes. @throws InputError `pcap.magic`, `pcap.truncated`, … */
export function readCapture(input: Uint8Array, what = 'capture'): Capture {
  const bytes = new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
  if (bytes.length >= 4) {
    const word = new ByteReader(bytes, { what }).u32()
    if (word === PCAPNG_MAGIC) return readPcapng(bytes, what)
    if (isClassicMagic(word)) return readPcap(bytes, what)
  }
  throw new InputError('pcap.magic', `${what}: neither a pcap nor a pcapng file`)
}

/** The capture in a file. @throws InputError `pcap.file` when it cannot be read */
export function readCaptureFile(path: string): Capture {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (cause) {
    throw new InputError('pcap.file', `${path} cannot be read: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    })
  }
  return readCapture(bytes, path)
}

/** Writes packets to a file: pcapng where the name ends in `.pcapng`, else classic pcap. */
export function writeCaptureFile(path: string, packets: readonly PacketToWrite[], linkType?: number): void {
  writeFileSync(path, path.endsWith('.pcapng') ? writePcapng(packets, { linkType }) : writePcap(packets, { linkType }))
}
