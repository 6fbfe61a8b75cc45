// Many cycles of everything that owns a descriptor or memory: prints what is left afterwards as one JSON line.
// Arguments: cycles (default 10000), then names of tasks (default all). Run with --expose-gc, as root, with ip(8), and with
// --max-semi-space-size=8: else V8 doubles its young generation once on the way, 16 MiB that nothing holds.
import { readdirSync, readFileSync, readlinkSync, unlinkSync } from 'node:fs'
import { BtfBuilder } from '../../src/btf/index.ts'
import { u64 } from '../../src/layout/index.ts'
import {
  attachCgroup,
  attachIterator,
  attachNetfilter,
  attachNetns,
  attachPerfEvent,
  attachRawTracepoint,
  attachSockmap,
  attachTc,
  attachTcx,
  attachUprobe,
  attachXdp,
  createJudge,
  createMapSet,
  createRawMap,
  enableStats,
  findBinary,
  LiveArray,
  type LoadResult,
  loadBtf,
  openById,
  PerfBuffer,
  pin,
  programDetails,
  RingBuffer,
  readIterator,
  realSys,
  runProgram,
  UserRingBuffer,
} from '../../src/syscall/index.ts'
import { ATTACH_TYPES, MAP_FLAGS, MAP_TYPES, type MapType } from '../../src/uapi/index.ts'
import { enterOwnNamespace } from './own-namespace.ts'
import { counter, imageOf } from './programs.ts'

const wanted = Number(process.argv[2] ?? 10_000)
const chosen = process.argv.slice(3)
const sys = realSys()
const judge = createJudge(sys)
const image = imageOf('raw_tracepoint', 'r0 = 0\nexit\n')
const { folder, close } = enterOwnNamespace()
const cgroup = `${folder}/cgroup2`
const libc = findBinary('libc')
const builder = new BtfBuilder()
builder.add({ kind: 'int', name: 'int', size: 4, bits: 32, bitOffset: 0, signed: true, char: false, bool: false })
const btfBytes = builder.toBytes()

const map = (type: MapType, rest: object = {}) =>
  createRawMap(sys, { name: 'm', type: MAP_TYPES[type], keySize: 4, valueSize: 8, maxEntries: 8, flags: 0, ...rest })

// Programs that are attached again and again.
const iterated = judge.load(
  imageOf('tracing', 'r0 = 0\nexit\n', { expectedAttachType: ATTACH_TYPES.trace_iter, attachTo: { name: 'task' } }),
)
const programOf = ({ program, message }: LoadResult) => {
  if (program === undefined) throw new Error(message)
  return program
}
const raw = programOf(judge.load(image))
const xdp = counter('xdp', 2).program
const cls = counter('sched_cls', -1).program
const skb = counter('cgroup_skb', 1).program
const lookup = counter('sk_lookup', 1, { attach: 'sk_lookup' }).program
const filter = counter('netfilter', 1, { attach: 'netfilter' }).program
const message = counter('sk_msg', 1, { attach: 'sk_msg_verdict' }).program
const probe = counter('kprobe', 0).program
const sampler = counter('perf_event', 0).program
const iterator = programOf(iterated)
const sockets = map('sockmap', { valueSize: 4 })
const frame = new Uint8Array(64)

/** Open descriptors as "number target"; those that are closed while they are listed are none. */
const descriptors = (): ReadonlySet<string> =>
  new Set(
    readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return [`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`]
      } catch {
        return []
      }
    }),
  )
/** Descriptors that were not there before and stay: the runtime's own threads open and close files at any time. */
const descriptorsLeft = async (before: ReadonlySet<string>): Promise<number> => {
  let left = [...descriptors()].filter((one) => !before.has(one))
  for (let i = 0; i < 20 && left.length > 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 25))
    const now = descriptors()
    left = left.filter((one) => now.has(one))
  }
  return left.length
}
const mappings = (): number => readFileSync('/proc/self/maps', 'utf8').split('\n').length
/** With --expose-gc what the collector left for later does not count. */
const resident = (): number => {
  ;(globalThis as { gc?: () => void }).gc?.()
  return process.memoryUsage().rss / 1024 / 1024
}

