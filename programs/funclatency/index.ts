/** How long user-space functions take, as a histogram. */
import { UnsupportedError } from 'typebpf'
import { attachUprobe } from 'typebpf/kernel'
import {
  binaryPath,
  constants,
  type Distribution,
  reportHistograms,
  requireFunctions,
  requireProcess,
  Session,
  type Tool,
} from '../lib/index.ts'
import * as program from './funclatency.bpf.ts'

const UNITS = { nsecs: 1n, usecs: 1000n, msecs: 1_000_000n } as const

export interface FunclatencyOptions {
  /** A path, a program's name, a library's name with or without "lib"; with a `pid` absent: that process's program. */
  readonly binary?: string
  /** A name, `*` stands for any characters. */
  readonly function: string
  /** `function` is a regular expression. */
  readonly regular?: boolean
  readonly pid?: number
  readonly unit?: keyof typeof UNITS
}

/** Measures until it is closed. */
export class Funclatency implements Disposable {
  /** What is measured. */
  readonly functions: readonly string[]
  readonly binary: string
  readonly #session: Session

  /** @throws UsageError `tool.function`, `tool.binary`; SystemError `tool.process` and where this kernel cannot */
  constructor(options: FunclatencyOptions) {
    const { pid, unit } = options
    requireProcess(pid)
    this.binary = binaryPath(options.binary ?? '', pid)
    const places = requireFunctions(this.binary, options.function, options.regular)
    this.functions = places.map(({ name }) => name)
    this.#session = new Session(program, {
      name: 'funclatency',
      constants: [constants(program.only, { unitNs: UNITS[unit ?? 'nsecs'] })],
      attachAll: false,
    })
    try {
      for (const { offset } of places) {
        const place = { binary: this.binary, offset, pid }
        // the return first: no call is seen at its entry only
        this.#session.keep(attachUprobe(this.#session.program(program.leave), { ...place, returns: true }))
        this.#session.keep(attachUprobe(this.#session.program(program.enter), place))
      }
    } catch (error) {
      this.#session.close()
      throw error
    }
  }

  /** The histogram so far, which begins anew. */
  take(): Distribution[] {
    const map = this.#session.map(program.latencies)
    const counts: bigint[] = []
    for (const [slot, count] of map.entries()) {
      counts[slot] = count
      if (count > 0n) map.set(slot, 0n)
    }
    return [{ buckets: program.latencies.decode(counts, { all: true }) }]
  }
  /** All calls since the start: how many, and nanoseconds together. */
  totals(): { readonly calls: bigint; readonly ns: bigint } {
    return this.#session.map(program.totals).get(0) ?? { calls: 0n, ns: 0n }
  }
  /** Stops measuring; {@link take} still answers. */
  stop(): void {
    this.#session.detach()
  }
  [Symbol.dispose](): void {
    this.#session.close()
  }
}

/** "c:malloc", "/usr/bin/x:main", "main" (of the process). */
function target(pattern: string): { binary?: string; function: string } {
  const colon = pattern.lastIndexOf(':')
  return colon < 0 ? { function: pattern } : { binary: pattern.slice(0, colon), function: pattern.slice(colon + 1) }
}

/** Which unit a flag asks for. */
const UNIT_OF = { milliseconds: 'msecs', microseconds: 'usecs', nanoseconds: 'nsecs' } as const

export const tool: Tool = {
  arguments: [
    ['<pattern>', 'LIBRARY:FUNCTION, PATH:FUNCTION, or FUNCTION of the process of -p; * stands for any characters'],
  ],
  options: [
    ['-p, --pid <pid>', 'only this process'],
    ['-i, --interval <seconds>', 'show and clear the histogram at this interval'],
    ['-T, --timestamp', 'show the time of day above each output'],
    ['-u, --microseconds', 'microseconds instead of nanoseconds'],
    ['-m, --milliseconds', 'milliseconds instead of nanoseconds'],
    ['-r, --regexp', 'the function is a regular expression'],
  ],
  examples: ['funclatency c:malloc', 'funclatency -u -p 181 main', "funclatency /usr/bin/redis-server:'*Command' -i 1"],
  async run({ args, out, signal }) {
    const pid = args.process('pid')
    const wanted = target(args.text('pattern') ?? '')
    if (wanted.binary === undefined && pid === undefined)
      throw new UnsupportedError('tool.kernel-function', `${wanted.function}: kernel functions are not there yet`, {
        details: [`of a program or library: funclatency LIBRARY:${wanted.function}, or name a process with -p`],
      })
    const unit = UNIT_OF[args.oneOf('milliseconds', 'microseconds') ?? 'nanoseconds']
    using latency = new Funclatency({ ...wanted, pid, unit, regular: args.flag('regexp') })
    const { functions, binary } = latency
    const what = functions.length === 1 ? functions[0] : `${functions.length} functions`
    out.note(`Tracing ${what} of ${binary}... Hit Ctrl-C to end.`)
    await reportHistograms(out, signal, {
      seconds: args.number('interval', { min: 0.001 }),
      time: args.flag('timestamp'),
      unit,
      take: () => latency.take(),
      stop: () => latency.stop(),
    })
    const { calls, ns } = latency.totals()
    if (calls > 0n) out.text(`\navg = ${ns / calls} nsecs, total: ${ns} nsecs, count: ${calls}`)
  },
}
