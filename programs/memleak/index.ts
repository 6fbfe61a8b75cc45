/** Memory that a process allocated and did not free, by the stacks that allocated it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { SystemError, UsageError } from 'typebpf'
import { attachUprobe, findFunctions } from 'typebpf/kernel'
import {
  binaryPath,
  clock,
  constants,
  type Frame,
  requireProcess,
  Session,
  Symbols,
  type Tool,
  ticks,
} from '../lib/index.ts'
import * as program from './memleak.bpf.ts'

/** Which program runs at the entry of which function. */
const FUNCTIONS = [
  ['malloc', program.malloc],
  ['valloc', program.malloc],
  ['pvalloc', program.malloc],
  ['calloc', program.calloc],
  ['realloc', program.realloc],
  ['memalign', program.memalign],
  ['aligned_alloc', program.memalign],
  ['posix_memalign', program.posixMemalign],
] as const

export interface MemleakOptions {
  readonly pid: number
  /** The library or binary with malloc; default libc as the process has it. */
  readonly object?: string
  readonly smallest?: bigint
  readonly largest?: bigint
  /** Every so many allocations count one. Default 1: all. */
  readonly sample?: number
}

/** Allocations of one stack that are still there. */
export interface Leak {
  readonly bytes: bigint
  readonly allocations: readonly { readonly address: bigint; readonly size: bigint; readonly timeNs: bigint }[]
  /** Innermost first. */
  readonly stack: readonly Frame[]
}

/** Watches a process until it is closed. */
export class Memleak implements Disposable {
  readonly #session: Session
  readonly #symbols = new Symbols()
  readonly #pid: number

  /** @throws SystemError `tool.process` and where this kernel cannot; UsageError `tool.binary`, `tool.function` */
  constructor({ pid, object, smallest, largest, sample }: MemleakOptions) {
    requireProcess(pid)
    this.#pid = pid
    const binary = binaryPath(object ?? 'libc', pid)
    const places = new Map(findFunctions(binary, () => true).map(({ name, offset }) => [name, offset]))
    const freeAt = places.get('free')
    if (freeAt === undefined || !places.has('malloc'))
      throw new UsageError('tool.function', `${binary} has no malloc and free`, {
        details: ['name the library or binary that has them with -O (a static binary, jemalloc …)'],
      })
    this.#session = new Session(program, {
      name: 'memleak',
      constants: [constants(program.only, { smallest, largest, sample })],
      attachAll: false,
    })
    const probe = (definition: { readonly name: string }, offset: number, returns: boolean): void => {
      this.#session.keep(attachUprobe(this.#session.program(definition), { binary, offset, pid, returns }))
    }
    try {
      probe(program.free, freeAt, false)
      for (const [name, entry] of FUNCTIONS) {
        const offset = places.get(name)
        if (offset === undefined) continue
        probe(program.allocated, offset, true)
        probe(entry, offset, false)
      }
    } catch (error) {
      this.#session.close()
      throw error
    }
    this.#symbols.remember(pid)
  }

  /** What is allocated for at least `olderMs` and not freed, most bytes first. */
  leaks(olderMs = 0): Leak[] {
    this.refresh()
    const before = process.hrtime.bigint() - BigInt(olderMs) * 1_000_000n
    const byStack = new Map<
      number,
      { bytes: bigint; allocations: { address: bigint; size: bigint; timeNs: bigint }[] }
    >()
    for (const [address, { size, timeNs, stack }] of this.#session.map(program.allocations).entries()) {
      if (timeNs > before) continue
      const entry = byStack.get(stack) ?? { bytes: 0n, allocations: [] }
      entry.bytes += size
      entry.allocations.push({ address, size, timeNs })
      byStack.set(stack, entry)
    }
    return [...byStack]
      .sort(([, a], [, b]) => (a.bytes < b.bytes ? 1 : a.bytes > b.bytes ? -1 : 0))
      .map(([stack, { bytes, allocations }]) => ({
        bytes,
        allocations,
        stack: stack < 0 ? [] : this.#symbols.user(this.#pid, this.#session.stack(program.stacks, stack)),
      }))
  }
  /** Reads where the process's code is, for the names of its stacks: after its end it is too late. */
  refresh(): void {
    this.#symbols.refresh()
  }
  /** Stops watching; {@link leaks} still answers. */
  stop(): void {
    this.#session.detach()
  }
  [Symbol.dispose](): void {
    this.#session.close()
  }
}

