import { SystemError } from '../../errors/index.ts'
import type { Sys } from './sys.ts'

/** A file descriptor with one owner. `close()` and `using` give it back; closing twice is harmless. */
export class OwnedFd {
  readonly sys: Sys
  readonly what: string
  #fd: number

  /** @param what names the object in errors ("map counts") */
  constructor(sys: Sys, fd: number, what: string) {
    this.sys = sys
    this.what = what
    this.#fd = fd
  }

  /** @throws SystemError `sys.closed` after `close()` */
  get fd(): number {
    if (this.#fd < 0) throw new SystemError('sys.closed', `${this.what} is closed`)
    return this.#fd
  }

  get closed(): boolean {
    return this.#fd < 0
  }

  close(): void {
    const fd = this.#fd
    if (fd < 0) return
    this.#fd = -1
    this.sys.call('close', fd)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Gives the descriptor away: this object no longer closes it. */
  release(): number {
    const fd = this.fd
    this.#fd = -1
    return fd
  }
}
