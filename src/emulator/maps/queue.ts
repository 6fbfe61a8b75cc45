import { ERRNO, MAP_TYPES } from '../../uapi/index.ts'
import { EmulatedMap, type MapEntry } from './map.ts'

const EXIST = 2

/** queue and stack: values without keys (kernel/bpf/queue_stack_maps.c's behaviour). */
export class QueueMap extends EmulatedMap {
  #values: Uint8Array[] = []

  override push(value: number, flags: number): number {
    if ((flags & 1) !== 0 || flags > EXIST) return -ERRNO.EINVAL
    if (this.#values.length >= this.spec.maxEntries) {
      if (flags !== EXIST) return -ERRNO.E2BIG
      // the oldest one makes room, in both types
      this.#values.shift()
    }
    this.#values.push(this.copy(value, this.spec.valueSize))
    this.dirty = true
    return 0
  }

  #read(value: number, take: boolean): number {
    const { u8 } = this.machine.memory
    const at = this.spec.type === MAP_TYPES.queue ? 0 : this.#values.length - 1
    const found = this.#values[at]
    if (found === undefined) {
      u8.fill(0, value, value + this.spec.valueSize)
      return -ERRNO.ENOENT
    }
    u8.set(found, value)
    if (take) {
      this.#values.splice(at, 1)
      this.dirty = true
    }
    return 0
  }
  override pop(value: number): number {
    return this.#read(value, true)
  }
  override peek(value: number): number {
    return this.#read(value, false)
  }

  override set(_key: Uint8Array, value: Uint8Array | readonly Uint8Array[], flags = 0): number {
    const bytes = this.checkValue(value instanceof Uint8Array ? value : value[0])
    return this.withScratch([bytes], ([at]) => this.push(at, flags))
  }

  /** In the order in which they would be popped; keys are empty. */
  override entries(): MapEntry[] {
    const values = this.spec.type === MAP_TYPES.queue ? this.#values : [...this.#values].reverse()
    return values.map((value) => ({ key: new Uint8Array(0), values: [value.slice()] }))
  }
  override reset(): void {
    this.#values = []
  }
}

/** bloom_filter: exact here, so it never answers "maybe" wrongly; the kernel's may (a written difference). */
export class BloomMap extends EmulatedMap {
  readonly #members = new Set<string>()

  #text(value: number): string {
    return String.fromCharCode(...this.copy(value, this.spec.valueSize))
  }
  override push(value: number, flags: number): number {
    if (flags !== 0) return -ERRNO.EINVAL
    this.#members.add(this.#text(value))
    this.dirty = true
    return 0
  }
  override peek(value: number): number {
    return this.#members.has(this.#text(value)) ? 0 : -ERRNO.ENOENT
  }
  override set(_key: Uint8Array, value: Uint8Array | readonly Uint8Array[]): number {
    const bytes = this.checkValue(value instanceof Uint8Array ? value : value[0])
    return this.withScratch([bytes], ([at]) => this.push(at, 0))
  }
  override entries(): MapEntry[] {
    return [...this.#members].map((text) => ({
      key: new Uint8Array(0),
      values: [Uint8Array.from(text, (character) => character.charCodeAt(0))],
    }))
  }
  override reset(): void {
    this.#members.clear()
  }
}
