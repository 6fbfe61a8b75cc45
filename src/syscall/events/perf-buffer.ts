import { SystemError, UsageError } from '../../errors/index.ts'
import { decode, type Layout } from '../../layout/index.ts'
import { MAP_TYPES } from '../../uapi/index.ts'
import { enablePerfEvent, openPerfEvent } from '../links/perf-event.ts'
import { fdBytes } from '../maps/map-set.ts'
import { type MapOrTyped, type RawMap, rawOf } from '../maps/raw-map.ts'
import { onlineCpus } from '../sys/cpus.ts'
import { ERRNO } from '../sys/errno.ts'
import type { OwnedFd } from '../sys/fd.ts'
import { MAP, type Mapping, PROT, type Sys } from '../sys/sys.ts'
import { compileReader, type Reader } from './compiled-reader.ts'
import { type EventsOptions, readEvents } from './event-loop.ts'
import { pollerFor } from './poller.ts'

const PERF_TYPE_SOFTWARE = 1
const PERF_COUNT_SW_BPF_OUTPUT = 10n
const PERF_SAMPLE_TIME = 1n << 2n
const PERF_SAMPLE_RAW = 1n << 10n
/** read(2) also answers how many samples were lost. Linux 6.0. */
const PERF_FORMAT_LOST = 1n << 4n
const RECORD_LOST = 2
const RECORD_SAMPLE = 9
/** struct perf_event_mmap_page: positions of producer and consumer. */
const HEAD = 1024
const TAIL = 1032

/** Positions count bytes since the beginning: exact as numbers up to 2^53. */
const positionIn = (word: BigUint64Array): number => Number(Atomics.load(word, 0))

/** A copy of a record that passes the end of the ring and goes on at its beginning. */
function viewOf(bytes: Uint8Array, start: number, size: number): DataView {
  const record = new Uint8Array(size)
  const first = bytes.subarray(start)
  record.set(first)
  record.set(bytes.subarray(0, size - first.length), first.length)
  return new DataView(record.buffer)
}

interface CpuRing {
  readonly cpu: number
  readonly event: OwnedFd
  readonly mapping: Mapping
  /** The data pages. */
  readonly bytes: Uint8Array
  readonly view: DataView
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
  #reader: Reader<Event> | undefined
  #times: boolean
  #rings: CpuRing[] = []
  #dataSize: number
  #lost = 0
  /** Whether the kernel itself counts what is lost; else the records that say so are added up. */
  #counted = true
  #closed = false
  /** Events that were read ahead for a reader who left. */
  #ahead: PerfEvent<Event>[] = []

