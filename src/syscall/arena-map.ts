import { closeSync, openSync, writeSync } from 'node:fs'
import { SystemError } from '../errors/index.ts'
import type { MapSpec } from '../spec/index.ts'
import { explainErrno } from './explain.ts'
import { RawMap } from './raw-map.ts'
import { MAP, PROT, type Sys } from './sys.ts'

/**
 * An arena (Linux 6.9) with its pages in this process: the verifier refuses programs of an arena that has no user address
 * yet. The mapping ends with the map's fd.
 */
export class ArenaMap extends RawMap {
  /** Where its first page is in this process. */
  readonly address: number
  /** Bytes. */
  readonly length: number

  constructor(sys: Sys, fd: number, spec: MapSpec) {
    super(sys, fd, spec)
    this.length = spec.maxEntries * sys.pageSize
    const wanted = Number(spec.mapExtra ?? 0n)
    const flags = MAP.shared | (wanted === 0 ? 0 : MAP.fixed)
    const address = sys.call('mmap', wanted, this.length, PROT.read | PROT.write, flags, fd, 0)
    this.address = address
    if (address < 0) {
      this.close()
      throw explainErrno('map_create', -address, `${this.what}: mapping ${this.length} bytes`)
    }
    if (spec.arenaData !== undefined) this.#write(spec.arenaData)
  }

  /** Pages appear when they are written: through the process's memory file, so that no view of them has to live on. */
  #write(bytes: Uint8Array): void {
    if (bytes.length > this.length)
      throw new SystemError('map.arena', `${this.what}: ${bytes.length} bytes of variables in ${this.length}`)
    const memory = openSync('/proc/self/mem', 'r+')
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(memory, bytes, at, bytes.length - at, this.address + at)
    } finally {
      closeSync(memory)
    }
  }

  override close(): void {
    if (!this.closed && this.address >= 0) this.sys.call('munmap', this.address, this.length)
    super.close()
  }
}
