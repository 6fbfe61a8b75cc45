import { SystemError, UsageError } from '../../errors/index.ts'
import { decode, type Layout } from '../../layout/index.ts'
import { MAP_TYPES } from '../../uapi/index.ts'
import { type MapOrTyped, type RawMap, rawOf } from '../maps/raw-map.ts'
import { callError } from '../sys/explain.ts'
import { OwnedFd } from '../sys/fd.ts'
import { MAP, type Mapping, PROT } from '../sys/sys.ts'
import { compileReader, type Reader } from './compiled-reader.ts'
import { type EventsOptions, readEvents } from './event-loop.ts'
import { pollerFor } from './poller.ts'

const BUSY = 0x8000_0000
const DISCARD = 0x4000_0000
const LENGTH = 0x3fff_ffff
const HEADER = 8
const F_DUPFD_CLOEXEC = 1030

/** Rings have one reading position: two readers of one map would take records from each other half read. */
const taken = new WeakSet<RawMap>()

export interface RingOptions {
  /** Records that are shorter than the layout end in zeros instead of being errors: programs may send their beginning only. */
  readonly zeroFill?: boolean
}

/**
 * The reading end of a BPF ring buffer (Linux 5.8). Records come in the order in which the programs reserved them.
 * Owns its mappings, not the map; which of the two is closed first does not matter. Several loops may read one RingBuffer:
 * each record goes to one of them.
 */
export class RingBuffer<Event = Uint8Array> {
  readonly map: RawMap
  /** Bytes of the data area. */
  readonly size: number
  #layout: Layout<Event> | undefined
  #reader: Reader<Event> | undefined
  #consumer: Mapping
  #producer: Mapping
  #consumerWords: Uint32Array
  #producerWords: Uint32Array
  #data: Uint8Array
  #words: Uint32Array
  #view: DataView
  #position: number
  #closed = false
  /** A descriptor of our own: what the poller watches stays the ring when the map is closed first. */
  readonly #watched: OwnedFd
  /** Records that were read ahead for a reader who left. */
  #ahead: Event[] = []
  readonly #zeroFilled: Uint8Array | undefined

  /**
   * @param layout decodes each record; without it events are copies of the bytes
   * @throws UsageError `ring.type` for another map, `ring.taken` when a RingBuffer of this map is open
   */
  constructor(mapOrTyped: MapOrTyped, layout?: Layout<Event>, options: RingOptions = {}) {
    const map = rawOf(mapOrTyped)
    if (map.shape.type !== MAP_TYPES.ringbuf) throw new UsageError('ring.type', `${map.what} is no ring buffer`)
    const { sys } = map
    const page = sys.pageSize
    this.map = map
    this.#layout = layout
    this.#reader = layout === undefined ? undefined : compileReader(layout)
    this.#zeroFilled = options.zeroFill === true && layout !== undefined ? new Uint8Array(layout.size) : undefined
    if (taken.has(map))
      throw new UsageError('ring.taken', `${map.what} is read by another RingBuffer: close that first`)
    this.size = map.shape.maxEntries
    const own = sys.call('fcntl', map.fd, F_DUPFD_CLOEXEC, 0)
    if (own < 0) throw callError('fcntl(F_DUPFD_CLOEXEC)', -own)
    this.#watched = new OwnedFd(sys, own, map.what)
    let consumer: Mapping | undefined
    try {
      // One writable page with the consumer's position; the producer's page and the data twice in a row, read-only.
      consumer = sys.mmap(page, PROT.read | PROT.write, MAP.shared, map.fd, 0)
      this.#producer = sys.mmap(page + 2 * this.size, PROT.read, MAP.shared, map.fd, page)
    } catch (error) {
      consumer?.unmap()
      this.#watched.close()
      throw error
    }
    this.#consumer = consumer
    const words = (mapping: Mapping): Uint32Array => new Uint32Array(mapping.bytes.buffer, mapping.bytes.byteOffset, 2)
    this.#consumerWords = words(this.#consumer)
    this.#producerWords = words(this.#producer)
    this.#data = this.#producer.bytes.subarray(page)
    this.#words = new Uint32Array(this.#data.buffer, this.#data.byteOffset, this.#data.length / 4)
    this.#view = new DataView(this.#data.buffer, this.#data.byteOffset, this.#data.length)
    this.#position = this.#read(this.#consumerWords)
    pollerFor(sys).add(own)
    taken.add(map)
  }

