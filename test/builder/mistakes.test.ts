import {
  array,
  type BpfProgram,
  be32,
  bytes,
  core,
  fn,
  type Int,
  i32,
  kernelStruct,
  kfunc,
  kprobe,
  map,
  netfilter,
  spinLock,
  struct,
  u8,
  u32,
  u64,
  type XdpBody,
  type XdpCode,
  xdp,
} from 'typebpf'
import { CONTRIBUTION, collectObject, contributionOf } from 'typebpf/spec'
import { describe, expect, test } from 'vitest'
import { UsageError } from '../../src/errors/index.ts'

type Options = NonNullable<Parameters<typeof xdp>[1]>
function mistake(build: (b: XdpBody) => unknown, options: object = {}): UsageError {
  const program = xdp('wrong', options as Options & object, build as (b: XdpBody) => XdpCode)
  try {
    contributionOf(program)
  } catch (error) {
    if (error instanceof UsageError) return error
    throw error
  }
  throw new Error('it was built')
}
const counts = map.hash('counts', { key: u32, value: u64, maxEntries: 4 })

const cells = map.hash('cells', {
  key: u32,
  value: struct('cell', { lock: spinLock, pad: u32, count: u64 }),
  maxEntries: 4,
})
const stacks = map.stackTraces('stacks', { maxEntries: 4 })
const task = kernelStruct('task_struct', () => ({ tgid: i32 }))
const fromPid = kfunc('bpf_task_from_pid', { pid: i32 }, task, { release: 'bpf_task_release', since: [6, 2] })
const sleeps = kfunc('bpf_sleeps', { pid: i32 }, i32, { sleepable: true })

