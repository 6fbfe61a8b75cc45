import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { bytesToHex } from '../../src/bytes/index.ts'
import { main } from '../../src/cli/main.ts'
import { eth, ipv4, packet, tcp, writeCaptureFile } from '../../src/progrun/index.ts'
import { testWith } from '../requirements.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const module = join(root, 'programs/xdp-count/xdp-count.bpf.ts')
const capture = join(root, 'programs/xdp-count/capture.pcap')
const folder = mkdtempSync(join(tmpdir(), 'typebpf-run-'))
afterAll(() => rmSync(folder, { recursive: true }))

function typebpf(...args: readonly string[]): { code: number | null; out: string; err: string } {
  const command = ['--conditions=typebpf-source', '--import', 'tsx', join(root, 'src/cli/bin.ts'), ...args]
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: root, encoding: 'utf8' })
  return { code: status, out: stdout, err: stderr }
}

/** The same inside this process: main() with its output caught. */
async function inProcess(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const caught = { out: '', err: '' }
  const keep = (name: 'out' | 'err') => (text: string | Uint8Array) => {
    caught[name] += text
    return true
  }
  const out = vi.spyOn(process.stdout, 'write').mockImplementation(keep('out'))
  const err = vi.spyOn(process.stderr, 'write').mockImplementation(keep('err'))
  try {
    return { code: await main(args), ...caught }
  } finally {
    out.mockRestore()
    err.mockRestore()
    process.exitCode = 0
  }
}

const segment = bytesToHex(packet(eth(), ipv4(), tcp()))

describe('typebpf run', () => {
  test('one packet in the emulator: return value, verdict and packet as JSON', async () => {
    const { code, out } = await inProcess('run', module, '--data-in', `hex:${segment}`, '--json')
    expect(code).toBe(0)
    const [row] = JSON.parse(out)
    expect(row).toMatchObject({ program: 'xdp_count', backend: 'emulator', retval: 2, verdict: 'XDP_PASS' })
    expect(row.dataOut).toBe(segment)
  })

  testWith('bpf')('a capture in both backends: every frame agrees, the short ones are named', async () => {
    const { code, out } = await inProcess('run', module, '--data-in', `pcap:${capture}`, '--backend', 'both', '--json')
    expect(code).toBe(0)
    const rows: { backend: string; error?: { code: string } }[] = JSON.parse(out)
    expect(rows).toHaveLength(266)
    expect(rows.filter(({ backend }) => backend === 'both')).toHaveLength(260)
    expect(rows.filter(({ error }) => error?.code === 'progrun.kernel-refuses')).toHaveLength(6)
  })

  testWith('bpf')('an object file runs as the module it came from', () => {
    const object = join(folder, 'xdp-count.o')
    const built = typebpf('build', module, '-o', object)
    expect(built.code, built.err).toBe(0)
    const { code, out, err } = typebpf(
      'run',
      object,
      '--data-in',
      `hex:${segment}`,
      '--backend',
      'both',
      '--repeat',
      '100',
    )
    expect(err).toBe('')
    expect(out).toMatch(/^xdp_count: return value 2 \(XDP_PASS\), \d+ ns, both$/m)
    expect(code).toBe(0)
  })

  test('bad input: exit 2 and one clear line', async () => {
    const cases: [string[], RegExp][] = [
      [[module, '--data-in', 'hex:0'], /--data-in: 1 hex digits/],
      [[module, '--data-in', `pcap:${join(root, 'package.json')}`], /neither a pcap nor a pcapng file/],
      [[module, '--data-in', `pcap:${wrongLink()}`], /link type 113 \(linuxSll\), 1 \(ethernet\) is needed/],
      [[module, '--program', 'nope'], /there is no program nope/],
      [[module, '--backend', 'moon'], /emulator, kernel or both/],
      [[module, '--repeat', '0'], /--repeat 0/],
      [[module], /xdp programs run on a packet, and none is given/],
      [[join(root, 'package.json')], /neither an ELF object nor a module/],
    ]
    for (const [args, message] of cases) {
      const { code, out, err } = await inProcess('run', ...args)
      expect(`${code} ${out}`, err).toBe('2 ')
      expect(err.split('\n')[0]).toMatch(message)
      expect(err).not.toMatch(/^ +at /m)
    }
  }, 180_000)

  testWith('program:setpriv')('the kernel backend without privilege: exit 3 and what is missing', () => {
    const node = [process.execPath, '--conditions=typebpf-source', '--import', 'tsx', join(root, 'src/cli/bin.ts')]
    const args = ['--bounding-set=-all', '--inh-caps=-all', ...node, 'run', module, '--backend', 'kernel']
    const { status, stderr } = spawnSync('setpriv', [...args, '--data-in', `hex:${segment}`], {
      cwd: root,
      encoding: 'utf8',
    })
    expect(status).toBe(3)
    expect(stderr).toMatch(/^typebpf: --backend kernel needs bpf\(2\)\n {2}CAP_BPF is missing/)
  })

  test('its help reads well', async () => {
    const { code, out } = await inProcess('run', '--help')
    expect(code).toBe(0)
    expect(out).toMatch(/Usage: typebpf run \[options\] <file>/)
    for (const option of ['--program', '--backend', '--data-in', '--ctx-in', '--repeat', '--json'])
      expect(out).toContain(option)
  })
})

function wrongLink(): string {
  const path = join(folder, 'sll.pcap')
  writeCaptureFile(path, [new Uint8Array(20)], 113)
  return path
}

test('a file that is empty is no capture', async () => {
  const path = join(folder, 'empty.pcap')
  writeFileSync(path, '')
  expect(await inProcess('run', module, '--data-in', `pcap:${path}`)).toMatchObject({ code: 2 })
}, 180_000)
