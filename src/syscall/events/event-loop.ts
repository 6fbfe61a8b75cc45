import type { Sys } from '../sys/sys.ts'
import { pollerFor, Turns, type Wait } from './poller.ts'

export interface EventsOptions {
  /** Ends the iteration. */
  readonly signal?: AbortSignal
}

/** What a loop over events needs of a buffer. */
export interface EventSource<Event> {
  readonly sys: Sys
  readonly closed: () => boolean
  /** What is there now; empty when it is time to wait. */
  readonly take: () => Event[]
  /** Gets back what was taken for a reader who left. */
  readonly giveBack: (events: readonly Event[]) => void
  /** What to wait for, watched by the poller: something comes when one of them has something. */
  readonly fds: () => readonly number[]
}

/** Events as they come, until the source is closed, the loop is left or the signal aborts. */
export async function* readEvents<Event>(source: EventSource<Event>, options: EventsOptions): AsyncGenerator<Event> {
  const { signal } = options
  const poller = pollerFor(source.sys)
  const ended = (): boolean => source.closed() || signal?.aborted === true
  const turns = new Turns()
  let waits: Wait[] = []
  const stop = (): void => {
    for (const wait of waits) wait.cancel()
  }
  signal?.addEventListener('abort', stop, { once: true })
  try {
    while (!ended()) {
      const batch = source.take()
      for (let next = 0; next < batch.length; ) {
        let taken = false
        try {
          yield batch[next++]
          taken = !ended()
        } finally {
          if (!taken) source.giveBack(batch.slice(next))
        }
        if (!taken) return
      }
      if (ended()) return
      if (batch.length > 0) {
        await turns.give()
        continue
      }
      waits = source.fds().map((fd) => poller.wait(fd))
      await Promise.race(waits.map(({ done }) => done))
      stop()
    }
  } finally {
    signal?.removeEventListener('abort', stop)
    stop()
  }
}