describe('mistakes that types do not hold name the line and the fix', () => {
  const cases: Record<string, [code: string, build: (b: XdpBody) => unknown, fix: RegExp, options?: object]> = {
    'a host if on a BPF value': [
      'build.host-value',
      (b) => ((b.cpu() as unknown as number) > 3 ? b.DROP : b.PASS),
      /b\.if\(condition/,
    ],
    'a BPF value in a text': ['build.host-value', (b) => `${b.cpu()}` && b.PASS, /b\.if/],
    'host arithmetic': ['build.host-value', (b) => (b.cpu() as unknown as number) + 1, /b\.if/],
    'a literal that does not fit': ['build.literal', (b) => b.cpu().add(2 ** 33) && b.PASS, /wider type/],
    'a fraction': ['build.literal', (b) => b.cpu().add(0.5) && b.PASS, /bigint/],
    'a shift past the width': ['build.shift', (b) => b.cpu().shl(32) && b.PASS, /0 to 31/],
    'division by the constant zero': ['build.division', (b) => b.cpu().div(0) && b.PASS, /another divisor/],
    'mixed widths past the types': [
      'build.width',
      (b) => b.cpu().add(b.ktimeNs() as unknown as Int<'u32'>) && b.PASS,
      /\.to\(u32\)/,
    ],
    'a path without return code': ['build.return', (b) => void b.cpu(), /return b\.PASS/],
    'an early return without code': [
      'build.return',
      (b) => {
        counts.lookup(1).orReturn()
        return b.PASS
      },
      /early returns/,
    ],
    'orElse that goes on': [
      'build.or-else',
      (b) => {
        counts.lookup(1).orElse(() => {})
        return b.PASS
      },
      /b\.return/,
    ],
    'break outside a loop': ['build.loop', (b) => b.break() ?? b.PASS, /inside b\.while/],
    'an index past the end': [
      'build.index',
      (b) => b.local(struct('s', { list: array(u32, 4) })).list.at(4) && b.PASS,
      /0 to 3/,
    ],
    'a frame that is too large': [
      'build.stack',
      (b) => {
        b.local(struct('big', { data: bytes(600) }))
          .data.at(0)
          .set(1)
        return b.PASS
      },
      /b\.scratch/,
    ],
    'a feature newer than the target': [
      'build.target',
      (b) => counts.lookup(1).orReturn(b.PASS).fetchAdd(1) && b.PASS,
      /target: '5.12'/,
      { target: '5.4' },
    ],
    'a GPL-only helper under another licence': [
      'build.license',
      (b) => b.printk('x') ?? b.PASS,
      /license: 'GPL'/,
      { license: 'MIT' },
    ],
    'two maps of one name': [
      'build.map-name',
      (b) => {
        counts.increment(1)
        map.hash('counts', { key: u32, value: u64, maxEntries: 8 }).increment(1)
        return b.PASS
      },
      /a name of its own/,
    ],
    'a header used after the packet may have moved': [
      'build.packet-changed',
      (b) => {
        const first = b.packet.at(0, u8).orReturn(b.PASS)
        b.if(b.cpu().eq(0), () => {
          b.adjustHead(-4)
        })
        first.set(1)
        return b.PASS
      },
      /take it again/,
    ],
    'a call while a lock is held': [
      'build.locked',
      (b) => {
        const cell = cells.lookup(1).orReturn(b.PASS)
        b.lock(cell.lock, () => cell.count.set(b.ktimeNs()))
        return b.PASS
      },
      /before b\.lock/,
    ],
    'a helper that the kind of program does not have': [
      'build.helper',
      (b) => (stacks.capture(b) ? b.PASS : b.DROP),
      /a kind of program that has it/,
    ],
    'a helper newer than the target': [
      'build.target',
      (b) => {
        b.loop(3, () => {})
        return b.PASS
      },
      /target: '5\.17'/,
    ],
    'an iterator for an old target': [
      'build.target',
      (b) => {
        b.range(3, { as: 'iterator' }, () => {})
        return b.PASS
      },
      /target: '6\.4'/,
    ],
    'an iterator by hand inside a callback': [
      'build.range',
      (b) => {
        b.loop(3, () => b.range(3, { as: 'iterator' }, () => {}))
        return b.PASS
      },
      /as: 'bounded'/,
      { target: '6.6' },
    ],
    'an unrolled loop of a running count': [
      'build.range',
      (b) => {
        b.range(b.cpu(), { max: 4, as: 'unrolled' }, () => {})
        return b.PASS
      },
      /constant count/,
    ],
    'a value of another function': [
      'build.foreign',
      (b) => {
        const outside = b.cpu()
        const inner = fn('inner', { a: u32 }, u32, (_b, { a }) => a.add(outside))
        inner({ a: 1 })
        return b.PASS
      },
      /as an argument/,
    ],
    'a checksum over three bytes': [
      'build.checksum',
      (b) => (b.checksumDiff({ to: b.packet.at(0, bytes(3)).orReturn(b.PASS) }) ? b.PASS : b.DROP),
      /multiples of four/,
    ],
    'a map inside a map inside a map': [
      'build.map-nesting',
      (b) => {
        const outer = map.arrayOfMaps('outer', { inner: counts, maxEntries: 1 })
        map.arrayOfMaps('outermost', { inner: outer, maxEntries: 1 })
        return b.PASS
      },
      /one level/,
    ],
    'a reference that nobody gives back': [
      'build.reference',
      (b) => (fromPid.call({ pid: 1 }) ? b.PASS : b.DROP),
      /with\(args/,
    ],
    'a kernel function newer than the target': [
      'build.target',
      (b) => fromPid.with({ pid: 1 }, () => {}) ?? b.PASS,
      /target: '6\.2'/,
    ],
    'a sleeping kernel function in a program that must not sleep': [
      'build.sleepable',
      (b) => sleeps.call({ pid: 1 }) && b.PASS,
      /sleepable: true/,
    ],
    'a return code that a branch gives to nobody': [
      'build.lost-code',
      (b) => {
        b.if(b.cpu().eq(1), (() => b.DROP) as never)
        return b.PASS
      },
      /b\.return\(code\)/,
    ],
    'a code of another kind at the end': ['build.return', () => undefined, /return b\.PASS/],
    'a method of something that may be missing': [
      'build.value',
      (b) => (counts.lookup(1) as unknown as Int<'u64'>).add(1) && b.PASS,
      /orReturn/,
    ],
    'a number where memory is expected': [
      'build.memory',
      (b) => {
        counts.set(1, 5)
        b.local(struct('s', { name: bytes(8) })).name.swap(5 as never)
        return b.PASS
      },
      /pass the member itself/,
    ],
    'no IPv4 address': [
      'build.literal',
      (b) =>
        b.packet
          .at(0, be32)
          .orReturn(b.PASS)
          .eq('1.2.3' as never) && b.PASS,
      /10\.0\.0\.1/,
    ],
    'a number of the host where network order is expected': [
      'build.operand',
      (b) =>
        b.packet
          .at(0, be32)
          .orReturn(b.PASS)
          .eq(b.cpu() as never) && b.PASS,
      /\.to\(be32\)/,
    ],
    'frames that are too large together': [
      'build.stack',
      (b) => {
        const Big = struct('big', { data: bytes(280) })
        const inner = fn('inner', { a: u32 }, u32, (f, { a }) => {
          const big = f.local(Big)
          big.data.at(5).set(a.to(u8))
          return big.data.part(a, 1).orReturn(0).at(0).to(u32)
        })
        const big = b.local(Big)
        big.data.at(7).set(b.cpu().to(u8))
        const x = inner({ a: b.cpu() })
        return big.data.part(x, 1).orReturn(b.DROP).at(0).to(u32)
      },
      /b\.scratch/,
    ],
    'a kernel struct with a member of your own': [
      'build.kernel-member',
      (b) => core.sizeOf(kernelStruct('cred', { uid: struct('kuid', { val: u32 }) } as never)).eq(1) && b.PASS,
      /nested kernelStruct/,
    ],
    'a kind of program newer than its target': [
      'build.target',
      (b) => {
        contributionOf(netfilter('nf', { family: 'ipv4', hook: 'input', priority: 0, target: '5.4' }, (n) => n.ACCEPT))
        return b.PASS
      },
      /target: '6\.4'/,
    ],
    'a histogram of 65 powers of two': ['build.histogram', (b) => map.histogram('h', { slots: 65 }) && b.PASS, /./],
    'an async callback': ['build.async', async (b) => b.PASS, /plain function/],
  }
  for (const [name, [code, build, fix, options]] of Object.entries(cases))
    test(name, () => {
      const error = mistake(build, options)
      expect(error.code).toBe(code)
      expect(error.details.join('\n')).toMatch(fix)
      expect(error.details.at(-1)).toMatch(/mistakes\.test\.ts:\d+:\d+$/)
    })

  test('a value of another function', () => {
    let kept: Int<'u32'> | undefined
    contributionOf(
      xdp('first', (b) => {
        kept = b.cpu()
        return b.PASS
      }),
    )
    expect(mistake((b) => kept?.add(1) && b.PASS).code).toBe('build.foreign')
  })
  test('building outside a program', () => {
    expect(() => counts.increment(1)).toThrow(/only possible inside a program/)
  })
  test('names', () => {
    expect(() => xdp('two words', (b) => b.PASS)).toThrow(/no name for a program/)
    expect(() => map.hash('a b', { key: u32, value: u32, maxEntries: 1 })).toThrow(/no name for a map/)
    expect(() => fn('many', { a: u8, b: u8, c: u8, d: u8, e: u8, f: u8 }, u8, (_b, { a }) => a)).toThrow(/6 parameters/)
  })
})

describe('what is built', () => {
  const same = (): BpfProgram =>
    xdp('same', (b) => {
      counts.increment(b.cpu())
      return b.PASS
    })
  test('is the same every time', () => {
    const text = (program: BpfProgram): string =>
      JSON.stringify(contributionOf(program).programs[0].instructions, (key, value) =>
        key === 'source' ? undefined : typeof value === 'bigint' ? `${value}` : value,
      )
    expect(text(same())).toBe(text(same()))
  })
  test('constants fold, dead code goes, equal returns share one exit', () => {
    const program = xdp('folded', (b) => {
      const x = u32(6).mul(7).add(b.cpu().sub(b.cpu()).mul(0))
      b.if(x.eq(42), () => b.return(b.DROP))
      b.ktimeNs().div(3)
      return b.PASS
    })
    const code = contributionOf(program).programs[0].instructions
    expect(code.at(-1)?.opcode).toBe(0x95)
    expect(code.filter(({ opcode }) => opcode === 0x95)).toHaveLength(1)
    expect(code.some(({ opcode }) => (opcode & 7) === 5 && opcode !== 0x95 && opcode !== 0x85)).toBe(false)
  })
  test('exports every map a program uses with its BTF', () => {
    const object = collectObject({ program: same() })
    expect(object.maps).toHaveLength(1)
    expect(object.maps[0]).toMatchObject({ name: 'counts', keySize: 4, valueSize: 8 })
    expect(object.maps[0].btfKeyTypeId).toBeGreaterThan(0)
  })
  test('probes and tracepoints share maps', () => {
    const probe = kprobe('probe', { function: 'f' }, (b) => {
      counts.increment(b.pid())
      return 0
    })
    expect(collectObject({ a: same(), probe, counts }).maps).toHaveLength(1)
    expect(CONTRIBUTION in probe).toBe(true)
  })
})
