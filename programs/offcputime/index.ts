/** Where threads wait: time off the CPU by stack. */
import { setTimeout as sleep } from 'node:timers/promises'
import { UsageError } from 'typebpf'
import { constants, reportStacks, Session, type StackRow, Symbols, type Tool, takeStacks } from '../lib/index.ts'
import * as program from './offcputime.bpf.ts'

export interface OffcputimeOptions {
  readonly pid?: number
  readonly tid?: number
  /** Only waits of at least (default 1) and at most so many microseconds. */
  readonly shortestUs?: bigint
  readonly longestUs?: bigint
  /** Only threads that left in this state (1 interruptible, 2 uninterruptible, 0 ready to run). */
  readonly state?: bigint
  /** Only user stacks, or only kernel stacks. Default both. */
  readonly stacks?: 'user' | 'kernel'
}

/** Measures until it is closed. */
export class Offcputime implements Disposable {
  readonly #session: Session
  readonly #symbols = new Symbols()

  /** @throws SystemError where this kernel or this process cannot */
  constructor({ stacks, ...options }: OffcputimeOptions = {}) {
    const only = { ...options, user: stacks === 'user', kernel: stacks === 'kernel' }
    this.#session = new Session(program, { name: 'offcputime', constants: [constants(program.only, only)] })
    if (options.pid !== undefined) this.#symbols.remember(options.pid)
  }

  /** Stacks with the microseconds that were spent off the CPU there. */
  rows(): { readonly rows: StackRow[]; readonly lostStacks: number } {
    const entries = [...this.#session.map(program.times).entries()]
    return takeStacks(
      this.#session,
      program.stacks,
      this.#symbols,
      entries.map(([where, value]) => ({ ...where, value })),
    )
  }
  /** Stops measuring; {@link rows} still answers. */
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
    ['-t, --tid <tid>', 'only this thread'],
    ['-U, --user-stacks-only', 'only user stacks'],
    ['-K, --kernel-stacks-only', 'only kernel stacks'],
    ['-d, --delimited', 'a mark between kernel and user frames'],
    ['-f, --folded', 'one line a stack, for flame graphs'],
    ['-m, --min-block-time <us>', 'only waits of at least so many microseconds (default 1)'],
    ['-M, --max-block-time <us>', 'only waits of at most so many microseconds'],
    ['--state <n>', 'only threads that left in this state (0 runnable, 1 interruptible, 2 uninterruptible)'],
  ],
  examples: ['offcputime 5', 'offcputime -p 185 -f 10 > out.folded', 'offcputime -m 1000 5', 'offcputime --state 2 5'],
  async run({ args, out, signal }) {
    const seconds = args.number('duration', { min: 0.001 })
    const big = (name: string): bigint | undefined => {
      const value = args.integer(name, { max: Number.MAX_SAFE_INTEGER })
      return value === undefined ? undefined : BigInt(value)
    }
    const [shortestUs, longestUs] = [big('minBlockTime'), big('maxBlockTime')]
    if (longestUs !== undefined && longestUs < (shortestUs ?? 1n))
      throw new UsageError('usage.range', `no wait has at least ${shortestUs ?? 1n} and at most ${longestUs} us`)
    using off = new Offcputime({
      pid: args.process('pid'),
      tid: args.process('tid'),
      shortestUs,
      longestUs,
      state: big('state'),
      stacks: STACKS[args.oneOf('userStacksOnly', 'kernelStacksOnly') ?? 'both'],
    })
    out.note(`Tracing off-CPU time (us)${seconds === undefined ? '... Hit Ctrl-C to end.' : ` for ${seconds} s.`}`)
    await sleep(seconds === undefined ? 2_147_483_647 : seconds * 1000, undefined, { signal }).catch(() => undefined)
    off.stop()
    const { rows, lostStacks } = off.rows()
    reportStacks(out, rows, {
      folded: args.flag('folded'),
      delimited: args.flag('delimited'),
      what: 'us',
    })
    if (lostStacks > 0) out.note(`${lostStacks} stacks are missing: there was no room for them`)
  },
}
