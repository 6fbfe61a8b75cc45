import { bytesToHex } from '../../bytes/index.ts'
import { NegativeError } from '../../errors/index.ts'
import { decode } from '../../layout/index.ts'
import type { ProgramType } from '../../uapi/index.ts'
import type { RawResult } from '../backend/backend.ts'
import { diffPackets } from '../packets/index.ts'
import { RUN_SHAPES } from './shapes.ts'
import { verdictName } from './verdicts.ts'

/** One thing that two backends disagree on. */
export interface Difference {
  /** `return value`, `packet ipv4.ttl`, `context mark`, `map counts[6].bytes`, `global packets`. */
  readonly what: string
  readonly emulator: string
  readonly kernel: string
  /** Of a map: the entry's key in hex. */
  readonly key?: string
}

/** Two backends gave different answers to the same run. */
export class DifferenceError extends NegativeError {
  override readonly name = 'DifferenceError'
  readonly differences: readonly Difference[]

  constructor(program: string, label: string, differences: readonly Difference[]) {
    super(
      'progrun.difference',
      `${program}: emulator and ${label} differ in ${differences.map(({ what }) => what).join(', ')}`,
      {
        details: differences
          .slice(0, 20)
          .map(({ what, emulator, kernel }) => `${what}: emulator ${emulator}, ${label} ${kernel}`),
      },
    )
    this.differences = differences
  }
}

function named(type: ProgramType, value: number): string {
  const name = verdictName(type, value | 0)
  return name === undefined ? String(value) : `${value} (${name})`
}

/** What the results of one run differ in. */
export function compareResults(type: ProgramType, emulator: RawResult, kernel: RawResult): Difference[] {
  const out: Difference[] = []
  if (emulator.retval !== kernel.retval)
    out.push({ what: 'return value', emulator: named(type, emulator.retval), kernel: named(type, kernel.retval) })
  out.push(...compareEvents(emulator, kernel))
  const shape = RUN_SHAPES[type]
  if (emulator.data !== undefined && kernel.data !== undefined) {
    if (shape?.data === 'packet')
      for (const { path, actual, expected } of diffPackets(emulator.data, kernel.data))
        out.push({ what: `packet ${path}`, emulator: actual, kernel: expected })
    else if (bytesToHex(emulator.data) !== bytesToHex(kernel.data))
      out.push({ what: 'data', emulator: bytesToHex(emulator.data), kernel: bytesToHex(kernel.data) })
  }
  if (emulator.flowKeys !== undefined && kernel.flowKeys !== undefined) {
    const [a, b] = [bytesToHex(emulator.flowKeys), bytesToHex(kernel.flowKeys)]
    if (a !== b) out.push({ what: 'flow keys', emulator: a, kernel: b })
  }
  if (shape?.context !== undefined && emulator.context !== undefined && kernel.context !== undefined) {
    const left = decode(shape.context, emulator.context) as Record<string, unknown>
    const right = decode(shape.context, kernel.context) as Record<string, unknown>
    for (const field of shape.contextOut ?? [])
      if (String(left[field]) !== String(right[field]))
        out.push({ what: `context ${field}`, emulator: String(left[field]), kernel: String(right[field]) })
  }
  return out
}

/** Records of rings and perf buffers; other events cannot be read back from a test run. */
function compareEvents(emulator: RawResult, kernel: RawResult): Difference[] {
  const out: Difference[] = []
  for (const kind of ['ringbuf', 'perf'] as const) {
    const left = emulator.events.filter((event) => event.kind === kind)
    const right = kernel.events.filter((event) => event.kind === kind)
    for (let i = 0; i < Math.max(left.length, right.length); i++) {
      const [ours, theirs] = [left[i], right[i]]
      // the kernel fills a perf record up to whole words: as much as was sent is compared
      const data =
        kind === 'perf' && ours !== undefined && theirs?.data.length === ((ours.data.length + 11) & ~7) - 4
          ? theirs.data.subarray(0, ours.data.length)
          : theirs?.data
      const text = (map: string | undefined, bytes: Uint8Array | undefined): string =>
        bytes === undefined ? '(absent)' : `${map}: ${bytesToHex(bytes)}`
      const [a, b] = [text(ours?.map, ours?.data), text(theirs?.map, data)]
      if (a !== b) out.push({ what: `${kind === 'perf' ? 'perf event' : 'event'} ${i}`, emulator: a, kernel: b })
    }
  }
  return out
}
