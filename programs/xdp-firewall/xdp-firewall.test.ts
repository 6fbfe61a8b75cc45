import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { arp, eth, type Harness, harness, ipv4, ipv6, type Layer, packet, tcp, udp, vlan } from 'typebpf/progrun'
import { collectObject, linkProgram } from 'typebpf/spec'
import { Firewall, parseRules } from 'typebpf/tools/xdp-firewall'
import { verify } from 'typebpf/verifier'
import { describe, expect, test } from 'vitest'
import { firewallRun } from '../../test/programs/firewall-traffic.ts'
import { Netns, veth } from '../../test/programs/netns.ts'
import { startTool } from '../../test/programs/start-tool.ts'
import { testWith } from '../../test/requirements.ts'
import * as program from './xdp-firewall.bpf.ts'

const { xdpFirewall, counters, COUNTER } = program
const [DROP, PASS] = [1, 2]

/** 10.0.0.0/8 is denied but for 10.1.0.0/16; 2001:db8::/32 is denied. */
const open = (otherwise = PASS): Promise<Harness> =>
  harness(program, {
    maps: {
      rules4: [
        [
          { prefixLength: 8, data: 0x0a000000 },
          { verdict: DROP, counter: 3 },
        ],
        [
          { prefixLength: 16, data: 0x0a010000 },
          { verdict: PASS, counter: 4 },
        ],
      ],
      rules6: [
        [
          { prefixLength: 32, data: '2001:db8::' },
          { verdict: DROP, counter: 5 },
        ],
      ],
    },
    globals: { settings_otherwise: otherwise },
    // its 16,384 entries would be compared after every run; the traffic below counts in the kernel
    ignoreMaps: ['counters'],
  })
const verdict = (t: Harness, ...layers: Layer[]) => t.run(xdpFirewall, { packet: layers }).verdict
const from4 = (src: string): Layer[] => [eth(), ipv4({ src }), tcp()]

describe('xdp_firewall', () => {
  test('the longest prefix of the source decides, for IPv4 and IPv6', async () => {
    using t = await open()
    expect(verdict(t, ...from4('10.2.0.1'))).toBe('XDP_DROP')
    expect(verdict(t, ...from4('10.1.0.1'))).toBe('XDP_PASS')
    expect(verdict(t, ...from4('192.0.2.1'))).toBe('XDP_PASS')
    expect(verdict(t, eth(), ipv6({ src: '2001:db8::1' }), udp())).toBe('XDP_DROP')
    expect(verdict(t, eth(), ipv6({ src: '2001:db9::1' }), udp())).toBe('XDP_PASS')
    const packets = [COUNTER.noRule, 3, 4, 5].map((at) => (t.map(counters).get(at) as { packets: bigint }).packets)
    expect(packets).toEqual([2n, 1n, 1n, 1n])
  })

  test('what no rule is about goes by the default', async () => {
    using t = await open(DROP)
    expect(verdict(t, ...from4('192.0.2.1'))).toBe('XDP_DROP')
    expect(verdict(t, ...from4('10.1.0.1'))).toBe('XDP_PASS')
    expect(verdict(t, eth(), arp())).toBe('XDP_PASS')
  })

  test('rules reach into one and two VLAN tags; three, and frames that are cut short, are dropped', async () => {
    using t = await open()
    const inner = [ipv4({ src: '10.2.0.1' }), tcp()]
    expect(verdict(t, eth(), vlan(), ...inner)).toBe('XDP_DROP')
    expect(verdict(t, eth(), vlan(), vlan(), ipv4({ src: '10.1.0.1' }), tcp())).toBe('XDP_PASS')
    expect(verdict(t, eth(), vlan(), vlan(), vlan(), ipv4({ src: '10.1.0.1' }), tcp())).toBe('XDP_DROP')
    const whole = packet(eth(), vlan(), ipv4(), tcp())
    for (const length of [14, 16, 30, 37])
      expect(t.run(xdpFirewall, { packet: whole.subarray(0, length) }).verdict).toBe('XDP_DROP')
    expect((t.map(counters).get(COUNTER.unreadable) as { packets: bigint }).packets).toBe(5n)
  })

  test('the model accepts it', () => {
    const result = verify(linkProgram(collectObject(program, { name: 'xdp-firewall' }), 'xdp_firewall'))
    expect(result.verdict, result.message).toBe('accept')
  })
})

