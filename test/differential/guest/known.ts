/**
 * Where the guest's kernel is known to differ from the one whose facts the model has: not counted as wrong, and named in every
 * report. A row needs more than words: the reason why both are right.
 */
import { PROGRAM_TYPES } from '../../../src/uapi/index.ts'

/** One program with both answers. */
export interface Difference {
  /** The guest's `uname -r`. */
  readonly release: string
  /** Type of the program, of its target where it extends one. */
  readonly type: number
  readonly kernel: { readonly verdict: string; readonly message?: string }
  readonly model: { readonly verdict: string; readonly message?: string }
}

interface KnownDifference {
  readonly why: string
  fits(difference: Difference): boolean
}

/** The recorded kernel's point release. */
const RECORDED = 44

function pointRelease(release: string): number | undefined {
  const match = /^6\.18\.(\d+)/.exec(release)
  return match === null ? undefined : Number(match[1])
}

const KNOWN: readonly KnownDifference[] = [
  {
    why: 'sched_ext: the recorded kernel was built without it and has none of its functions',
    fits: ({ model }) => /^calling kernel function scx_\w+ is not allowed$/.test(model.message ?? ''),
  },
  {
    why: `kprobe registers: writable in point releases before 6.18.${RECORDED}, which refuses it`,
    fits: ({ release, type, kernel, model }) =>
      type === PROGRAM_TYPES.kprobe &&
      (pointRelease(release) ?? RECORDED) < RECORDED &&
      kernel.verdict === 'accept' &&
      /^invalid bpf_context access off=\d+ size=\d$/.test(model.message ?? ''),
  },
  {
    why: `iterators' buffers that may be null: read without a test in point releases before 6.18.${RECORDED}, which refuses it`,
    fits: ({ release, type, kernel, model }) =>
      type === PROGRAM_TYPES.tracing &&
      (pointRelease(release) ?? RECORDED) < RECORDED &&
      kernel.verdict === 'accept' &&
      /^R\d invalid mem access '(rdonly|rdwr)_buf_or_null'$/.test(model.message ?? ''),
  },
]

/** Why both answers are right, undefined where none of the known reasons fits. */
export function knownDifference(difference: Difference): string | undefined {
  return KNOWN.find((row) => row.fits(difference))?.why
}
