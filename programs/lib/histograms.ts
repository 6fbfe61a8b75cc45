import type { Bucket } from 'typebpf'
import { drawHistogram, histogramRows } from './histogram.ts'
import type { Output } from './output.ts'
import { clock, type TicksOptions, ticks } from './ticks.ts'

/** One histogram of a tool: what it is of, and its slots. */
export interface Distribution {
  /** What it is of ("disk = vda"); absent when there is one for all. */
  readonly label?: readonly [name: string, value: string | number]
  readonly buckets: readonly Bucket[]
}

export interface HistogramReport extends TicksOptions {
  readonly unit: string
  /** Show the time of day above each output. */
  readonly time?: boolean
  /** What was counted since the last call; it begins anew. */
  readonly take: () => readonly Distribution[]
  /** Detaches, before the last output. */
  readonly stop: () => void
}

/** The user side of tools that draw histograms: at each interval, and at the end. */
export async function reportHistograms(out: Output, signal: AbortSignal, report: HistogramReport): Promise<void> {
  const { unit, time, take, stop } = report
  for await (const _ of ticks(report, signal)) {
    if (signal.aborted) stop()
    if (time === true) out.text(clock())
    for (const { label, buckets } of take()) {
      const slots = histogramRows(buckets)
      out.value({ ...(label === undefined ? {} : { [label[0]]: label[1] }), unit, slots }, () =>
        ['', ...(label === undefined ? [] : [`${label[0]} = ${label[1]}`]), ...drawHistogram(buckets, unit)].join('\n'),
      )
    }
    out.flush()
  }
}
