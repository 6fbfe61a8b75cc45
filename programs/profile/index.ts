/** Where processes spend their time, by sampling stacks at a fixed rate. */
import { setTimeout as sleep } from 'node:timers/promises'
import { UsageError } from 'typebpf'
import { attachPerfEvent, onlineCpus } from 'typebpf/kernel'
import { constants, reportStacks, Session, type StackRow, Symbols, type Tool, takeStacks } from '../lib/index.ts'
import * as program from './profile.bpf.ts'

/** PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK. */
const CPU_CLOCK = { type: 1, config: 0n } as const

export interface ProfileOptions {
  readonly pid?: number
  readonly tid?: number
  /** Samples a second on each CPU. Default 49. */
  readonly frequency?: number
  /** Instead: a sample every so many nanoseconds of a CPU's time. */
  readonly period?: number
  /** Only user stacks, or only kernel stacks. Default both. */
  readonly stacks?: 'user' | 'kernel'
  /** Only this CPU. Default: all that are online. */
  readonly cpu?: number
  /** Also the idle task. */
  readonly idle?: boolean
}

/** Samples until it is closed. */
export class Profile implements Disposable {
  readonly #session: Session
  readonly #symbols = new Symbols()

  /** @throws SystemError where this kernel or this process cannot */
  constructor({ pid, tid, frequency, period, stacks, idle, cpu: chosen }: ProfileOptions = {}) {
    const online = onlineCpus()
    if (chosen !== undefined && !online.includes(chosen))
      throw new UsageError('tool.cpu', `CPU ${chosen} is not online`, { details: [`online are: ${online.join(', ')}`] })
    const only = { pid, tid, idle, user: stacks === 'user', kernel: stacks === 'kernel' }
    this.#session = new Session(program, { name: 'profile', constants: [constants(program.only, only)] })
    const rate = period === undefined ? { frequency: BigInt(frequency ?? 49) } : { period: BigInt(period) }
    try {
      for (const cpu of chosen === undefined ? online : [chosen])
        this.#session.keep(attachPerfEvent(this.#session.program(program.sample), { ...CPU_CLOCK, ...rate, cpu }))
    } catch (error) {
      this.#session.close()
      throw error
    }
    if (pid !== undefined) this.#symbols.remember(pid)
  }

  /** Stacks with their samples. */
  rows(): { readonly rows: StackRow[]; readonly lostStacks: number } {
    const entries = [...this.#session.map(program.samples).entries()]
    return takeStacks(
      this.#session,
      program.stacks,
      this.#symbols,
      entries.map(([where, count]) => ({ ...where, value: BigInt(count) })),
    )
  }
  /** Stops sampling; {@link rows} still answers. */
  stop(): void {
    this.#session.detach()
  }
  [Symbol.dispose](): void {
    this.#session.close()
  }
}

/** Which stacks a flag asks for. */
const STACKS = { userStacksOnly: 'user', kernelStacksOnly: 'kernel', both: undefined } as const

export const tool: Tool = {
  arguments: [['[duration]', 'seconds; without it until Ctrl-C']],
  options: [
    ['-p, --pid <pid>', 'only this process'],
    ['-L, --tid <tid>', 'only this thread'],
    ['-U, --user-stacks-only', 'only user stacks'],
    ['-K, --kernel-stacks-only', 'only kernel stacks'],
    ['-F, --frequency <hertz>', 'samples a second on each CPU (default 49)'],
    ['-c, --period <nanoseconds>', 'a sample every so many nanoseconds instead'],
    ['-d, --delimited', 'a mark between kernel and user frames'],
    ['-a, --annotations', 'add _[k] to kernel functions'],
    ['-I, --include-idle', 'count the idle task too'],
    ['-C, --cpu <cpu>', 'only this CPU'],
    ['-f, --folded', 'one line a stack, for flame graphs'],
  ],
  examples: ['profile', 'profile -F 99 10', 'profile -p 185 -f > out.folded', 'profile -U -d', 'profile -a'],
  async run({ args, out, signal }) {
    const seconds = args.number('duration', { min: 0.001 })
    args.oneOf('frequency', 'period')
    const frequency = args.integer('frequency', { min: 1, max: 100_000 })
    const period = args.integer('period', { min: 1000 })
    using profile = new Profile({
      pid: args.process('pid'),
      tid: args.process('tid'),
      frequency,
      period,
      stacks: STACKS[args.oneOf('userStacksOnly', 'kernelStacksOnly') ?? 'both'],
      idle: args.flag('includeIdle'),
      cpu: args.integer('cpu', { max: 4095 }),
    })
    const until = seconds === undefined ? '... Hit Ctrl-C to end.' : ` for ${seconds} s.`
    out.note(`Sampling stacks ${period === undefined ? `at ${frequency ?? 49} Hz` : `every ${period} ns`}${until}`)
    await sleep(seconds === undefined ? 2_147_483_647 : seconds * 1000, undefined, { signal }).catch(() => undefined)
    profile.stop()
    const { rows, lostStacks } = profile.rows()
    reportStacks(out, rows, {
      folded: args.flag('folded'),
      delimited: args.flag('delimited'),
      annotated: args.flag('annotations'),
      what: 'samples',
    })
    if (lostStacks > 0) out.note(`${lostStacks} stacks are missing: there was no room for them`)
  },
}
