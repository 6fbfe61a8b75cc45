import { callError } from '../sys/explain.ts'
import type { Block, Sys } from '../sys/sys.ts'

const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
const EPOLL_CTL_MOD = 3
const EPOLLIN = 1
const EPOLLONESHOT = 1 << 30
const CLOEXEC = 0o2000000
const NONBLOCK = 0o4000
/** struct epoll_event is packed on x86-64 only. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16
const DATA_OFFSET = process.arch === 'x64' ? 4 : 8
const MAX_EVENTS = 64

const TURN_MS = 5

/**
 * Gives timers and sockets their turn while events never end: without it a loop over a ring that is written all the time
 * would keep the event loop from everything else, its own abort signal included.
 */
export class Turns {
  #last = performance.now()

  async give(): Promise<void> {
    if (performance.now() - this.#last < TURN_MS) return
    await new Promise((resolve) => setImmediate(resolve))
    this.#last = performance.now()
  }
}

/** One wait of one reader. */
export interface Wait {
  readonly done: Promise<void>
  /** Ends the wait now. Afterwards, or twice, it is harmless. */
  cancel(): void
}

/**
 * One epoll for all rings of a thread. A single waiting call sleeps on one thread of Node's pool; without anybody who
 * waits none does, and the process can end.
 */
class Poller {
  readonly #sys: Sys
  readonly #epoll: number
  readonly #wake: number
  readonly #events: Block
  readonly #number: Block
  /** Who waits for an fd: any number of readers. */
  readonly #waiting = new Map<number, Set<() => void>>()
  #sleeping = false

  constructor(sys: Sys) {
    this.#sys = sys
    this.#epoll = this.#must('epoll_create1', sys.call('epoll_create1', CLOEXEC))
    this.#wake = this.#must('eventfd2', sys.call('eventfd2', 0, CLOEXEC | NONBLOCK))
    this.#events = sys.alloc(MAX_EVENTS * EVENT_BYTES)
    this.#number = sys.alloc(8)
    this.#control(EPOLL_CTL_ADD, this.#wake, EPOLLIN)
    // The thread that sleeps must not keep an ending process waiting.
    process.once('exit', () => this.#interrupt())
  }

  #must(call: string, result: number): number {
    if (result < 0) throw callError(call, -result)
    return result
  }

  #control(operation: number, fd: number, events: number): void {
    using event = this.#sys.alloc(16)
    event.view.setUint32(0, events, true)
    event.view.setUint32(DATA_OFFSET, fd, true)
    this.#must('epoll_ctl', this.#sys.call('epoll_ctl', this.#epoll, operation, fd, event.address))
  }

  #interrupt(): void {
    this.#number.view.setBigUint64(0, 1n, true)
    this.#sys.call('write', this.#wake, this.#number.address, 8)
  }

  add(fd: number): void {
    this.#control(EPOLL_CTL_ADD, fd, EPOLLONESHOT)
  }

  /** Forgets an fd; who waits for it goes on. */
  remove(fd: number): void {
    this.#control(EPOLL_CTL_DEL, fd, 0)
    this.#resume(fd)
    this.#wakeIfIdle()
  }

  /**
   * Arms the fd once, so that a ring that nobody waits for never wakes the thread. `done` resolves when the fd has something
   * (also when it had it before), was removed, or this wait was cancelled.
   */
  wait(fd: number): Wait {
    this.#control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT)
    let resolve = (): void => {}
    const done = new Promise<void>((finish) => {
      resolve = finish
    })
    const waiters = this.#waiting.get(fd) ?? new Set()
    waiters.add(resolve)
    this.#waiting.set(fd, waiters)
    void this.#sleep()
    return {
      done,
      cancel: () => {
        if (!waiters.delete(resolve)) return
        if (waiters.size === 0 && this.#waiting.get(fd) === waiters) this.#waiting.delete(fd)
        resolve()
        this.#wakeIfIdle()
      },
    }
  }

  #resume(fd: number): void {
    const waiters = this.#waiting.get(fd)
    this.#waiting.delete(fd)
    for (const resume of waiters ?? []) {
      waiters?.delete(resume)
      resume()
    }
  }

  /** Without anybody who waits no thread sleeps. */
  #wakeIfIdle(): void {
    if (this.#waiting.size === 0 && this.#sleeping) this.#interrupt()
  }

  async #sleep(): Promise<void> {
    if (this.#sleeping) return
    this.#sleeping = true
    try {
      while (this.#waiting.size > 0) {
        const count = await this.#sys.callAsync('epoll_pwait', this.#epoll, this.#events.address, MAX_EVENTS, -1, 0, 8)
        for (let i = 0; i < count; i++) {
          const fd = this.#events.view.getUint32(i * EVENT_BYTES + DATA_OFFSET, true)
          if (fd === this.#wake) this.#sys.call('read', this.#wake, this.#number.address, 8)
          this.#resume(fd)
        }
        // Readers take what is there and wait again before the thread sleeps again.
        await new Promise((resolve) => setImmediate(resolve))
      }
    } finally {
      this.#sleeping = false
    }
  }
}

const pollers = new WeakMap<Sys, Poller>()

/** The poller of this thread. */
export function pollerFor(sys: Sys): Poller {
  let poller = pollers.get(sys)
  if (poller === undefined) {
    poller = new Poller(sys)
    pollers.set(sys, poller)
  }
  return poller
}
export type { Poller }
