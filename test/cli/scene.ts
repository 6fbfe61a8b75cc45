// Runs in namespaces of its own (unshare -n -m): attaches programs of every kind to what it makes, asks both tools about
// them, prints what they said as JSON lines. Started by parity.test.ts.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readObject } from '../../src/elf/index.ts'
import {
  attachCgroup,
  attachIterator,
  attachNetfilter,
  attachNetns,
  attachPerfEvent,
  attachRawTracepoint,
  attachTcx,
  attachTracepoint,
  attachUprobe,
  attachUprobeMulti,
  attachXdp,
  loadObject,
  realSys,
} from '../../src/syscall/index.ts'
import { ours, system, theirsAnyhow } from './tools.ts'

const objectFile = process.argv[2]
const keep: unknown[] = []
const folder = mkdtempSync(join(tmpdir(), 'typebpf-scene-'))
const bpffs = join(folder, 'bpf')
mkdirSync(bpffs)
system('mount', '-t', 'bpf', 'bpf', bpffs)
system('mount', '-t', 'tracefs', 'tracefs', '/sys/kernel/tracing')
system('ip', 'link', 'add', 'tb0', 'type', 'veth', 'peer', 'name', 'tb1')
for (const name of ['lo', 'tb0', 'tb1']) system('ip', 'link', 'set', name, 'up')

const unified = readFileSync('/proc/mounts', 'utf8')
  .split('\n')
  .map((line) => line.split(' '))
  .find(([, , type]) => type === 'cgroup2')?.[1]
if (unified === undefined) throw new Error('cgroup v2 is not mounted')
const cgroup = join(unified, `typebpf-scene-${process.pid}`)
mkdirSync(join(cgroup, 'below'), { recursive: true })

const put = (name: string, value: unknown): void => {
  process.stdout.write(`${JSON.stringify({ name, value })}\n`)
}

/** The same line to both tools, in every form. */
async function both(name: string, ...line: string[]): Promise<void> {
  const mine = { json: await ours('-j', ...line), text: await ours(...line) }
  const peer = { json: theirsAnyhow('-j', ...line), text: theirsAnyhow(...line) }
  put(name, { line, ours: mine, theirs: peer })
}

// functions that nothing calls
const libc = /\S+\/libc\.so\.6$/m.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0] ?? process.execPath
const sys = realSys()
const object = readObject(readFileSync(objectFile), { what: objectFile, name: 'inspect' })
const loaded = loadObject(sys, object)
const program = (name: string) => {
  const found = loaded.programs.find(({ spec }) => spec.name === name)?.result
  if (found?.program === undefined) throw new Error(`${name}: ${found?.message}`)
  return found.program
}

const tagOf = async (path: string): Promise<string> =>
  JSON.parse((await ours('-j', 'prog', 'show', 'pinned', path)).stdout).tag

/** A kind of link that this kernel may lack; the others must be there. */
function attach(kind: string, make: () => unknown): void {
  try {
    keep.push(make())
  } catch (error) {
    put('absent', { kind, message: (error as Error).message })
  }
}

