import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { constants } from '../programs/lib/index.ts'
import * as shaper from '../programs/tc-shaper/tc-shaper.bpf.ts'
import * as firewall from '../programs/xdp-firewall/xdp-firewall.bpf.ts'
import * as balancer from '../programs/xdp-lb/xdp-lb.bpf.ts'
import { readObject } from '../src/elf/index.ts'
import { eth, ipv4, ipv6, kernelUnavailable, type Layer, packet, payload, tcp, udp } from '../src/progrun/index.ts'
import { collectObject, type MapSpec, type ObjectSpec } from '../src/spec/index.ts'
import { GlobalVariables, type LoadedObject, loadObject, realSys, testRun } from '../src/syscall/index.ts'
import { type Figure, median } from './figure.ts'

// The kernel sides of the network tools against the same programs in C: nanoseconds a packet by BPF_PROG_RUN, same maps, same
// entries, same packet, in turn.

const [SAMPLES, REPEAT] = [41, 100_000]
const GOAL = 1.1
const LO = 1

function compileC(): ObjectSpec {
  const folder = mkdtempSync(join(tmpdir(), 'typebpf-bench-'))
  try {
    const out = join(folder, 'net-peer.o')
    const include = `-I/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`
    const source = resolve(import.meta.dirname, 'net-peer.c')
    execFileSync('clang-19', ['-O2', '-g', '-mcpu=v3', '-target', 'bpf', include, '-c', source, '-o', out], {
      stdio: 'pipe',
    })
    return readObject(readFileSync(out), { what: 'net-peer.o', name: 'net-peer' })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))
const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer)
const joined = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]))

/** A thousand denied /24 of 11.0.0.0/8, one allowed /16 with the packet's source, some IPv6. */
function rules(set: (map: string, key: Uint8Array, value: Uint8Array) => void): void {
  for (let i = 0; i < 1000; i++) set('rules4', joined(u32(24), Uint8Array.of(11, i >> 8, i & 255, 0)), u32(1, 3 + i))
  set('rules4', joined(u32(16), Uint8Array.of(10, 9, 0, 0)), u32(1, 1003))
  for (let i = 0; i < 100; i++)
    set('rules6', joined(u32(48), hex('20010db8'), Uint8Array.of(0, i), new Uint8Array(10)), u32(1, 1100 + i))
}
/** A flow that leaves its packet as it is, so that every round does the whole work. */
const sameFlow =
  (protocol: number) =>
  (set: (map: string, key: Uint8Array, value: Uint8Array) => void): void => {
    const place = joined(hex('0a090001 0a000002 0400 0050'))
    set('devices', u32(LO), u32(LO))
    set('flows', joined(place, u32(protocol)), joined(place, u32(0), hex('020000000002 020000000001'), u32(LO, 4)))
  }

interface Case {
  readonly name: string
  readonly module: object
  readonly program: string
  readonly c: string
  /** Globals of both, by their names in each. */
  readonly globals?: Readonly<Record<string, readonly [ours: string, value: unknown]>>
  readonly constants?: readonly { readonly map: string; readonly bytes: Uint8Array }[]
  readonly fill: (set: (map: string, key: Uint8Array, value: Uint8Array) => void) => void
  readonly packet: Uint8Array
  readonly returns: number
}

const link = eth({ src: '02:00:00:00:00:01', dst: '02:00:00:00:00:02' })
const frame = (...layers: Layer[]): Uint8Array => packet(link, ...layers, payload('x'.repeat(20)))
const ports = { srcPort: 1024, dstPort: 80 }
const v4 = ipv4({ src: '10.9.0.1', dst: '10.0.0.2' })
const none = (): void => {}
const CASES: readonly Case[] = [
  {
    name: 'xdp-firewall, a source that no rule of 1,001 is about',
    module: firewall,
    program: 'xdp_firewall',
    c: 'firewall',
    fill: rules,
    packet: frame(ipv4({ src: '192.0.2.1' }), udp(ports)),
    returns: 2,
  },
  {
    name: 'xdp-firewall, a denied source',
    module: firewall,
    program: 'xdp_firewall',
    c: 'firewall',
    fill: rules,
    packet: frame(v4, udp(ports)),
    returns: 1,
  },
  {
    name: 'xdp-firewall, a denied IPv6 source',
    module: firewall,
    program: 'xdp_firewall',
    c: 'firewall',
    fill: rules,
    packet: frame(ipv6({ src: '2001:db8:7::1' }), udp(ports)),
    returns: 1,
  },
  {
    name: 'xdp-lb, UDP',
    module: balancer,
    program: 'xdp_lb',
    c: 'balance',
    fill: sameFlow(17),
    packet: frame(v4, udp(ports)),
    returns: 4,
  },
  {
    name: 'xdp-lb, TCP',
    module: balancer,
    program: 'xdp_lb',
    c: 'balance',
    fill: sameFlow(6),
    packet: frame(v4, tcp(ports)),
    returns: 4,
  },
  {
    name: 'tc-shaper, a bucket for each address',
    module: shaper,
    program: 'tc_shaper',
    c: 'shaper',
    constants: [constants(shaper.mode, { perHost: true })],
    globals: { cost_q20: ['limit_costQ20', 1n], burst_ns: ['limit_burstNs', 3_600_000_000_000n] },
    fill: none,
    packet: frame(v4, udp(ports)),
    returns: 0xffffffff,
  },
]