const tasks: Readonly<Record<string, () => void>> = {
  'load and close': () => judge.judge(image),
  'load a rejected program': () => judge.judge(imageOf('xdp', 'exit\n')),
  'load with BTF and details': () => {
    using _ = loadBtf(sys, btfBytes)
    if (programDetails(sys, raw.fd).xlated.length !== 16) throw new Error('another program')
  },
  'test run': () => {
    runProgram(xdp, 'xdp', { data: frame })
  },
  'map create, use, close': () => {
    using hash = map('hash')
    hash.update(new Uint8Array(4), new Uint8Array(8))
    if ([...hash.entries()].length !== 1) throw new Error('an entry is missing')
  },
  'open by id': () => {
    using _ = openById(sys, 'program', raw.fd > 0 ? programDetails(sys, raw.fd).id : 0)
  },
  'pin and unpin': () => {
    pin(sys, raw.fd, `${folder}/bpf/pinned`)
    unlinkSync(`${folder}/bpf/pinned`)
  },
  'iterator: attach, read, detach': () => {
    using link = attachIterator(iterator, { tid: process.pid })
    readIterator(link)
  },
  'raw tracepoint: attach, detach': () => {
    // A tracepoint that nothing here hits.
    using _ = attachRawTracepoint(raw, { name: 'xdp_exception' })
  },
  'XDP: attach, detach': () => {
    using _ = attachXdp(xdp, { interface: 'lo', mode: 'generic' })
  },
  'tcx: attach, detach': () => {
    using _ = attachTcx(cls, { interface: 'lo', direction: 'egress' })
  },
  'classic tc: attach, detach': () => {
    using _ = attachTc(cls, { interface: 'left', direction: 'ingress' })
  },
  'cgroup: attach, detach': () => {
    using _ = attachCgroup(skb, { cgroup, type: 'cgroup_inet_ingress' })
  },
  'sk_lookup: attach, detach': () => {
    using _ = attachNetns(lookup, { type: 'sk_lookup' })
  },
  'netfilter: attach, detach': () => {
    using _ = attachNetfilter(filter, { family: 'ipv4', hook: 'input', priority: -1 })
  },
  'sockmap: attach, detach': () => {
    using _ = attachSockmap(message, { map: sockets, type: 'sk_msg_verdict' })
  },
  'uprobe: attach, detach': () => {
    using _ = attachUprobe(probe, { binary: libc, function: 'getppid', pid: process.pid })
  },
  'perf event: attach, detach': () => {
    using _ = attachPerfEvent(sampler, { type: 1, config: 0n, frequency: 1n, pid: process.pid })
  },
  'run-time statistics': () => {
    using _ = enableStats(sys)
  },
  'ring: open, close': () => {
    using ringbuf = map('ringbuf', { keySize: 0, valueSize: 0, maxEntries: 4096 })
    using ring = new RingBuffer(ringbuf)
    if (ring.pending !== 0) throw new Error('a ring that is not empty')
  },
  'user ring: open, push, close': () => {
    using ringbuf = map('user_ringbuf', { keySize: 0, valueSize: 0, maxEntries: 4096 })
    using ring = new UserRingBuffer(ringbuf)
    if (!ring.push(frame)) throw new Error('a ring that is full')
  },
  'perf buffer: open, close': () => {
    using array = map('perf_event_array', { valueSize: 4 })
    using _ = new PerfBuffer(array, { pages: 1 })
  },
  'array: map, unmap': () => {
    using array = map('array', { flags: MAP_FLAGS.mmapable })
    using live = new LiveArray(array, u64, true)
    live.set(0, 1n)
  },
  'arena: map, unmap': () => {
    const [arena] = createMapSet(sys, [
      { name: 'a', type: MAP_TYPES.arena, keySize: 0, valueSize: 0, maxEntries: 2, flags: MAP_FLAGS.mmapable },
    ])
    arena.close()
  },
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const names = chosen.length > 0 ? chosen : Object.keys(tasks)
const report: Record<string, object> = {}
for (const name of names) {
  const task = tasks[name]
  if (task === undefined) throw new Error(`no task ${name}: ${Object.keys(tasks).join('; ')}`)
  for (let i = 0; i < Math.min(Math.ceil(wanted / 4), 2000); i++) {
    task()
    if (i % 100 === 0) await turn()
  }
  const before = { descriptors: descriptors(), mappings: mappings(), resident: resident() }
  const start = performance.now()
  for (let i = 0; i < wanted; i++) {
    task()
    if (i % 100 === 0) await turn()
  }
  const microseconds = Math.round(((performance.now() - start) * 1000) / wanted)
  report[name] = {
    cycles: wanted,
    microseconds,
    descriptorsLeft: await descriptorsLeft(before.descriptors),
    mappingsLeft: mappings() - before.mappings,
    grownMiB: Math.round((resident() - before.resident) * 10) / 10,
  }
  // One line a task as it ends: a long campaign shows where it is.
  if (process.stderr.isTTY === true || wanted >= 1000)
    process.stderr.write(`${name}: ${JSON.stringify(report[name])}\n`)
}
close()
console.log(JSON.stringify(report))
process.exit(0)
