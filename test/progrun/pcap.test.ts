import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { InputError } from '../../src/errors/index.ts'
import {
  LINK_TYPES,
  readCapture,
  readCaptureFile,
  requireLinkType,
  writeCaptureFile,
  writePcap,
  writePcapng,
} from '../../src/progrun/index.ts'
import { testWith } from '../requirements.ts'

const capturePath = new URL('../../programs/xdp-count/capture.pcap', import.meta.url).pathname

const record = fc.record({
  data: fc.uint8Array({ maxLength: 100 }),
  timeNs: fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }),
  originalLength: fc.nat(65535),
})

function folder(): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'typebpf-pcap-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) }
}

describe('pcap and pcapng', () => {
  test('reading what was written gives the same packets and times', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 10 }), (packets) => {
        for (const bytes of [writePcap(packets), writePcapng(packets)]) {
          const found = readCapture(bytes).packets.map(({ data, timeNs, originalLength }) => ({
            data: data.slice(),
            timeNs,
            originalLength,
          }))
          expect(found).toEqual(packets)
        }
      }),
    )
  })

  test('microsecond files lose only the nanoseconds', () => {
    const [read] = readCapture(
      writePcap([{ data: new Uint8Array(1), timeNs: 1_234_567_891n }], { microseconds: true }),
    ).packets
    expect(read.timeNs).toBe(1_234_567_000n)
  })

  test('comments and interface names survive pcapng', () => {
    const bytes = writePcapng([{ data: new Uint8Array(3), comment: 'dropped by the filter' }], { name: 'veth0' })
    const capture = readCapture(bytes)
    expect(capture.packets[0].comment).toBe('dropped by the filter')
    expect(capture.interfaces[0]).toMatchObject({ name: 'veth0', linkType: LINK_TYPES.ethernet })
  })

  test('a big-endian file is read', () => {
    const little = writePcap([Uint8Array.of(1, 2, 3)], { microseconds: true })
    const big = little.slice()
    const from = new DataView(little.buffer)
    const to = new DataView(big.buffer)
    for (const at of [0, 8, 12, 16, 20, 24, 28, 32, 36]) to.setUint32(at, from.getUint32(at, true), false)
    for (const at of [4, 6]) to.setUint16(at, from.getUint16(at, true), false)
    expect(readCapture(big).packets[0].data).toEqual(Uint8Array.of(1, 2, 3))
  })

  test('any bytes give a capture or an InputError', () => {
    const real = readFileSync(capturePath).subarray(0, 3000)
    const ng = writePcapng([{ data: new Uint8Array(20), comment: 'x' }, new Uint8Array(7)], { name: 'y' })
    const mutated = fc
      .tuple(
        fc.constantFrom<Uint8Array>(real, ng),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
        fc.option(fc.nat(3000)),
      )
      .map(([bytes, edits, cut]) => {
        const copy = bytes.slice(0, cut ?? bytes.length)
        for (const [at, value] of edits) if (copy.length > 0) copy[at % copy.length] = value
        return copy
      })
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array()), (bytes) => {
        try {
          readCapture(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(InputError)
        }
      }),
      { numRuns: 5000 },
    )
  })

  test('a cut file, another link type, a file that is none: one clear line each', () => {
    const bytes = writePcap([new Uint8Array(20)])
    expect(() => readCapture(bytes.subarray(0, 50), 'a.pcap')).toThrow(
      'a.pcap: record 1 at offset 24 tells 20 bytes, 10 are left',
    )
    expect(() => readCapture(bytes.subarray(0, 30), 'a.pcap')).toThrow('a.pcap: 6 bytes after record 0, at 24')
    expect(() => readCapture(Uint8Array.of(1, 2, 3, 4, 5), 'a.pcap')).toThrow(
      'a.pcap: neither a pcap nor a pcapng file',
    )
    expect(() => requireLinkType(readCapture(writePcap([], { linkType: 113 })), 1, 'a.pcap')).toThrow(
      'a.pcap: link type 113 (linuxSll), 1 (ethernet) is needed',
    )
    expect(() => readCaptureFile('/nonexistent.pcap')).toThrow(/cannot be read/)
  })

  testWith('program:tshark')('tshark reads both formats as they were meant', () => {
    using work = folder()
    const packets = readCaptureFile(capturePath).packets.slice(0, 50)
    for (const name of ['out.pcap', 'out.pcapng']) {
      const path = join(work.path, name)
      writeCaptureFile(path, packets)
      const args = [
        '-r',
        path,
        '-n',
        '-T',
        'fields',
        '-e',
        'frame.time_epoch',
        '-e',
        'frame.cap_len',
        '-e',
        'frame.len',
      ]
      const out = execFileSync('tshark', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      const rows = out.trim().split('\n')
      expect(rows).toEqual(
        packets.map(({ timeNs, data, originalLength }) =>
          [
            `${timeNs / 1_000_000_000n}.${String(timeNs % 1_000_000_000n).padStart(9, '0')}`,
            data.length,
            originalLength,
          ].join('\t'),
        ),
      )
    }
  })

  testWith('program:editcap')('pcapng of other writers is read: editcap', () => {
    using work = folder()
    const path = join(work.path, 'other.pcapng')
    execFileSync('editcap', ['-F', 'pcapng', capturePath, path])
    const ours = readCaptureFile(capturePath)
    const theirs = readCaptureFile(path)
    expect(theirs.format).toBe('pcapng')
    expect(theirs.packets.map(({ timeNs, data }) => [timeNs, Array.from(data)])).toEqual(
      ours.packets.map(({ timeNs, data }) => [timeNs, Array.from(data)]),
    )
    writeFileSync(path, readFileSync(path).subarray(0, -3))
    expect(() => readCaptureFile(path)).toThrow(InputError)
  })
})
