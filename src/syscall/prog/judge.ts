import type { ProgramImage } from '../../spec/index.ts'
import { realSys } from '../sys/real.ts'
import type { Sys } from '../sys/sys.ts'
import { type LoadImageOptions, type LoadResult, loadImage } from './load-image.ts'
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
  const { verdict, errno, message, log, statistics } = result
  const judgement: { -readonly [F in keyof Judgement]: Judgement[F] } = { verdict }
  if (errno !== 0) judgement.errno = errno
  if (message !== undefined) judgement.message = message
  if (statistics.processed !== undefined) judgement.processed = statistics.processed
  if (statistics.timeUs !== undefined) judgement.timeUs = statistics.timeUs
  if ((withLog || verdict !== 'accept') && log !== '') judgement.log = log
  if (result.logTruncated) judgement.logTruncated = true
  return judgement
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
