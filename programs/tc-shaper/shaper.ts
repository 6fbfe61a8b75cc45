import { UsageError } from 'typebpf'
import { attachTcx } from 'typebpf/kernel'
import { constants, Session } from '../lib/index.ts'
import { quadText, setGlobals } from '../lib/network.ts'
import * as program from './tc-shaper.bpf.ts'

export interface Limit {
  /** Bits a second, 1,000 to 10^12. */
  readonly rate: number
  /** Bytes that may go at once after a pause. Default: 10 ms of the rate, at least 15,000. */
  readonly burst?: number
}
export interface ShaperOptions extends Limit {
  readonly interface: string | number
  /** A limit for each remote address instead of one for all. */
  readonly perHost?: boolean
  /** Delay instead of drop: needs an fq qdisc on the interface. */
  readonly pace?: boolean
}
export interface BucketCount {
  /** The remote address, or `not IP`; `all` where there is one bucket. */
  readonly host: string
  readonly packets: bigint
  readonly bytes: bigint
  readonly droppedPackets: bigint
  readonly droppedBytes: bigint
}

const NS_PER_SECOND = 1_000_000_000n
const RATE = { min: 1000, max: 1e12 } as const

/** The limit as the program keeps it. @throws UsageError `shaper.limit` */
export function limitOf({ rate, burst }: Limit): { costQ20: bigint; burstNs: bigint } {
  if (!(rate >= RATE.min && rate <= RATE.max))
    throw new UsageError('shaper.limit', `a rate is 1 kbit to 1 tbit a second, not ${rate} bit`)
  const bits = BigInt(Math.round(rate))
  const bytes = BigInt(Math.round(burst ?? Math.max(15_000, rate / 800)))
  const burstNs = (bytes * 8n * NS_PER_SECOND) / bits
  if (bytes < 0n || burstNs > 3600n * NS_PER_SECOND)
    throw new UsageError('shaper.limit', `a burst of ${bytes} bytes is more than an hour of ${rate} bit a second`)
  return { costQ20: ((8n * NS_PER_SECOND) << 20n) / bits, burstNs }
}

/** A limit to what leaves an interface. It can be changed while packets run; closing it detaches. */
export class Shaper implements Disposable {
  readonly #session: Session
  readonly #perHost: boolean
  /** @throws SystemError `tool.privilege` and others; UsageError `link.interface`, `shaper.limit` */
  constructor(options: ShaperOptions) {
    const limit = limitOf(options)
    this.#perHost = options.perHost ?? false
    this.#session = new Session(program, {
      name: 'tc-shaper',
      needs: ['bpf', 'net_admin'],
      attachAll: false,
      constants: [constants(program.mode, { perHost: this.#perHost, pace: options.pace ?? false })],
    })
    try {
      setGlobals(this.#session, program.limit, limit)
      const handle = this.#session.program(program.tcShaper)
      this.#session.keep(attachTcx(handle, { interface: options.interface, direction: 'egress' }))
    } catch (error) {
      this.close()
      throw error
    }
  }
  setLimit(limit: Limit): void {
    setGlobals(this.#session, program.limit, limitOf(limit))
  }
  counts(): BucketCount[] {
    return [...this.#session.map(program.buckets)].map(([host, bucket]) => ({
      host:
        host.a === 0 && host.b === 0 && host.c === 0 && host.d === 0
          ? this.#perHost
            ? 'not IP'
            : 'all'
          : quadText(host),
      packets: bucket.passed,
      bytes: bucket.passedBytes,
      droppedPackets: bucket.dropped,
      droppedBytes: bucket.droppedBytes,
    }))
  }
  close(): void {
    this.#session.close()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}