  /**
   * @param options.pages data pages a CPU, a power of two; default 64
   * @param options.places the CPUs to listen to and the map's index of each; default every CPU at its own number
   * @param options.times true: events say when they were sent
   */
  constructor(
    mapOrTyped: MapOrTyped,
    options: {
      layout?: Layout<Event>
      pages?: number
      places?: readonly { readonly cpu: number; readonly index: number }[]
      times?: boolean
    } = {},
  ) {
    const map = rawOf(mapOrTyped)
    if (map.shape.type !== MAP_TYPES.perf_event_array)
      throw new UsageError('perf.type', `${map.what} is no perf event array`)
    const pages = options.pages ?? 64
    if (!Number.isInteger(pages) || !Number.isInteger(Math.log2(pages)))
      throw new UsageError('perf.pages', `${pages} pages: a power of two is needed`)
    if (options.places?.length === 0)
      throw new UsageError(
        'perf.places',
        'no CPU to listen to: name at least one, or leave `places` out for all of them',
      )
    const { sys } = map
    this.map = map
    this.#layout = options.layout
    this.#reader = options.layout === undefined ? undefined : compileReader(options.layout)
    this.#times = options.times === true
    this.#dataSize = pages * sys.pageSize
    try {
      const places = options.places ?? onlineCpus().map((cpu) => ({ cpu, index: cpu }))
      for (const { cpu, index } of places) {
        if (options.places === undefined && cpu >= map.shape.maxEntries) break
        const event = this.#open(sys, cpu)
        this.#rings.push(this.#ring(cpu, event))
        map.update(fdBytes(index), fdBytes(event.fd))
        enablePerfEvent(event)
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  #open(sys: Sys, cpu: number): OwnedFd {
    const spec = {
      type: PERF_TYPE_SOFTWARE,
      config: PERF_COUNT_SW_BPF_OUTPUT,
      period: 1n,
      sampleType: PERF_SAMPLE_RAW | (this.#times ? PERF_SAMPLE_TIME : 0n),
      wakeupEvents: 1,
      cpu,
    }
    if (!this.#counted) return openPerfEvent(sys, spec)
    try {
      return openPerfEvent(sys, { ...spec, readFormat: PERF_FORMAT_LOST })
    } catch (error) {
      if (!(error instanceof SystemError && error.errno === ERRNO.EINVAL)) throw error
      const event = openPerfEvent(sys, spec)
      this.#counted = false
      return event
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
    const bytes = mapping.bytes.subarray(sys.pageSize)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    return { cpu, event, mapping, bytes, view, head: words(HEAD), tail: words(TAIL) }
  }

  /**
   * Events lost so far. The records between the events tell of a loss when the next event finds room; this number has also
   * what was lost since (before Linux 6.0 it is their sum).
   */
  get lost(): number {
    if (this.#closed || !this.#counted || this.#rings.length === 0) return this.#lost
    const { sys } = this.map
    using counts = sys.alloc(16)
    let total = 0
    for (const { event } of this.#rings) {
      if (sys.call('read', event.fd, counts.address, counts.size) !== counts.size) return this.#lost
      total += Number(counts.view.getBigUint64(8, true))
    }
    return total
  }

  /** What is there now, CPU by CPU, with lost counts where they happened. */
  drain(): PerfEvent<Event>[] {
    const events = this.#ahead.splice(0)
    if (!this.#closed) for (const ring of this.#rings) this.#drainRing(ring, events)
    return events
  }

  #drainRing(ring: CpuRing, events: PerfEvent<Event>[]): void {
    const { bytes, view, cpu } = ring
    const at = this.#times ? 16 : 8
    const head = positionIn(ring.head)
    let position = positionIn(ring.tail)
    while (position < head) {
      const start = position % this.#dataSize
      const size = view.getUint16(start + 6, true)
      if (size < 8) break
      // The header never wraps: records are multiples of 8 bytes. What follows may go on at the beginning.
      const whole = start + size <= this.#dataSize
      const record = whole ? view : viewOf(bytes, start, size)
      const from = whole ? start : 0
      const type = record.getUint32(from, true)
      if (type === RECORD_SAMPLE) {
        const length = Math.min(record.getUint32(from + at, true), size - at - 4)
        const event = this.#decode(record, from + at + 4, length)
        events.push(this.#times ? { cpu, event, timeNs: record.getBigUint64(from + 8, true) } : { cpu, event })
      } else if (type === RECORD_LOST) {
        const lost = Number(record.getBigUint64(from + 16, true))
        this.#lost += lost
        events.push({ cpu, lost })
      }
      position += size
    }
    Atomics.store(ring.tail, 0, BigInt(position))
  }

  /** @throws InputError `layout.short` when an event is shorter than the layout */
  #decode(view: DataView, at: number, length: number): Event {
    const layout = this.#layout
    if (layout === undefined) return new Uint8Array(view.buffer, view.byteOffset + at, length).slice() as Event
    if (length < layout.size || this.#reader === undefined)
      return decode(layout, new Uint8Array(view.buffer, view.byteOffset + at, length))
    return this.#reader(view, at)
  }

  /** Events as they come, until the buffer is closed, the loop is left or the signal aborts. */
  events(options: EventsOptions = {}): AsyncGenerator<PerfEvent<Event>> {
    return readEvents(
      {
        sys: this.map.sys,
        closed: () => this.#closed,
        take: () => this.drain(),
        giveBack: (events) => {
          this.#ahead = [...events, ...this.#ahead]
        },
        fds: () => this.#rings.map(({ event }) => event.fd),
      },
      options,
    )
  }

  [Symbol.asyncIterator](): AsyncGenerator<PerfEvent<Event>> {
    return this.events()
  }

  close(): void {
    if (this.#closed) return
    this.#lost = this.lost
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