try {
  attach('xdp', () => attachXdp(program('second'), { interface: 'tb0' }))
  attach('tcx', () => attachTcx(program('on_ingress'), { interface: 'tb1', direction: 'ingress' }))
  attach('cgroup', () => attachCgroup(program('connect4'), { cgroup, type: 'cgroup_inet4_connect' }))
  attach('netns', () => attachNetns(program('lookup'), { type: 'sk_lookup' }))
  attach('netns flow dissector', () => attachNetns(program('dissect'), { type: 'flow_dissector' }))
  attach('netfilter', () => attachNetfilter(program('filter'), { family: 'ipv4', hook: 'input', priority: -5 }))
  attach('iter', () => attachIterator(program('each_map')))
  attach('raw_tracepoint', () => attachRawTracepoint(program('enter'), { name: 'sys_enter' }))
  attach('tracepoint', () =>
    attachTracepoint(program('on_exit'), {
      category: 'sched',
      name: 'sched_process_exit',
      cookie: 7n,
      tracefs: '/sys/kernel/tracing',
    }),
  )
  attach('perf_event', () =>
    attachPerfEvent(program('sample'), { type: 1, config: 0n, period: 1_000_000_000n, pid: process.pid }),
  )
  attach('uprobe', () => attachUprobe(program('probed'), { binary: libc, function: 'malloc_info', pid: process.pid }))
  attach('uprobe_multi', () =>
    attachUprobeMulti(program('probed_many'), { binary: libc, functions: 'mallopt', pid: process.pid }),
  )
  await both('link show', 'link', 'show')
  await both('net show', 'net', 'show')
  await both('net show dev', 'net', 'show', 'dev', 'tb0')
  await both('cgroup show', 'cgroup', 'show', cgroup)
  await both('cgroup show effective', 'cgroup', 'show', join(cgroup, 'below'), 'effective')
  await both('cgroup tree', 'cgroup', 'tree', cgroup)
  await both('perf show', 'perf', 'show')
  await both('btf list', 'btf', 'list')

  // what the commands themselves load, attach and detach; bpftool looks
  const done = async (...line: string[]): Promise<void> => {
    const { status, stderr } = await ours(...line)
    put('did', { line, status, stderr })
  }
  const at = (name: string): string => join(bpffs, name)
  await done('prog', 'loadall', objectFile, at('p'), 'pinmaps', at('m'))
  put('pinned', { programs: readdirSync(at('p')), maps: readdirSync(at('m')) })
  await done('net', 'attach', 'xdpgeneric', 'pinned', at('p/second'), 'dev', 'tb1')
  await done('net', 'attach', 'tcx_egress', 'pinned', at('p/on_ingress'), 'dev', 'tb0')
  await done('cgroup', 'attach', cgroup, 'egress', 'pinned', at('p/egress'), 'multi')
  await done('prog', 'attach', 'pinned', at('p/message'), 'sk_msg_verdict', 'pinned', at('m/sockets'))
  try {
    system('tc', 'qdisc', 'add', 'dev', 'tb0', 'clsact')
    system('tc', 'filter', 'add', 'dev', 'tb0', 'ingress', 'bpf', 'direct-action', 'pinned', at('p/classify'))
  } catch (error) {
    put('absent', { kind: 'clsact', message: (error as Error).message })
  }
  await both('net show attached', 'net', 'show')
  await both('cgroup show attached', 'cgroup', 'show', cgroup)
  await done('net', 'detach', 'xdpgeneric', 'dev', 'tb1')
  await done('net', 'detach', 'tcx_egress', 'dev', 'tb0')
  await done('cgroup', 'detach', cgroup, 'egress', 'pinned', at('p/egress'))
  await done('prog', 'detach', 'pinned', at('p/message'), 'sk_msg_verdict', 'pinned', at('m/sockets'))
  await both('net show detached', 'net', 'show')
  await both('cgroup show detached', 'cgroup', 'show', cgroup)
  await done('iter', 'pin', join(process.argv[3], 'iter.o'), at('iter'))
  put('iterated', readFileSync(at('iter'), 'utf8').length > 0)

  writeFileSync(join(folder, 'packet'), Buffer.alloc(64))
  writeFileSync(
    join(folder, 'batch'),
    `# comment\nprog show pinned ${at('p/second')}\n\nmap show \\\n  pinned ${at('m/numbers')}\n`,
  )
  const packet = join(folder, 'packet')
  await both('prog run', 'prog', 'run', 'pinned', at('p/second'), 'data_in', packet, 'data_out', '-', 'repeat', '3')
  await both('batch', 'batch', 'file', join(folder, 'batch'))
  const maps = [
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
  ]
  const key = ['key', '7', '0', '0', '0']
  const size = Number(JSON.parse((await ours('-j', 'map', 'show', 'pinned', at('m/typed'))).stdout).bytes_value)
  const bytes = Array.from({ length: size }, (_, i) => String((i * 7 + 3) % 256))
  await done('map', 'update', 'pinned', at('m/typed'), ...key, 'value', ...bytes)
  await done('map', 'update', 'pinned', at('m/typed'), 'key', '1', '0', '0', '0', 'value', ...bytes.map(() => '0'))
  await done(
    'map',
    'update',
    'pinned',
    at('m/routes'),
    'key',
    'hex',
    '18',
    '0',
    '0',
    '0',
    '0a',
    '0',
    '0',
    '0',
    'value',
    '1',
    '0',
    '0',
    '0',
  )
  await done('map', 'update', 'pinned', at('m/cpu_hash'), ...key, 'value', '9', '0', '0', '0')
  await done('map', 'push', 'pinned', at('m/waiting'), 'value', '1', '2', '3', '4', '5', '6', '7', '8')
  for (const map of maps) {
    await both(`map show ${map}`, 'map', 'show', 'pinned', at(`m/${map}`))
    await both(`map dump ${map}`, 'map', 'dump', 'pinned', at(`m/${map}`))
  }
  await both('map lookup', 'map', 'lookup', 'pinned', at('m/typed'), ...key)
  await both('map lookup nothing', 'map', 'lookup', 'pinned', at('m/typed'), 'key', '9', '0', '0', '0')
  await both('map getnext', 'map', 'getnext', 'pinned', at('m/numbers'), 'key', '0', '0', '0', '0')
  await both('map peek', 'map', 'peek', 'pinned', at('m/waiting'))
  for (const name of ['a_program_with_a_long_name', 'second', 'each_map'])
    for (const form of [[], ['opcodes'], ['linum']])
      await both(`prog dump ${name} ${form.join('')}`, 'prog', 'dump', 'xlated', 'pinned', at(`p/${name}`), ...form)
  await both('prog show', 'prog', 'show', 'pinned', at('p/a_program_with_a_long_name'))
  await both('prog show pinned', '-f', 'prog', 'show', 'pinned', at('p/second'))
  await both('btf dump map', 'btf', 'dump', 'map', 'pinned', at('m/typed'))
  await both('btf dump map c', 'btf', 'dump', 'map', 'pinned', at('m/typed'), 'kv', 'format', 'c')
  await both('btf dump prog', 'btf', 'dump', 'prog', 'pinned', at('p/second'))
  await both('prog dump several', 'prog', 'dump', 'xlated', 'tag', await tagOf(at('p/message')))
  await both('btf dump section key', 'btf', 'dump', 'map', 'pinned', at('m/inspect_rodata'), 'key')
  const pretty = ['-p', 'btf', 'dump', 'map', 'pinned', at('m/typed'), 'all']
  put('btf dump pretty', { ours: (await ours(...pretty)).stdout, theirs: theirsAnyhow(...pretty).stdout })
  for (const line of [
    ['prog', 'show', 'pinned', at('m/typed')],
    ['link', 'show', 'pinned', at('p/second')],
    ['map', 'show', 'pinned', at('absent')],
  ]) {
    const { status, stderr } = await ours(...line)
    put('refused', { status, stderr })
  }
  await both('version', 'version')
} finally {
  loaded.close()
  for (const link of keep) (link as { close(): void }).close()
  rmdirSync(join(cgroup, 'below'))
  rmdirSync(cgroup)
}
