/** One measured figure: a value and its ratio to a peer or a floor that ran in the same run. */
export interface Figure {
  readonly area: string
  readonly name: string
  readonly value: number
  readonly unit: string
  /** What it is compared with; absent: nothing was asked to be compared. */
  readonly peer?: string
  /** In `unit` too; absent when the peer is not installed (then `peer` says so). */
  readonly peerValue?: number
  /** value / peerValue where less is better, peerValue / value where more is better: below 1 is better than the peer. */
  readonly ratio?: number
  /** The goal for `ratio` or `value`, in words. */
  readonly goal?: string
  readonly met?: boolean
}

/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Milliseconds of each of `runs` runs of every task, the tasks interleaved; medians in the tasks' order. */
export async function interleaved(
  runs: number,
  tasks: readonly (() => unknown | Promise<unknown>)[],
): Promise<number[]> {
  const times: number[][] = tasks.map(() => [])
  for (const task of tasks) await task()
  for (let run = 0; run < runs; run++) {
    for (const [index, task] of tasks.entries()) {
      const start = process.hrtime.bigint()
      await task()
      times[index].push(Number(process.hrtime.bigint() - start) / 1e6)
    }
  }
  return times.map(median)
}
