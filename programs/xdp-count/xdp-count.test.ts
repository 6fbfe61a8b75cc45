import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eth, type Harness, harness, ipv4, ipv6, packet, readCaptureFile, tcp, udp, vlan } from 'typebpf/progrun'
import { describe, expect, test } from 'vitest'
import { testWith } from '../../test/requirements.ts'
import { counts, denied, KEYS, xdpCount } from './xdp-count.bpf.ts'

const capture = fileURLToPath(new URL('capture.pcap', import.meta.url))
const report = fileURLToPath(new URL('report.ts', import.meta.url))
const tsx = import.meta.resolve('tsx')

/** The backend of `auto`: both where bpf() is allowed. */
const open = (): Promise<Harness> => harness(xdpCount, { maps: { denied: [[0x0a000063, 0n]] } })

describe('xdp_count', () => {
  test('counts packets and bytes by IP protocol', async () => {
    using t = await open()
    const segment = packet(eth(), ipv4(), tcp())
    for (let i = 0; i < 3; i++) expect(t.run(xdpCount, { packet: segment }).verdict).toBe('XDP_PASS')
    t.run(xdpCount, { packet: [eth(), ipv6(), udp()] })
    t.run(xdpCount, { packet: [eth(), vlan(), ipv4(), udp()] })
    expect(t.map(counts).get(6)).toEqual({ packets: 3n, bytes: BigInt(3 * segment.length) })
    expect(t.map(counts).get(17)?.packets).toBe(2n)
    expect(t.map(counts).size).toBe(2)
  })

  test('drops what comes from a denied address, and only that', async () => {
    using t = await open()
    const from = (src: string) => t.run(xdpCount, { packet: [eth(), ipv4({ src }), tcp()] }).verdict
    expect(from('10.0.0.99')).toBe('XDP_DROP')
    expect(from('10.0.0.98')).toBe('XDP_PASS')
    expect(t.map(denied).get(0x0a000063)).toBe(1n)
  })

  test('a frame cut inside a header is counted apart', async () => {
    using t = await open()
    const whole = packet(eth(), ipv4(), tcp())
    for (const length of [14, 20, 33]) t.run(xdpCount, { packet: whole.subarray(0, length) })
    expect(t.map(counts).get(KEYS.truncated)?.packets).toBe(3n)
    expect(t.map(counts).get(6)).toBeUndefined()
  })

  test('every frame of the capture is counted once, with all its bytes', async () => {
    using t = await open()
    const { packets } = readCaptureFile(capture)
    for (const { data } of packets) t.run(xdpCount, { packet: data })
    const total = t.map(counts).entries()
    expect(total.reduce((sum, [, value]) => sum + value.packets, 0n)).toBe(BigInt(packets.length))
    expect(total.reduce((sum, [, value]) => sum + value.bytes, 0n)).toBe(
      BigInt(packets.reduce((sum, { data }) => sum + data.length, 0)),
    )
  })
})

/** Runs the report in a folder of its own. */
function runReport(prefix: readonly string[] = []): { out: string; object: Uint8Array } {
  const folder = mkdtempSync(join(tmpdir(), 'typebpf-report-'))
  try {
    execFileSync('chmod', ['777', folder])
    const command = [...prefix, process.execPath, '--conditions=typebpf-source', '--import', tsx, report]
    const out = execFileSync(command[0], command.slice(1), { cwd: folder, encoding: 'utf8' })
    return { out, object: readFileSync(join(folder, 'build/xdp-count.o')) }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe('the report', () => {
  testWith('bpf')('shows build, model, counts, verdicts, agreement, time and code', () => {
    const { out, object } = runReport()
    expect(object.subarray(0, 4)).toEqual(Buffer.from([0x7f, 0x45, 0x4c, 0x46]))
    expect(out).toMatch(/the model for Linux 6\.18 says accept \(\d+ instructions processed\)/)
    expect(out).toMatch(/266 frames; 6 of them have less than 14 bytes/)
    expect(out).toMatch(/TCP +\d+ +[\d,]+/)
    expect(out).toMatch(/243 XDP_PASS, 17 XDP_DROP/)
    expect(out).toMatch(/260 of 260 frames and (\d+) of \1 map entries are equal/)
    expect(out).toMatch(/\d+ ns a run in the kernel \(run_cnt 260/)
    expect(out).toMatch(/; const length = b\.packet\.length\(\) {2}\/\/ xdp-count\.bpf\.ts:\d+/)
  })

  testWith('bpf', 'program:setpriv')('without privilege it says in one line what is missing, and does the rest', () => {
    const { out } = runReport(['setpriv', '--bounding-set=-all', '--inh-caps=-all'])
    expect(out.match(/^Kernel .*$/gm)).toHaveLength(1)
    expect(out).toMatch(/^Kernel +not asked: CAP_BPF is missing.*sudo npm start/m)
    expect(out).toMatch(/243 XDP_PASS, 17 XDP_DROP/)
  })
})