  /** A 64-bit position as a number; it is exact up to 2^53 bytes. */
  #read(words: Uint32Array): number {
    for (;;) {
      const high = Atomics.load(words, 1)
      const low = Atomics.load(words, 0)
      if (Atomics.load(words, 1) === high) return high * 0x1_0000_0000 + low
    }
  }

  #publish(): void {
    const high = Math.floor(this.#position / 0x1_0000_0000)
    if (Atomics.load(this.#consumerWords, 1) === high) Atomics.store(this.#consumerWords, 0, this.#position >>> 0)
    else {
      // Once in 4 GiB the halves must change at once: in between programs would see a full ring.
      const { buffer, byteOffset } = this.#consumerWords
      Atomics.store(new BigUint64Array(buffer, byteOffset, 1), 0, BigInt(this.#position))
    }
  }

  /** Bytes that programs wrote and nobody read. */
  get pending(): number {
    return this.#closed ? 0 : this.#read(this.#producerWords) - this.#position
  }

  /**
   * Reads what is there without waiting: `consume` gets the ring's own memory, `start` and `length` of each record,
   * valid during the call. The answer is the number of records.
   * @param limit at most so many records
   */
  drainRaw(
    consume: (data: DataView, start: number, length: number) => void,
    limit: number = Number.POSITIVE_INFINITY,
  ): number {
    if (this.#closed) return 0
    const words = this.#words
    const view = this.#view
    const mask = this.size - 1
    let records = 0
    let produced = this.#read(this.#producerWords)
    const publishEvery = this.size >> 2
    let published = this.#position
    try {
      while (records < limit) {
        if (this.#position >= produced) {
          produced = this.#read(this.#producerWords)
          if (this.#position >= produced) break
        }
        const start = (this.#position % this.size) & mask
        const header = Atomics.load(words, start >> 2)
        if ((header & BUSY) !== 0) break
        const length = header & LENGTH
        this.#position += (length + HEADER + 7) & ~7
        if ((header & DISCARD) === 0) {
          records++
          consume(view, start + HEADER, length)
        }
        if (this.#position - published > publishEvery) {
          this.#publish()
          published = this.#position
        }
      }
    } finally {
      this.#publish()
    }
    return records
  }

  /** Reads what is there without waiting, decoded. */
  drain(limit?: number): Event[] {
    const events = this.#ahead.splice(0, limit ?? this.#ahead.length)
    if (limit !== undefined && events.length >= limit) return events
    this.drainRaw(
      (view, start, length) => {
        events.push(this.#decode(view, start, length))
      },
      limit === undefined ? undefined : limit - events.length,
    )
    return events
  }

  /** @throws InputError `layout.short` when a record is shorter than the layout */
  #decode(view: DataView, start: number, length: number): Event {
    const layout = this.#layout
    if (layout === undefined) return new Uint8Array(view.buffer, view.byteOffset + start, length).slice() as Event
    const whole = this.#zeroFilled
    if (length < layout.size && whole !== undefined) {
      whole.fill(0).set(new Uint8Array(view.buffer, view.byteOffset + start, length))
      return layout.read(new DataView(whole.buffer), 0, 'little')
    }
    if (length < layout.size) return decode(layout, new Uint8Array(view.buffer, view.byteOffset + start, length))
    return this.#reader === undefined ? layout.read(view, start, 'little') : this.#reader(view, start)
  }

  /**
   * Events as they come, until the ring is closed, the loop is left or the signal aborts. The reader's pace is the
   * pace: what it does not take stays in the ring, and programs that find no room count their losses themselves.
   */
  events(options: EventsOptions = {}): AsyncGenerator<Event> {
    return readEvents(
      {
        sys: this.map.sys,
        closed: () => this.#closed,
        take: () => this.drain(BATCH),
        giveBack: (events) => {
          this.#ahead = [...events, ...this.#ahead]
        },
        fds: () => [this.#watched.fd],
      },
      options,
    )
  }

  [Symbol.asyncIterator](): AsyncGenerator<Event> {
    return this.events()
  }

  /** Ends waiting readers and unmaps. Closing twice is harmless. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    taken.delete(this.map)
    pollerFor(this.map.sys).remove(this.#watched.fd)
    this.#watched.close()
    this.#consumer.unmap()
    this.#producer.unmap()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}

/** Records that are decoded ahead of the reader. */
const BATCH = 256

/**
 * The writing end of a user ring buffer (Linux 6.1): records that a program takes with bpf_user_ringbuf_drain.
 */
export class UserRingBuffer {
  readonly map: RawMap
  readonly size: number
  #consumer: Mapping
  #producer: Mapping
  #page: number
  #closed = false

  constructor(mapOrTyped: MapOrTyped) {
    const map = rawOf(mapOrTyped)
    if (map.shape.type !== MAP_TYPES.user_ringbuf)
      throw new UsageError('ring.type', `${map.what} is no user ring buffer`)
    this.map = map
    this.size = map.shape.maxEntries
    this.#page = map.sys.pageSize
    this.#consumer = map.sys.mmap(this.#page, PROT.read, MAP.shared, map.fd, 0)
    try {
      this.#producer = map.sys.mmap(this.#page + 2 * this.size, PROT.read | PROT.write, MAP.shared, map.fd, this.#page)
    } catch (error) {
      this.#consumer.unmap()
      throw error
    }
  }

  #position(mapping: Mapping): bigint {
    return Atomics.load(new BigUint64Array(mapping.bytes.buffer, mapping.bytes.byteOffset, 1), 0)
  }

  /** False when the ring has no room for the record now. @throws UsageError `ring.record`; SystemError `sys.closed` */
  push(record: Uint8Array): boolean {
    if (this.#closed) throw new SystemError('sys.closed', `the ring of ${this.map.what} is closed`)
    if (!(record instanceof Uint8Array)) throw new UsageError('ring.record', 'a record is a Uint8Array')
    const total = (record.length + HEADER + 7) & ~7
    if (record.length > LENGTH || total > this.size)
      throw new UsageError('ring.record', `a record of ${record.length} bytes never fits into ${this.size}`)
    const produced = this.#position(this.#producer)
    if (Number(produced - this.#position(this.#consumer)) + total > this.size) return false
    const start = this.#page + Number(produced % BigInt(this.size))
    const { bytes } = this.#producer
    bytes.set(record, start + HEADER)
    const header = new Uint32Array(bytes.buffer, bytes.byteOffset + start, 2)
    header[1] = 0
    Atomics.store(header, 0, record.length)
    Atomics.store(new BigUint64Array(bytes.buffer, bytes.byteOffset, 1), 0, produced + BigInt(total))
    return true
  }

  close(): void {
    this.#closed = true
    this.#consumer.unmap()
    this.#producer.unmap()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}
