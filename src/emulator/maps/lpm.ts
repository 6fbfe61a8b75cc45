import type { MapSpec } from '../../spec/index.ts'
import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { SHADOW } from '../memory.ts'
import { EmulatedMap, type MapEntry } from './map.ts'

interface Node {
  readonly prefix: number
  readonly key: Uint8Array
  readonly value: number
}

/** lpm_trie: longest prefix match over big-endian data behind a u32 prefix length (kernel/bpf/lpm_trie.c's behaviour). */
export class LpmMap extends EmulatedMap {
  /** Per prefix length, entries by their masked bytes. */
  readonly #byLength = new Map<number, Map<string, Node>>()
  #lengths: number[] = []
  #count = 0
  #dead: Node[] = []
  readonly #dataBytes: number

  constructor(machine: Machine, spec: MapSpec, index: number) {
    super(machine, spec, index)
    this.#dataBytes = spec.keySize - 4
  }

  #prefix(key: number): number {
    return this.machine.memory.view.getUint32(key, true)
  }

  #masked(key: number, prefix: number): string {
    const { u8 } = this.machine.memory
    let text = ''
    for (let bit = 0, at = key + 4; bit < prefix; bit += 8, at++) {
      const left = prefix - bit
      text += String.fromCharCode(left >= 8 ? u8[at] : u8[at] & (0xff << (8 - left)) & 0xff)
    }
    return text
  }

  override lookup(key: number): number {
    const limit = this.#prefix(key)
    for (const length of this.#lengths) {
      if (length > limit) continue
      const node = this.#byLength.get(length)?.get(this.#masked(key, length))
      if (node !== undefined) return node.value
    }
    return 0
  }

  override update(key: number, value: number, flags: number): number {
    if (flags > 2 || flags < 0) return -ERRNO.EINVAL
    const prefix = this.#prefix(key)
    if (prefix > this.#dataBytes * 8) return -ERRNO.EINVAL
    const masked = this.#masked(key, prefix)
    const old = this.#byLength.get(prefix)?.get(masked)
    if (old !== undefined && flags === 1) return -ERRNO.EEXIST
    if (old === undefined && flags === 2) return -ERRNO.ENOENT
    if (old === undefined && this.#count >= this.spec.maxEntries) return -ERRNO.ENOSPC
    const { memory } = this.machine
    const at = memory.allocate(this.spec.valueSize, this.valueShadow)
    if (at === 0) return -ERRNO.ENOMEM
    memory.u8.copyWithin(at, value, value + this.spec.valueSize)
    if (old !== undefined) this.#bury(old)
    else this.#count++
    let level = this.#byLength.get(prefix)
    if (level === undefined) {
      level = new Map()
      this.#byLength.set(prefix, level)
      this.#lengths = [...this.#byLength.keys()].sort((a, b) => b - a)
    }
    level.set(masked, { prefix, key: this.copy(key, this.spec.keySize), value: at })
    this.dirty = true
    return 0
  }

  #bury(node: Node): void {
    this.machine.memory.protect(node.value, this.spec.valueSize, SHADOW.freed)
    this.#dead.push(node)
  }

  override remove(key: number): number {
    const prefix = this.#prefix(key)
    if (prefix > this.#dataBytes * 8) return -ERRNO.EINVAL
    const masked = this.#masked(key, prefix)
    const node = this.#byLength.get(prefix)?.get(masked)
    if (node === undefined) return -ERRNO.ENOENT
    this.#byLength.get(prefix)?.delete(masked)
    this.#count--
    this.#bury(node)
    this.dirty = true
    return 0
  }

  override endRun(): void {
    for (const node of this.#dead) this.machine.memory.release(node.value, this.spec.valueSize)
    this.#dead = []
  }

  override entries(): MapEntry[] {
    return [...this.#byLength.values()].flatMap((level) =>
      [...level.values()].map((node) => ({ key: node.key, values: [this.copy(node.value, this.spec.valueSize)] })),
    )
  }

  override reset(): void {
    for (const level of this.#byLength.values()) for (const node of level.values()) this.#bury(node)
    this.#byLength.clear()
    this.#lengths = []
    this.#count = 0
    this.endRun()
  }
}
