/** How long threads that could run waited for a CPU, as a histogram. */
import { readFileSync } from 'node:fs'
import { constants, type Distribution, reportHistograms, Session, type Tool } from '../lib/index.ts'
import * as program from './runqlat.bpf.ts'

export interface RunqlatOptions {
  /** Only threads of this process. */
  readonly pid?: number
  /** A histogram a process, or a thread. */
  readonly by?: 'process' | 'thread'
  /** Default: microseconds. */
  readonly milliseconds?: boolean
}

function processName(id: number): string {
  try {
    return readFileSync(`/proc/${id}/comm`, 'utf8').trim()
  } catch {
    return ''
  }
}

/** Counts until it is closed. */
export class Runqlat implements Disposable {
  readonly #session: Session
  readonly #by: RunqlatOptions['by']

  /** @throws SystemError where this kernel or this process cannot */
  constructor({ pid, by, milliseconds }: RunqlatOptions = {}) {
    this.#by = by
    this.#session = new Session(program, {
      name: 'runqlat',
      constants: [
        constants(program.only, {
          process: pid,
          byProcess: by === 'process',
          byThread: by === 'thread',
          unitNs: milliseconds === true ? 1_000_000n : 1000n,
        }),
      ],
    })
  }

  /** The histograms so far, which begin anew. */
  take(): Distribution[] {
    const map = this.#session.map(program.latencies)
    return [...map.entries()].map(([key, counts]): Distribution => {
      map.delete(key)
      const buckets = program.latencies.decode(counts, { all: true })
      if (this.#by === undefined) return { buckets }
      const name = processName(key)
      return { label: [this.#by === 'process' ? 'pid' : 'tid', name === '' ? key : `${key} ${name}`], buckets }
    })
  }
  /** Stops counting; {@link take} still answers. */
  stop(): void {
    this.#session.detach()
  }
  [Symbol.dispose](): void {
    this.#session.close()
  }
}

export const tool: Tool = {
  arguments: [
    ['[interval]', 'seconds between two outputs; without it one at the end'],
    ['[count]', 'how many outputs'],
  ],
  options: [
    ['-T, --timestamp', 'show the time of day above each output'],
    ['-m, --milliseconds', 'milliseconds instead of microseconds'],
    ['-P, --pids', 'a histogram for each process'],
    ['-L, --tids', 'a histogram for each thread'],
    ['-p, --pid <pid>', 'only this process'],
  ],
  examples: ['runqlat', 'runqlat 1 10', 'runqlat -mT 1', 'runqlat -P', 'runqlat -p 185'],
  async run({ args, out, signal }) {
    const milliseconds = args.flag('milliseconds')
    using latency = new Runqlat({
      pid: args.process('pid'),
      by: ({ tids: 'thread', pids: 'process', none: undefined } as const)[args.oneOf('tids', 'pids') ?? 'none'],
      milliseconds,
    })
    out.note('Tracing run queue latency... Hit Ctrl-C to end.')
    await reportHistograms(out, signal, {
      seconds: args.number('interval', { min: 0.001 }),
      count: args.integer('count', { min: 1 }),
      time: args.flag('timestamp'),
      unit: milliseconds ? 'msecs' : 'usecs',
      take: () => latency.take(),
      stop: () => latency.stop(),
    })
  },
}
