import type { MapSpec } from '../../spec/index.ts'
import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { SHADOW } from '../memory.ts'
import { EmulatedMap, type MapEntry } from './map.ts'

const HEADER = 8
const F_NO_WAKEUP = 1
const F_FORCE_WAKEUP = 2

interface Record_ {
  readonly address: number
  readonly size: number
  readonly reference: number
  state: 'busy' | 'done' | 'discarded'
}

/**
 * ringbuf: reserve, submit, discard, output with the kernel's accounting (8 bytes of header, rounded up to 8): a full ring answers 0 or
 * -EAGAIN. Nobody consumes during a run; {@link RingMap.consume} is the reader. Records become events in submission order of their reservation.
 */
export class RingMap extends EmulatedMap {
  #records: Record_[] = []
  #used = 0
  #produced = 0
  #consumed = 0
  /** Records refused because the ring was full. */
  drops = 0
  #dead: Record_[] = []

  get #capacity(): number {
    return this.spec.maxEntries
  }

  reserve(size: number, flags: bigint): number {
    if (flags !== 0n) return 0
    const total = (size + HEADER + 7) & ~7
    if (size > 0x3fffffff || total > this.#capacity || this.#used + total > this.#capacity - 1) {
      this.drops++
      return 0
    }
    const address = this.machine.memory.allocate(size, SHADOW.readWrite)
    if (address === 0) return 0
    this.#used += total
    this.#produced += total
    this.dirty = true
    const reference = this.machine.run === undefined ? 0 : address
    this.machine.run.references.set(address, {
      id: address,
      kind: `record of ring ${this.name}`,
      insn: this.machine.pc,
    })
    this.#records.push({ address, size, reference, state: 'busy' })
    return address
  }

  /** bpf_ringbuf_submit and _discard. */
  finish(address: number, discard: boolean): void {
    const record = this.#records.find((one) => one.address === address && one.state === 'busy')
    const machine: Machine = this.machine
    if (record === undefined) machine.fail('invalid-argument', `no reserved ring record at 0x${address.toString(16)}`)
    record.state = discard ? 'discarded' : 'done'
    machine.run.references.delete(address)
    machine.memory.protect(record.address, record.size, SHADOW.freed)
    if (!discard)
      machine.run.events.push({ kind: 'ringbuf', map: this.name, data: this.copy(record.address, record.size) })
  }

  holds(address: number): boolean {
    return this.#records.some((one) => one.address === address && one.state === 'busy')
  }

  output(data: number, size: number, flags: bigint): number {
    if ((flags & ~BigInt(F_NO_WAKEUP | F_FORCE_WAKEUP)) !== 0n) return -ERRNO.EINVAL
    const address = this.reserve(size, 0n)
    if (address === 0) return -ERRNO.EAGAIN
    this.machine.memory.u8.copyWithin(address, data, data + size)
    this.finish(address, false)
    return 0
  }

  /** bpf_ringbuf_query. */
  query(what: number): number {
    return [this.#produced - this.#consumed, this.#capacity, this.#consumed, this.#produced][what] ?? 0
  }

  /** Reads and frees every finished record up to the first busy one, as a consumer does. */
  consume(): Uint8Array[] {
    const read: Uint8Array[] = []
    while (this.#records.length > 0 && this.#records[0].state !== 'busy') {
      const record = this.#records.shift() as Record_
      const total = (record.size + HEADER + 7) & ~7
      this.#used -= total
      this.#consumed += total
      if (record.state === 'done') read.push(this.copy(record.address, record.size))
      this.#dead.push(record)
    }
    this.endRun()
    return read
  }

  override endRun(): void {
    for (const record of this.#dead) this.machine.memory.release(record.address, record.size)
    this.#dead = []
  }

  /** Finished records that nobody consumed yet, oldest first; keys are empty. */
  override entries(): MapEntry[] {
    return this.#records
      .filter((record) => record.state === 'done')
      .map((record) => ({ key: new Uint8Array(0), values: [this.copy(record.address, record.size)] }))
  }

  override reset(): void {
    for (const record of this.#records) this.machine.memory.release(record.address, record.size)
    this.#records = []
    this.#used = 0
    this.#produced = 0
    this.#consumed = 0
    this.drops = 0
  }
}

/** user_ringbuf: samples that the test queued, drained by bpf_user_ringbuf_drain. */
export class UserRingMap extends EmulatedMap {
  readonly samples: Uint8Array[] = []

  override set(_key: Uint8Array, value: Uint8Array | readonly Uint8Array[]): number {
    this.samples.push((value instanceof Uint8Array ? value : value[0]).slice())
    return 0
  }
  override entries(): MapEntry[] {
    return this.samples.map((sample) => ({ key: new Uint8Array(0), values: [sample] }))
  }
  override reset(): void {
    this.samples.length = 0
  }
}

/** perf_event_array: bpf_perf_event_output makes events; bpf_perf_event_read takes counters that the test set. */
export class PerfArrayMap extends EmulatedMap {
  /** Counter values by index. */
  readonly counters = new Map<number, bigint>()

  constructor(machine: Machine, spec: MapSpec, index: number) {
    super(machine, spec, index)
  }

  /** @param flags low 32 bits: the index, 0xffffffff for the current CPU */
  output(flags: bigint, data: Uint8Array): number {
    if ((flags & ~0x000f_ffff_ffff_ffffn) !== 0n) return -ERRNO.EINVAL
    const low = Number(flags & 0xffff_ffffn)
    const { cpu, cpus } = this.machine.environment
    const index = low === 0xffff_ffff ? cpu : low
    // loaders give an array without a size an entry a CPU
    if (index >= (this.spec.maxEntries || cpus)) return -ERRNO.E2BIG
    if (index !== cpu) return -ERRNO.EOPNOTSUPP
    this.machine.run.events.push({ kind: 'perf', map: this.name, data, cpu })
    return 0
  }

  override entries(): MapEntry[] {
    return []
  }
  override reset(): void {
    this.counters.clear()
  }
}
