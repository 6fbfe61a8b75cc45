import { UsageError } from '../errors/index.ts'
import { decode, type Layout } from '../layout/index.ts'
import { MAP_TYPES } from '../uapi/index.ts'
import { onlineCpus } from './cpus.ts'
import type { OwnedFd } from './fd.ts'
import { enablePerfEvent, openPerfEvent } from './links/perf-event.ts'
import { fdBytes } from './map-set.ts'
import { pollerFor, type Wait } from './poller.ts'
import type { RawMap } from './raw-map.ts'
import type { EventsOptions } from './ring-buffer.ts'
import { MAP, type Mapping, PROT } from './sys.ts'

const PERF_TYPE_SOFTWARE = 1
const PERF_COUNT_SW_BPF_OUTPUT = 10n
const PERF_SAMPLE_TIME = 1n << 2n
const PERF_SAMPLE_RAW = 1n << 10n
const RECORD_LOST = 2
const RECORD_SAMPLE = 9
/** struct perf_event_mmap_page: positions of producer and consumer. */
const HEAD = 1024
const TAIL = 1032

interface CpuRing {
  readonly cpu: number
  readonly event: OwnedFd
  readonly mapping: Mapping
  readonly head: BigUint64Array
  readonly tail: BigUint64Array
}

/** An event of a perf buffer, or how many were lost on a CPU before the next one. */
export type PerfEvent<Event> =
  | { readonly cpu: number; readonly event: Event /** Since boot, when asked for. */; readonly timeNs?: bigint }
  | { readonly cpu: number; readonly lost: number }

/**
 * Reads what programs send with bpf_perf_event_output: a ring a CPU behind a perf event array (Linux 4.4). Prefer ring
 * buffers: one order for all CPUs, and cheaper. Owns its rings, not the map.
 */
export class PerfBuffer<Event = Uint8Array> {
  readonly map: RawMap
  #layout: Layout<Event> | undefined
  #times: boolean
  #rings: CpuRing[] = []
  #dataSize: number
  #lost = 0
  #closed = false
  /** Events that were read ahead for a reader who left. */
  #ahead: PerfEvent<Event>[] = []

