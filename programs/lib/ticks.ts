import { setTimeout as sleep } from 'node:timers/promises'

export interface TicksOptions {
  /** Seconds between two outputs; absent: one output at the end. */
  readonly seconds?: number
  /** At most so many outputs. */
  readonly count?: number
}

/**
 * The moments at which a summary is due: after every interval, and once more when `signal` aborts. Ends after the last.
 */
export async function* ticks({ seconds, count }: TicksOptions, signal: AbortSignal): AsyncGenerator<void> {
  for (let i = 0; i < (count ?? Number.POSITIVE_INFINITY) && !signal.aborted; i++) {
    // without an interval: until Ctrl-C (a timer's longest delay keeps the process alive)
    await sleep(seconds === undefined ? 2_147_483_647 : seconds * 1000, undefined, { signal }).catch(() => undefined)
    yield
  }
}

/** The time of day, for -T. */
export function clock(now: Date = new Date()): string {
  return now.toTimeString().slice(0, 8)
}
