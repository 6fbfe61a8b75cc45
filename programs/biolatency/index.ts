/** How long block I/O takes, as a histogram. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { UsageError } from 'typebpf'
import { constants, type Distribution, reportHistograms, Session, type Tool } from '../lib/index.ts'
import * as program from './biolatency.bpf.ts'

export interface BiolatencyOptions {
  /** A disk's or partition's name ("vda"): only its I/O. */
  readonly disk?: string
  /** A histogram a disk. */
  readonly perDisk?: boolean
  /** Count the time in the scheduler's queue too. */
  readonly queued?: boolean
  /** Default: microseconds. */
  readonly milliseconds?: boolean
}

/** The kernel's number of a disk: major << 20 | minor. @throws UsageError `tool.disk` */
export function diskNumber(name: string): number {
  let text: string
  try {
    text = readFileSync(`/sys/class/block/${basename(name)}/dev`, 'utf8')
  } catch (cause) {
    const there = readdirSync('/sys/block').join(', ')
    throw new UsageError('tool.disk', `there is no disk ${JSON.stringify(name)}`, {
      cause,
      details: [`there are: ${there || 'none'}`],
    })
  }
  const [major, minor] = text.trim().split(':').map(Number)
  return major * 0x10_0000 + minor
}

function diskName(device: number): string {
  const number = `${device >>> 20}:${device & 0xf_ffff}`
  try {
    return basename(readlinkSync(`/sys/dev/block/${number}`))
  } catch {
    return number
  }
}

/** Counts until it is closed. */
export class Biolatency implements Disposable {
  readonly #session: Session

  /** @throws SystemError where this kernel or this process cannot; UsageError `tool.disk` */
  constructor({ disk, perDisk, queued, milliseconds }: BiolatencyOptions = {}) {
    const device = disk === undefined ? 0 : diskNumber(disk)
    this.#session = new Session(program, {
      name: 'biolatency',
      constants: [
        constants(program.only, { device, perDisk, queued, unitNs: milliseconds === true ? 1_000_000n : 1000n }),
      ],
      programs: [...(queued === true ? ['insert'] : []), 'issue', 'complete'],
    })
  }

  /** The histograms so far, which begin anew: one a disk with `perDisk`. */
  take(): Distribution[] {
    const map = this.#session.map(program.latencies)
    return [...map.entries()].map(([device, counts]): Distribution => {
      map.delete(device)
      const buckets = program.latencies.decode(counts, { all: true })
      return device === 0 ? { buckets } : { label: ['disk', diskName(device)], buckets }
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
    ['-Q, --queued', 'count the time in the queue too'],
    ['-m, --milliseconds', 'milliseconds instead of microseconds'],
    ['-D, --disks', 'a histogram for each disk'],
    ['-d, --disk <name>', 'only this disk (vda)'],
  ],
  examples: ['biolatency', 'biolatency 1 10', 'biolatency -mT 1', 'biolatency -Q', 'biolatency -D'],
  async run({ args, out, signal }) {
    const milliseconds = args.flag('milliseconds')
    using latency = new Biolatency({
      disk: args.text('disk'),
      perDisk: args.flag('disks'),
      queued: args.flag('queued'),
      milliseconds,
    })
    out.note('Tracing block device I/O... Hit Ctrl-C to end.')
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
