import type { ProgramImage } from '../spec/index.ts'
import { type LoadImageOptions, type LoadResult, loadImage } from './load-image.ts'
import { realSys } from './real.ts'
import type { Sys } from './sys.ts'
import type { Verdict } from './verdict.ts'

/** What the running kernel says of a program, in the words of the machine contract. */
export interface Judgement {
  readonly verdict: Verdict
  readonly errno?: number
  readonly message?: string
  readonly processed?: number
  readonly timeUs?: number
  /** Only when a log level was asked for, or the program was not accepted. */
  readonly log?: string
  readonly logTruncated?: true
}

export interface Judge {
  readonly sys: Sys
  /** Loads the program, keeps nothing. */
  judge(image: ProgramImage, options?: LoadImageOptions): Judgement
  /** Loads the program and keeps it: for test runs and for looking at its maps. Close it. */
  load(image: ProgramImage, options?: LoadImageOptions): LoadResult
}

/** A load result in the words of the machine contract. */
export function judgementOf(result: LoadResult, withLog: boolean): Judgement {
  const { verdict, errno, message, log, logTruncated, statistics } = result
  return {
    verdict,
    ...(errno === 0 ? {} : { errno }),
    ...(message === undefined ? {} : { message }),
    ...(statistics.processed === undefined ? {} : { processed: statistics.processed }),
    ...(statistics.timeUs === undefined ? {} : { timeUs: statistics.timeUs }),
    ...((withLog || verdict !== 'accept') && log !== '' ? { log } : {}),
    ...(logTruncated ? { logTruncated: true } : {}),
  }
}

/** The running kernel as a judge of programs; tens of thousands of them cost no memory and no descriptors. */
export function createJudge(sys: Sys = realSys()): Judge {
  return {
    sys,
    judge(image, options = {}) {
      using result = loadImage(sys, image, options)
      return judgementOf(result, options.logLevel !== undefined)
    },
    load: (image, options) => loadImage(sys, image, options),
  }
}
