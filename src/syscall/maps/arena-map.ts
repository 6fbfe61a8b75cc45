import { SystemError } from '../../errors/index.ts'
import type { MapSpec } from '../../spec/index.ts'
import { MAP, type Mapping, PROT, type Sys } from '../sys/sys.ts'
import { RawMap } from './raw-map.ts'

/**
 * An arena (Linux 6.9) with its pages in this process: the verifier refuses programs of an arena that has no user address
 * yet. The mapping ends with the map's fd. Pointers in an arena are addresses in this process: subtract `address`.
 */
export class ArenaMap extends RawMap {
  /** Where its first page is in this process. */
  readonly address: number
  /** Bytes. */
  readonly length: number
  #mapping: Mapping

  constructor(sys: Sys, fd: number, spec: MapSpec) {
    super(sys, fd, spec)
    this.length = spec.maxEntries * sys.pageSize
    const wanted = Number(spec.mapExtra ?? 0n)
    try {
      const flags = MAP.shared | (wanted === 0 ? 0 : MAP.fixed)
      this.#mapping = sys.mmap(this.length, PROT.read | PROT.write, flags, fd, 0, wanted)
    } catch (error) {
      super.close()
      throw error
    }
    this.address = this.#mapping.address
    const { arenaData } = spec
    if (arenaData === undefined) return
    if (arenaData.length > this.length) {
      this.close()
      throw new SystemError('map.arena', `${this.what}: ${arenaData.length} bytes of variables in ${this.length}`)
    }
    this.#mapping.bytes.set(arenaData)
  }

  /**
   * The arena's memory: a page appears when it is first touched here or allocated by a program. After `close` it shows zeros.
   * Of an arena with the flag segv_on_fault touching a page that no program allocated ends this process.
   */
  get bytes(): Uint8Array {
    return this.#mapping.bytes
  }

  override close(): void {
    if (this.closed) return
    this.#mapping.unmap()
    super.close()
  }
}
