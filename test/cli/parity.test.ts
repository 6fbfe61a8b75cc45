import { spawnSync } from 'node:child_process'
import { beforeAll, describe, expect, test } from 'vitest'
import { testWith, unmet } from '../requirements.ts'
import { check, type Field, schemas, withoutAdded } from './schema.ts'
import type { Output } from './tools.ts'

interface Forms {
  readonly json: Output
  readonly text: Output
}
interface Compared {
  readonly line: readonly string[]
  readonly ours: Forms
  readonly theirs: Forms
}

const NEEDS = ['bpf', 'program:bpftool', 'program:unshare', 'program:ip', 'program:tc'] as const
const seen = new Map<string, unknown[]>()
const fixtures = new URL('./fixtures/', import.meta.url).pathname

const compared = (name: string): Compared => {
  const found = seen.get(name)?.[0] as Compared | undefined
  if (found === undefined) throw new Error(`the scene did not ask for ${name}: ${[...seen.keys()].join(', ')}`)
  return found
}

/** bpftool's own faults mended: a flow dissector's `["id":5]` is no JSON. */
const parse = (text: string): unknown => JSON.parse(text.replace(/\["id":(\d+)\]/g, '[$1]') || '[]')

/** Clocks are read twice; whoever has statistics on makes counters move between the two tools. */
const MOVING = new Set(['loaded_at', 'duration', 'run_time_ns', 'run_cnt'])
const settled = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (key, own: unknown) => (MOVING.has(key) ? undefined : own)))

const rows = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value])
const schema = schemas()
const fieldsOf = (name: string): readonly Field[] => {
  const fields = schema.get(name)
  if (fields === undefined) throw new Error(`docs/json.md has no schema ${name}`)
  return fields
}