  /**
   * @param options.pages data pages a CPU, a power of two; default 64
   * @param options.places the CPUs to listen to and the map's index of each; default every CPU at its own number
   * @param options.times true: events say when they were sent
   */
  constructor(
    map: RawMap,
    options: {
      layout?: Layout<Event>
      pages?: number
      places?: readonly { readonly cpu: number; readonly index: number }[]
      times?: boolean
    } = {},
  ) {
    if (map.shape.type !== MAP_TYPES.perf_event_array)
      throw new UsageError('perf.type', `${map.what} is no perf event array`)
    const pages = options.pages ?? 64
    if (!Number.isInteger(pages) || !Number.isInteger(Math.log2(pages)))
      throw new UsageError('perf.pages', `${pages} pages: a power of two is needed`)
    const { sys } = map
    this.map = map
    this.#layout = options.layout
    this.#times = options.times === true
    this.#dataSize = pages * sys.pageSize
    try {
      const places = options.places ?? onlineCpus().map((cpu) => ({ cpu, index: cpu }))
      for (const { cpu, index } of places) {
        if (options.places === undefined && cpu >= map.shape.maxEntries) break
        const event = openPerfEvent(sys, {
          type: PERF_TYPE_SOFTWARE,
          config: PERF_COUNT_SW_BPF_OUTPUT,
          period: 1n,
          sampleType: PERF_SAMPLE_RAW | (this.#times ? PERF_SAMPLE_TIME : 0n),
          wakeupEvents: 1,
          cpu,
        })
        this.#rings.push(this.#ring(cpu, event))
        map.update(fdBytes(index), fdBytes(event.fd))
        enablePerfEvent(event)
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Maps a CPU's ring and has it watched; the event is closed when that fails. */
  #ring(cpu: number, event: OwnedFd): CpuRing {
    const { sys } = event
    let mapping: Mapping | undefined
    try {
      mapping = sys.mmap(sys.pageSize + this.#dataSize, PROT.read | PROT.write, MAP.shared, event.fd, 0)
      pollerFor(sys).add(event.fd)
    } catch (error) {
      mapping?.unmap()
      event.close()
      throw error
    }
    const { buffer, byteOffset } = mapping.bytes
    const words = (offset: number): BigUint64Array => new BigUint64Array(buffer, byteOffset + offset, 1)
    return { cpu, event, mapping, head: words(HEAD), tail: words(TAIL) }
  }

  /** Events lost so far, as the kernel counts them. */
  get lost(): number {
    return this.#lost
  }

  /** What is there now, CPU by CPU, with lost counts where they happened. */
  drain(): PerfEvent<Event>[] {
    const events = this.#ahead.splice(0)
    if (!this.#closed) for (const ring of this.#rings) this.#drainRing(ring, events)
    return events
  }

  #drainRing(ring: CpuRing, events: PerfEvent<Event>[]): void {
    const { mapping, cpu } = ring
    const base = this.map.sys.pageSize
    const data = mapping.bytes.subarray(base, base + this.#dataSize)
    const head = Atomics.load(ring.head, 0)
    let position = Atomics.load(ring.tail, 0)
    while (position < head) {
      const start = Number(position % BigInt(this.#dataSize))
      const record = this.#bytes(data, start, this.#recordSize(data, start))
      if (record.length < 8) break
      const view = new DataView(record.buffer, record.byteOffset, record.length)
      const type = view.getUint32(0, true)
      if (type === RECORD_SAMPLE) {
        const at = this.#times ? 16 : 8
        const size = Math.min(view.getUint32(at, true), record.length - at - 4)
        const raw = record.subarray(at + 4, at + 4 + size)
        events.push({
          cpu,
          event: this.#layout === undefined ? (raw.slice() as Event) : decode(this.#layout, raw),
          ...(this.#times && { timeNs: view.getBigUint64(8, true) }),
        })
      } else if (type === RECORD_LOST) {
        const lost = Number(view.getBigUint64(16, true))
        this.#lost += lost
        events.push({ cpu, lost })
      }
      position += BigInt(record.length)
    }
    Atomics.store(ring.tail, 0, position)
  }

  #recordSize(data: Uint8Array, start: number): number {
    return data[start + 6] | (data[start + 7] << 8)
  }

  /** A record that passes the end goes on at the start. */
  #bytes(data: Uint8Array, start: number, size: number): Uint8Array {
    if (start + size <= data.length) return data.slice(start, start + size)
    const bytes = new Uint8Array(size)
    const first = data.subarray(start)
    bytes.set(first)
    bytes.set(data.subarray(0, size - first.length), first.length)
    return bytes
  }

  /** Events as they come, until the buffer is closed, the loop is left or the signal aborts. */
  async *events(options: EventsOptions = {}): AsyncGenerator<PerfEvent<Event>> {
    const { signal } = options
    const poller = pollerFor(this.map.sys)
    const fds = this.#rings.map(({ event }) => event.fd)
    const ended = (): boolean => this.#closed || signal?.aborted === true
    let waits: Wait[] = []
    const stop = (): void => {
      for (const wait of waits) wait.cancel()
    }
    signal?.addEventListener('abort', stop, { once: true })
    try {
      while (!ended()) {
        const batch = this.drain()
        for (let next = 0; next < batch.length; ) {
          let taken = false
          try {
            yield batch[next++]
            taken = !ended()
          } finally {
            // the reader left: what was read ahead is there for the next one
            if (!taken) this.#ahead = [...batch.slice(next), ...this.#ahead]
          }
          if (!taken) return
        }
        if (batch.length > 0 || ended()) continue
        waits = fds.map((fd) => poller.wait(fd))
        await Promise.race(waits.map(({ done }) => done))
        stop()
      }
    } finally {
      signal?.removeEventListener('abort', stop)
      stop()
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<PerfEvent<Event>> {
    return this.events()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const { event, mapping } of this.#rings) {
      pollerFor(this.map.sys).remove(event.fd)
      mapping.unmap()
      event.close()
    }
  }
  [Symbol.dispose](): void {
    this.close()
  }
}
