/** Names of perf events (include/uapi/linux/perf_event.h), as the perf tools write them. */
const TYPES = ['hardware', 'software', 'tracepoint', 'hw-cache', 'raw', 'breakpoint']
const HARDWARE = [
  'cpu-cycles',
  'instructions',
  'cache-references',
  'cache-misses',
  'branch-instructions',
  'branch-misses',
  'bus-cycles',
  'stalled-cycles-frontend',
  'stalled-cycles-backend',
  'ref-cycles',
]
const SOFTWARE = [
  'cpu-clock',
  'task-clock',
  'page-faults',
  'context-switches',
  'cpu-migrations',
  'minor-faults',
  'major-faults',
  'alignment-faults',
  'emulation-faults',
  'dummy',
  'bpf-output',
  'cgroup-switches',
]
const CACHE = ['L1-dcache', 'L1-icache', 'LLC', 'dTLB', 'iTLB', 'branch', 'node']
const CACHE_OPERATION = ['load', 'store', 'prefetch']
const CACHE_RESULT = ['refs', 'misses']

export const eventType = (type: number): string | undefined => TYPES[type]

/** The event of a type; undefined where it has no name. */
export function eventConfig(type: number, config: bigint): string | undefined {
  const number = Number(config)
  switch (TYPES[type]) {
    case 'hardware':
      return HARDWARE[number]
    case 'software':
      return SOFTWARE[number]
    case 'hw-cache': {
      const part = (names: readonly string[], index: number): string => names[index] ?? String(index)
      return [
        part(CACHE, number & 0xff),
        part(CACHE_OPERATION, (number >> 8) & 0xff),
        part(CACHE_RESULT, Math.floor(number / 0x10000)),
      ].join('-')
    }
    default:
      return undefined
  }
}
