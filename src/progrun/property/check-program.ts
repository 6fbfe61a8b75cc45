import type * as FastCheck from 'fast-check'
import { NegativeError, UsageError } from '../../errors/index.ts'
import type { Harness, ProgramRef } from '../harness/harness.ts'
import type { RunResult } from '../harness/result.ts'
import type { RunOptions, TypeOfKind } from '../harness/run-options.ts'
import { describePacket, hexdump } from '../packets/index.ts'
import { bpfArbitraries } from './arbitraries.ts'

export interface CheckProgramOptions {
  /** Packets to try. Default 200. */
  readonly runs?: number
  /** Repeats a failure. */
  readonly seed?: number
  /** What to draw packets from. Default: well-formed, malformed and noise. */
  readonly packets?: 'packet' | 'malformedPacket' | 'anyPacket' | FastCheck.Arbitrary<Uint8Array>
  /** Leave the maps as the run before left them; default: each packet finds them as in the beginning. */
  readonly keepState?: boolean
}

/** A property does not hold; `packet` is the smallest packet found that shows it. */
export class PropertyError extends NegativeError {
  override readonly name = 'PropertyError'
  readonly packet: Uint8Array
  readonly seed: number

  constructor(
    program: string,
    packet: Uint8Array,
    found: { readonly seed: number; readonly runs: number; readonly answer?: string; readonly cause: unknown },
  ) {
    const { seed, runs, answer, cause } = found
    const thrown = cause instanceof Error && !/returning false/.test(cause.message)
    const why = thrown ? cause.message.split('\n')[0] : `the property does not hold${answer ?? ''}`
    super('progrun.property', `${program}: after ${runs} packets (seed ${seed}): ${why}`, {
      ...(thrown ? { cause } : {}),
      details: [describePacket(packet), ...hexdump(packet).split('\n')],
    })
    this.packet = packet
    this.seed = seed
  }
}

async function fastCheck(): Promise<typeof FastCheck> {
  try {
    return await import('fast-check')
  } catch (cause) {
    throw new UsageError('progrun.fast-check', 'property testing needs the package fast-check', {
      cause,
      details: ['npm install --save-dev fast-check'],
    })
  }
}

/** Beginnings up to this length are all tried, bytes. */
const SCANNED = 256

/** The shortest, then the emptiest packet made from this one for which the property still does not hold. */
function smallest(packet: Uint8Array, holds: (packet: Uint8Array) => boolean): Uint8Array {
  const fails = (candidate: Uint8Array): boolean => {
    try {
      return !holds(candidate)
    } catch {
      // a throw says that it does not hold
      return true
    }
  }
  let best = packet
  for (let step = Math.max(1, best.length >> 1); step >= 1; step >>= 1)
    while (best.length > step && fails(best.subarray(0, best.length - step)))
      best = best.subarray(0, best.length - step)
  // what is between may hold: the shortest of all beginnings, as it is or of zeros
  for (let length = 1; length < Math.min(best.length, SCANNED); length++) {
    const shorter = [new Uint8Array(length), best.slice(0, length)].find(fails)
    if (shorter !== undefined) best = shorter
  }
  best = best.slice()
  for (let at = 0; at < Math.min(best.length, 512); at++) {
    const byte = best[at]
    if (byte === 0) continue
    best[at] = 0
    if (!fails(best)) best[at] = byte
  }
  return best
}

/**
 * Runs a packet program on generated packets and holds a property against each result; a failure is shrunk to the smallest
 * packet. The emulator stopping the program, or two backends disagreeing, is a failure too; packets that the kernel's test run
 * does not take are left out where the backend is `kernel` or `both`.
 * @param property false or a throw says that it does not hold
 * @throws PropertyError
 */
export async function checkProgram<K extends string>(
  t: Harness,
  program: ProgramRef<K>,
  property: (result: RunResult<TypeOfKind<K>>, packet: Uint8Array) => unknown,
  options: CheckProgramOptions = {},
): Promise<void> {
  const fc = await fastCheck()
  const chosen = options.packets ?? 'anyPacket'
  const arbitrary = typeof chosen === 'string' ? bpfArbitraries(fc)[chosen] : chosen
  let last: RunResult<TypeOfKind<K>> | undefined
  const holds = (packet: Uint8Array): boolean => {
    if (options.keepState !== true) t.reset()
    let result: RunResult<TypeOfKind<K>>
    try {
      result = t.run(program, { packet } as unknown as RunOptions<TypeOfKind<K>>)
    } catch (error) {
      // a frame that BPF_PROG_RUN never takes says nothing of the program
      if (error instanceof UsageError && error.code === 'progrun.kernel-refuses') return true
      throw error
    }
    const held = property(result, packet) !== false
    if (!held) last = result
    return held
  }
  const details = fc.check(fc.property(arbitrary, holds), {
    numRuns: options.runs ?? 200,
    ...(options.seed === undefined ? {} : { seed: options.seed }),
  })
  if (!details.failed) return
  const name = typeof program === 'string' ? program : program.name
  const [found] = details.counterexample ?? [new Uint8Array(0)]
  // any bytes are legal input there, so that the search may leave the generator's own shapes
  const packet = chosen === 'anyPacket' && options.keepState !== true ? smallest(found, holds) : found
  throw new PropertyError(name, packet, {
    seed: details.seed,
    runs: details.numRuns,
    answer: last === undefined ? undefined : `: it returned ${last.verdict ?? last.returnValue} on ${last.backend}`,
    cause: details.errorInstance,
  })
}