describe('rules', () => {
  test('are read with comments, and prefixes without their host bits', () => {
    const { rules, otherwise } = parseRules('# all\ndefault deny\nallow 10.1.2.3/8 # mine\nallow 2001:DB8::1/32\n', 'r')
    expect(otherwise).toBe('deny')
    expect(rules.map(({ action, prefix }) => `${action} ${prefix.text}`)).toEqual([
      'allow 10.0.0.0/8',
      'allow 2001:db8::/32',
    ])
  })
  for (const [text, why] of [
    ['allow 10.0.0.0/33', /rules:1: .*0 to 32/],
    ['\nalow 10.0.0.1', /rules:2: "alow" is neither/],
    ['deny', /rules:1: "deny"/],
    ['deny 10.0.0.256', /rules:1: .*no IPv4 or IPv6 address/],
    ['deny 10.0.0.1\nallow 10.0.0.1/32', /rules:2: 10.0.0.1 is already deny/],
    ['default maybe', /rules:1: default maybe/],
  ] as const)
    test(`${JSON.stringify(text)} is refused with its line`, () => {
      expect(() => parseRules(text, 'rules')).toThrow(why)
    })
})

describe('on the kernel', () => {
  testWith('bpf', 'program:ip')('no frame of 16,000 is lost or let through by mistake', () => {
    const run = firewallRun(16_000)
    expect(run.faults).toEqual([])
    expect(run.arrived).toBe(8000)
  })

  testWith('bpf', 'program:ip')('rules come and go while it runs, and what stays keeps its counts', () => {
    using here = new Netns()
    const [, end] = veth(here, 'va', here, 'vb')
    const rules = (text: string) => parseRules(text, 'rules')
    using firewall = here.run(() => new Firewall({ interface: end.name, ...rules('deny 10.0.0.0/8\ndeny 192.0.2.1') }))
    expect(firewall.replace(rules('deny 10.0.0.0/8\nallow 2001:db8::/32\ndefault deny'))).toEqual({
      added: 1,
      removed: 1,
    })
    expect(firewall.counts().map(({ rule, action }) => `${action} ${rule}`)).toEqual([
      'deny 10.0.0.0/8',
      'allow 2001:db8::/32',
      'deny no rule',
      'allow not IP',
      'deny unreadable',
    ])
    const many = (count: number, from: number) =>
      rules(Array.from({ length: count }, (_, i) => `deny 10.${(from + i) >> 8}.${(from + i) & 255}.1`).join('\n'))
    expect(() => firewall.replace(many(16_382, 0))).toThrow(/16382 rules are too many, there is room for 16381/)
    expect(firewall.counts()).toHaveLength(5)
    expect(firewall.replace(many(16_381, 0)).added).toBe(16_381)
    expect(firewall.replace(many(10_000, 20_000))).toEqual({ added: 10_000, removed: 16_381 })
    for (let i = 0; i < 5000; i++) {
      // numbers of counters are used again
      const [rule] = rules(`deny 10.${i & 255}.${(i >> 8) & 255}.1`).rules
      firewall.add(rule)
      firewall.remove(rule.prefix)
    }
  })

  testWith('bpf', 'program:ip')(
    'the tool reads its rules again, says what is wrong with them, and detaches at Ctrl-C',
    async () => {
      using here = new Netns()
      veth(here, 'va', here, 'vb')
      const folder = mkdtempSync(join(tmpdir(), 'xdp-firewall-'))
      const file = join(folder, 'rules')
      writeFileSync(file, 'deny 10.0.0.0/8\n')
      try {
        const tool = startTool(here, ['xdp-firewall', 'va', '--rules', file, '--json'])
        await tool.said(/Filtering va by 1 rules/)
        expect(here.ip('link', 'show', 'va')).toMatch(/prog\/xdp/)
        writeFileSync(file, 'deny 10.0.0.0/8\ndeny 10.0.0.0\\8\n')
        await tool.said(/rules:2: .*the rules stay as they are/)
        writeFileSync(file, 'deny 10.0.0.0/8\nallow 10.1.0.0/16\n')
        await tool.said(/1 rules added or changed, 0 removed/)
        const { code, out } = await tool.interrupt()
        expect(code).toBe(0)
        expect(
          out
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line).rule)
            .slice(0, 2),
        ).toEqual(['10.0.0.0/8', '10.1.0.0/16'])
        expect(here.ip('link', 'show', 'va')).not.toMatch(/xdp/)
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
  )

  testWith('bpf', 'program:ip')(
    'an interface that is not there, and a wrong prefix, are said in one line',
    async () => {
      using here = new Netns()
      const missing = await startTool(here, ['xdp-firewall', 'nope0']).end()
      expect(missing).toMatchObject({ code: 2, err: expect.stringMatching(/there is no network interface "nope0"/) })
      const wrong = await startTool(here, ['xdp-firewall', 'lo', '--deny', '10.0.0.0/99']).end()
      expect(wrong).toMatchObject({ code: 2, err: expect.stringMatching(/0 to 32/) })
    },
  )
})