describe('the scene: programs of every kind, attached', () => {
  beforeAll(() => {
    if (NEEDS.some((need) => unmet(need) !== undefined)) return
    const node = [process.execPath, '--conditions=typebpf-source', '--import', 'tsx']
    const scene = new URL('./scene.ts', import.meta.url).pathname
    const { stdout, stderr, status } = spawnSync(
      'unshare',
      ['-n', '-m', '--propagation', 'private', ...node, scene, `${fixtures}inspect.o`, fixtures],
      { encoding: 'utf8', maxBuffer: 1 << 28 },
    )
    for (const line of stdout.split('\n').filter((text) => text.startsWith('{'))) {
      const { name, value } = JSON.parse(line) as { name: string; value: unknown }
      seen.set(name, [...(seen.get(name) ?? []), value])
    }
    if (status !== 0) throw new Error(`the scene ended with ${status}: ${stderr}`)
  }, 120_000)

  testWith(...NEEDS)('every command that changes something did', () => {
    const done = seen.get('did') as { line: string[]; status: number; stderr: string }[]
    expect(done.filter(({ status }) => status !== 0)).toEqual([])
    expect(done.length).toBeGreaterThan(12)
    expect(seen.get('iterated')).toEqual([true])
    const [{ maps, programs }] = seen.get('pinned') as { maps: string[]; programs: string[] }[]
    expect(maps).toEqual(expect.arrayContaining(['inspect_rodata', 'inspect_bss', 'outer', 'typed']))
    expect(programs).toEqual(expect.arrayContaining(['second', 'a_program_with_a_long_name']))
  })

  /** Commands of the scene by schema; those whose text is bpftool's to the byte. */
  const JSON_EQUAL: readonly (readonly [name: string, schema: string])[] = [
    ['cgroup show', 'cgroup show'],
    ['cgroup show effective', 'cgroup show'],
    ['cgroup show attached', 'cgroup show'],
    ['cgroup show detached', 'cgroup show'],
    ['perf show', 'perf show'],
    ['prog run', 'prog run'],
    ['prog show', 'prog show'],
    ['prog show pinned', 'prog show'],
    ['map getnext', 'map getnext'],
    ['map lookup', 'map dump'],
    ['map peek', 'map dump'],
    ...[
      'typed',
      'numbers',
      'each_cpu',
      'cpu_hash',
      'routes',
      'events',
      'sockets',
      'outer',
      'jumps',
      'inspect_bss',
    ].flatMap((map) => [[`map show ${map}`, 'map show'] as const, [`map dump ${map}`, 'map dump'] as const]),
    ...['a_program_with_a_long_name', 'second', 'each_map'].flatMap((name) =>
      ['', 'opcodes', 'linum'].map((form) => [`prog dump ${name} ${form}`, 'prog dump xlated'] as const),
    ),
  ]

  testWith(...NEEDS)('JSON has bpftool’s keys and values, and what is added is documented', () => {
    for (const [name, schemaName] of JSON_EQUAL) {
      const { ours, theirs } = compared(name)
      const fields = fieldsOf(schemaName)
      const mine = parse(ours.json.stdout)
      for (const row of rows(mine)) expect(check(row as object, fields), name).toEqual([])
      expect(settled(withoutAdded(mine, fields)), name).toEqual(
        settled(withoutAdded(parse(theirs.json.stdout), fields)),
      )
    }
  })

  testWith(...NEEDS)('text is bpftool’s', () => {
    const names = JSON_EQUAL.map(([name]) => name).filter((name) => !/^prog (run|show)|^map dump outer/.test(name))
    for (const name of [
      ...names,
      'cgroup tree',
      'map lookup nothing',
      'btf dump map',
      'btf dump map c',
      'btf dump prog',
    ]) {
      const { ours, theirs } = compared(name)
      expect(ours.text.stdout, name).toBe(theirs.text.stdout)
      expect(ours.text.status === 0, name).toBe(theirs.text.status === 0)
    }
  })

  testWith(...NEEDS)(
    'net show tells XDP, clsact and the flow dissector as bpftool does, and tcx and netfilter besides',
    () => {
      const fields = fieldsOf('net show')
      const added = /^(tcx|netkit)\//
      for (const name of ['net show', 'net show dev', 'net show attached', 'net show detached']) {
        const { ours, theirs } = compared(name)
        const [mine] = parse(ours.json.stdout) as [{ tc: { kind: string }[] }]
        expect(check(mine, fields), name).toEqual([])
        const known = { ...mine, tc: mine.tc.filter(({ kind }) => !added.test(kind)) }
        expect(withoutAdded(known, fields), name).toEqual((parse(theirs.json.stdout) as object[])[0])
        const text = ours.text.stdout.replace(/^.*\((\d+)\) (tcx|netkit)\/.*\n/gm, '').replace(/netfilter:[\s\S]*$/, '')
        expect(text.trimEnd(), name).toBe(theirs.text.stdout.trimEnd())
      }
      const [{ tc, netfilter }] = parse(compared('net show attached').ours.json.stdout) as [Record<string, unknown[]>]
      expect(tc).toContainEqual(expect.objectContaining({ devname: 'tb1', kind: 'tcx/ingress', name: 'on_ingress' }))
      expect(tc).toContainEqual(expect.objectContaining({ devname: 'tb0', kind: 'tcx/egress', link_id: 0 }))
      expect(netfilter).toContainEqual(expect.objectContaining({ pf: 2, hook: 1, prio: -5 }))
      const after = parse(compared('net show detached').ours.json.stdout) as [{ xdp: { devname: string }[] }]
      expect(after[0].xdp.map(({ devname }) => devname)).toEqual(['tb0'])
    },
  )

  testWith(...NEEDS)('link show tells every type of link, those that 7.1 knows as it does', () => {
    const { ours, theirs } = compared('link show')
    const fields = fieldsOf('link show')
    const mine = parse(ours.json.stdout) as { id: number; type: string }[]
    const peers = new Map((parse(theirs.json.stdout) as { id: number }[]).map((row) => [row.id, row]))
    for (const row of mine) {
      expect(check(row, fields)).toEqual([])
      const { type, ...peer } = { type: undefined, ...peers.get(row.id) } as { type: unknown }
      // links of other processes may have come or gone between the two
      if (peers.has(row.id)) expect(row).toMatchObject(typeof type === 'string' ? { type, ...peer } : peer)
    }
    const one = (type: string, more: object): void =>
      expect(mine).toContainEqual(expect.objectContaining({ type, ...more }))
    one('xdp', { devname: 'tb0' })
    one('tcx', { devname: 'tb1', attach_type: 'tcx_ingress' })
    one('cgroup', { attach_type: 'cgroup_inet4_connect' })
    one('netns', { attach_type: 'sk_lookup' })
    one('netns', { attach_type: 'flow_dissector' })
    one('netfilter', { pf: 2, hook: 1, prio: -5 })
    one('iter', { target_name: 'bpf_map' })
    one('raw_tracepoint', { tp_name: 'sys_enter' })
    one('perf_event', { tracepoint: 'sched_process_exit', cookie: 7 })
    one('perf_event', { retprobe: false, file: expect.stringContaining('libc') })
    one('uprobe_multi', { func_cnt: 1, path: expect.stringContaining('libc') })
  })

  testWith(...NEEDS)('btf list has bpftool’s objects', () => {
    const { ours, theirs } = compared('btf list')
    const sorted = (text: string): object[] =>
      (parse(text) as { prog_ids: number[]; map_ids: number[] }[]).map((row) => ({
        ...row,
        prog_ids: row.prog_ids.sort((a, b) => a - b),
        map_ids: row.map_ids.sort((a, b) => a - b),
      }))
    const mine = sorted(ours.json.stdout)
    for (const row of mine) expect(check(row, fieldsOf('btf show'))).toEqual([])
    // others load and unload meanwhile: of their BTF only what cannot change is compared
    const links = parse(compared('link show').ours.json.stdout) as { devname?: string; prog_id: number }[]
    const program = links.find(({ devname }) => devname === 'tb0')?.prog_id
    const peers = new Map(sorted(theirs.json.stdout).map((row) => [(row as { id: number }).id, row]))
    const common = (mine as { id: number; prog_ids: number[] }[]).filter(({ id }) => peers.has(id))
    expect(common.some(({ prog_ids }) => prog_ids.includes(program ?? 0))).toBe(true)
    for (const row of common) {
      const own = row.prog_ids.includes(program ?? 0)
      const users = own ? {} : { prog_ids: [], map_ids: [] }
      expect({ ...(withoutAdded(row, fieldsOf('btf show')) as object), ...users }).toEqual({
        ...peers.get(row.id),
        ...users,
      })
    }
  })

  testWith(...NEEDS)('several dumps have heads, as bpftool’s', () => {
    const { ours, theirs } = compared('prog dump several')
    // 7.1 does not know all types by name
    const named = (text: string): string => text.replace(/^(\d+: )(?:type \d+|\w+) /gm, '$1')
    expect(ours.text.stdout.match(/^\d+: /gm)?.length).toBeGreaterThan(2)
    expect(named(ours.text.stdout)).toBe(named(theirs.text.stdout))
    const keys = (text: string): string[][] => (parse(text) as object[]).map((row) => Object.keys(row))
    expect(keys(ours.json.stdout)).toEqual(keys(theirs.json.stdout))
  })

  testWith(...NEEDS)('btf dump prints a type that is missing and indents as bpftool does', () => {
    const { ours, theirs } = compared('btf dump section key')
    expect(ours.text.stdout).toBe(theirs.text.stdout)
    expect(parse(ours.json.stdout)).toEqual(parse(theirs.json.stdout))
    const pretty = seen.get('btf dump pretty')?.[0] as { ours: string; theirs: string }
    expect(pretty.ours).toBe(pretty.theirs)
  })

  testWith(...NEEDS)('a path with another kind of object, or with none, is named', () => {
    const refused = seen.get('refused') as { status: number; stderr: string }[]
    expect(refused.map(({ status }) => status)).toEqual([2, 2, 1])
    expect(refused.map(({ stderr }) => stderr.trim())).toEqual([
      expect.stringMatching(/is no program: a map is pinned there$/),
      expect.stringMatching(/is no link: a program is pinned there$/),
      expect.stringMatching(/^typebpf: nothing is pinned at /),
    ])
  })

  testWith(...NEEDS)('a batch runs its lines, with comments and continued lines', () => {
    const { ours, theirs } = compared('batch')
    const mine = parse(ours.json.stdout) as { command: string[]; output: object }[]
    const peer = parse(theirs.json.stdout) as { command: string[]; output: object }[]
    for (const row of mine) expect(check(row, fieldsOf('batch'))).toEqual([])
    expect(mine.map(({ command }) => command)).toEqual(peer.map(({ command }) => command))
    mine.forEach(({ output }, i) => {
      expect(settled(output)).toMatchObject(settled(peer[i].output) as object)
    })
    expect(ours.text.stdout).toContain('processed 2 commands')
  })

  testWith(...NEEDS)('version has bpftool’s keys', () => {
    const { ours, theirs } = compared('version')
    const mine = parse(ours.json.stdout) as Record<string, object>
    const peer = parse(theirs.json.stdout) as Record<string, object>
    expect(check(mine, fieldsOf('version'))).toEqual([])
    expect(Object.keys(mine)).toEqual(expect.arrayContaining(Object.keys(peer)))
    expect(Object.keys(mine['features'])).toEqual(expect.arrayContaining(Object.keys(peer['features'])))
  })
})

test('a schema tells what is missing, unknown or of another type', () => {
  const fields = fieldsOf('map getnext')
  expect(check({ key: null, next_key: ['0x00'] }, fields)).toEqual([])
  expect(check({ next_key: ['0x00'] }, fields)).toEqual(['.key is missing'])
  expect(check({ key: null, next_key: [1], more: 1 }, fields)).toHaveLength(2)
})
