import { UnsupportedError } from '../../errors/index.ts'
import type { Sys } from '../sys/sys.ts'
import { Link } from './link.ts'

/**
 * An attachment for which the kernel has no link object: it has no fd, id or info, and cannot be pinned. Closing it detaches.
 * Whether it ends with the process is said by who makes it.
 */
export class LinklessAttachment extends Link {
  #undo: (() => void) | undefined

  constructor(sys: Sys, what: string, undo: () => void) {
    super(sys, -1, what)
    this.#undo = undo
  }

  #none(): never {
    throw new UnsupportedError('link.none', `${this.what}: the kernel has no link object for it`)
  }

  override get fd(): number {
    return this.#none()
  }
  override get closed(): boolean {
    return this.#undo === undefined
  }
  override info(): never {
    return this.#none()
  }
  override update(): void {
    this.#none()
  }
  override detach(): void {
    this.close()
  }
  override pin(): void {
    this.#none()
  }
  override release(): number {
    return this.#none()
  }
  override close(): void {
    const undo = this.#undo
    this.#undo = undefined
    undo?.()
  }
}

/** Several links that are one attachment (the places of a USDT probe). Closes all. */
export class LinkSet extends LinklessAttachment {
  readonly links: readonly Link[]

  constructor(sys: Sys, what: string, links: readonly Link[]) {
    super(sys, what, () => {
      for (const link of links) link.close()
    })
    this.links = links
  }
}