/** Starts a command that waits before its first instruction until it is continued. */
async function startStopped(command: string): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn('sh', ['-c', `kill -STOP $$; exec ${command}`], { stdio: ['inherit', 'inherit', 'inherit'] })
  const { pid } = child
  if (pid === undefined) throw new SystemError('tool.command', `${command} cannot be started`)
  for (let tries = 0; tries < 500; tries++) {
    if (/^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return Object.assign(child, { pid })
    await sleep(10)
  }
  throw new SystemError('tool.command', `${command} does not start`)
}

const frameText = ({ name, offset, module }: Frame): string =>
  `${name}${name === '[unknown]' ? '' : `+0x${offset.toString(16)}`} [${module.slice(module.lastIndexOf('/') + 1)}]`

export const tool: Tool = {
  arguments: [
    ['[interval]', 'seconds between two outputs (default 5)'],
    ['[count]', 'how many outputs'],
  ],
  options: [
    ['-p, --pid <pid>', 'the process'],
    ['-c, --command <command>', 'start this command and watch it'],
    ['-a, --show-allocs', 'show every allocation with its address'],
    ['-o, --older <ms>', 'only what is older than so many milliseconds (default 500)'],
    ['-T, --top <n>', 'show so many stacks (default 10)'],
    ['-z, --min-size <bytes>', 'only allocations of at least so many bytes'],
    ['-Z, --max-size <bytes>', 'only allocations of at most so many bytes'],
    ['-s, --sample-rate <n>', 'count one of so many allocations'],
    ['-O, --obj <library>', 'the library or binary with malloc and free (default: libc)'],
  ],
  examples: [
    'memleak -p 181',
    'memleak -p 181 -o 60000 10 3',
    'memleak -c "./a.out 5" -a',
    'memleak -p 181 -O libjemalloc.so.2',
  ],
  async run({ args, out, signal }) {
    const command = args.text('command')
    const big = (name: string): bigint | undefined => {
      const value = args.integer(name, { max: Number.MAX_SAFE_INTEGER })
      return value === undefined ? undefined : BigInt(value)
    }
    const options = {
      object: args.text('obj'),
      smallest: big('minSize'),
      largest: big('maxSize'),
      sample: args.integer('sampleRate', { min: 1 }),
    }
    if (options.largest !== undefined && options.largest < (options.smallest ?? 0n))
      throw new UsageError(
        'usage.range',
        `no allocation has at least ${options.smallest} and at most ${options.largest} bytes`,
      )
    const top = args.integer('top', { min: 1 }) ?? 10
    const older = args.number('older') ?? 500
    const seconds = args.number('interval', { min: 0.001 }) ?? 5
    const count = args.integer('count', { min: 1 })
    let pid = args.process('pid')
    if ((pid === undefined) === (command === undefined))
      throw new UsageError('usage.process', 'memleak needs a process: -p PID or -c COMMAND')
    const ended = new AbortController()
    const child = command === undefined ? undefined : await startStopped(command)
    pid ??= child?.pid ?? 0
    try {
      using memory = new Memleak({ ...options, pid })
      if (child !== undefined) {
        const watch = setInterval(() => memory.refresh(), 20)
        child.once('exit', () => {
          clearInterval(watch)
          ended.abort()
        })
        child.kill('SIGCONT')
      }
      out.note(`Attaching to pid ${pid}... Hit Ctrl-C to end.`)
      for await (const _ of ticks({ seconds, count }, AbortSignal.any([signal, ended.signal]))) {
        if (signal.aborted) memory.stop()
        const leaks = memory.leaks(older).slice(0, top)
        out.text(`[${clock()}] Top ${leaks.length} stacks with outstanding allocations:`)
        for (const { bytes, allocations, stack } of leaks)
          out.value(
            {
              bytes,
              allocations: args.flag('showAllocs') ? allocations : allocations.length,
              stack: stack.map(frameText),
            },
            () =>
              [
                ...(args.flag('showAllocs')
                  ? allocations.map(({ address, size }) => `\taddr = ${address.toString(16)} size = ${size}`)
                  : []),
                `\t${bytes} bytes in ${allocations.length} allocations from stack`,
                ...stack.map((frame) => `\t\t${frameText(frame)}`),
              ].join('\n'),
          )
        out.flush()
      }
    } finally {
      child?.kill('SIGCONT')
      child?.kill('SIGTERM')
    }
  },
}