const CLANG_NAMES: Readonly<Record<string, string>> = { counters: 'rule_counters' }

function prepare(
  object: ObjectSpec,
  program: string,
  it: Case,
  which: 'ours' | 'c',
): { loaded: LoadedObject; fd: number } {
  const maps = object.maps.map((spec): MapSpec => {
    const found = which === 'ours' ? it.constants?.find(({ map }) => map === spec.name) : undefined
    return found === undefined ? spec : { ...spec, contents: [[new Uint8Array(4), found.bytes]] }
  })
  const loaded = loadObject(realSys(), { ...object, maps }, { programs: [program] })
  const { result } = loaded.programs[0]
  if (result.program === undefined)
    throw new Error(`${it.name} (${which}): ${result.message}\n${result.log.slice(-1500)}`)
  it.fill((name, key, value) => {
    const map = loaded.maps.get(name) ?? loaded.maps.get(CLANG_NAMES[name] ?? name)
    if (map === undefined) throw new Error(`${it.name} (${which}): no map ${name}`)
    map.update(key, value)
  })
  if (it.globals !== undefined) {
    using variables = new GlobalVariables(loaded)
    for (const [c, [ours, value]] of Object.entries(it.globals)) variables.set(which === 'ours' ? ours : c, value)
  }
  return { loaded, fd: result.program.fd }
}

function measure(it: Case, c: ObjectSpec): Figure {
  const ours = prepare(collectObject(it.module, { name: 'ours' }), it.program, it, 'ours')
  const theirs = prepare(c, it.c, it, 'c')
  const sys = realSys()
  try {
    const times: [number[], number[]] = [[], []]
    const once = (fd: number, into?: number[]): void => {
      const { retval, durationNs } = testRun(sys, fd, { data: it.packet, repeat: REPEAT })
      if (retval !== it.returns) throw new Error(`${it.name}: ${retval} instead of ${it.returns}`)
      into?.push(durationNs)
    }
    for (const { fd } of [ours, theirs]) {
      // both do the same to the packet
      const { data } = testRun(sys, fd, { data: it.packet })
      if (Buffer.compare(data, it.packet) !== 0) throw new Error(`${it.name}: the packet was changed`)
      once(fd)
    }
    for (let i = 0; i < SAMPLES; i++) {
      // taking turns at being first, too
      const order = [0, 1] as const
      for (const which of i % 2 === 0 ? order : ([1, 0] as const)) once([ours, theirs][which].fd, times[which])
    }
    const [value, peerValue] = times.map(median)
    const ratio = value / peerValue
    return {
      area: 'net',
      name: it.name,
      value,
      unit: 'ns/packet',
      peer: 'the same in C, clang-19 -O2',
      peerValue,
      ratio,
      goal: `ratio ≤ ${GOAL}`,
      met: ratio <= GOAL,
    }
  } finally {
    ours.loaded.close()
    theirs.loaded.close()
  }
}

export async function figures(): Promise<Figure[]> {
  const absent = (peer: string): Figure[] => [{ area: 'net', name: 'network tools', value: 0, unit: 'ns/packet', peer }]
  const [missing] = kernelUnavailable()
  if (missing !== undefined) return absent(missing)
  let c: ObjectSpec
  try {
    c = compileC()
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return absent('clang-19 is not installed')
    throw error
  }
  return CASES.map((it) => measure(it, c))
}
