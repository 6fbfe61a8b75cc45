/**
 * Where the guest's kernel is known to differ from the one whose facts the model has: not counted as wrong, and named in every
 * report. A row needs more than words: the reason why both are right.
 */
import type { ProgramImage } from '../../../src/spec/index.ts'
import { PROGRAM_TYPES, TARGETS_6_18 } from '../../../src/uapi/index.ts'

/** One program with both answers. */
export interface Difference {
  /** The guest's `uname -r`. */
  readonly release: string
  readonly image: ProgramImage
  readonly kernel: { readonly verdict: string; readonly message?: string }
  readonly model: { readonly verdict: string; readonly message?: string }
}

interface KnownDifference {
  readonly why: string
  fits(difference: Difference): boolean
}

/** Kernel functions that the recorded kernel opens to any program. */
const RECORDED_KFUNCS: ReadonlySet<string> = new Set(Object.values(TARGETS_6_18.kfuncSets).flat())
/** The recorded kernel's point release. */
const RECORDED = 44

function isEarlier(release: string): boolean {
  const match = /^6\.18\.(\d+)/.exec(release)
  return match !== null && Number(match[1]) < RECORDED
}

/** The type whose context it has: the target's, of an extension. */
function contextType({ type, attachTo }: ProgramImage): number {
  return attachTo?.program !== undefined && type === PROGRAM_TYPES.ext ? contextType(attachTo.program) : type
}

/** BPF_LD with BPF_ABS or BPF_IND, one, two or four bytes. */
const LEGACY_LOADS: readonly number[] = [0x20, 0x28, 0x30, 0x40, 0x48, 0x50]

function loadsLegacy({ insns }: ProgramImage): boolean {
  for (let at = 0; at < insns.length; at += 8) if (LEGACY_LOADS.includes(insns[at])) return true
  return false
}

const KNOWN: readonly KnownDifference[] = [
  {
    why: 'kernel functions that the recorded kernel was built without: the model refuses them as not allowed',
    fits: ({ model }) => {
      const called = /^calling kernel function (\w+) is not allowed$/.exec(model.message ?? '')
      return called !== null && !RECORDED_KFUNCS.has(called[1])
    },
  },
  {
    why: `kprobe registers: writable in point releases before 6.18.${RECORDED}, which refuses it`,
    fits: ({ release, image, kernel, model }) =>
      contextType(image) === PROGRAM_TYPES.kprobe &&
      isEarlier(release) &&
      kernel.verdict === 'accept' &&
      /^invalid bpf_context access off=\d+ size=\d$/.test(model.message ?? ''),
  },
  {
    why: `iterators' buffers that may be null: read without a test in point releases before 6.18.${RECORDED}, which refuses it`,
    fits: ({ release, image, kernel, model }) =>
      image.type === PROGRAM_TYPES.tracing &&
      isEarlier(release) &&
      kernel.verdict === 'accept' &&
      /^R\d invalid mem access '(rdonly|rdwr)_buf_or_null'$/.test(model.message ?? ''),
  },
  {
    why: `bpf_throw in sections and with references held: looked at otherwise in point releases before 6.18.${RECORDED}`,
    fits: ({ release, model }) =>
      isEarlier(release) && /^bpf_throw (cannot be used inside|would lead to) /.test(model.message ?? ''),
  },
  {
    why: `legacy packet loads: from some point release before 6.18.${RECORDED} on their way out is walked and counted`,
    fits: ({ release, image, kernel, model }) =>
      isEarlier(release) && kernel.verdict === 'accept' && model.verdict === 'accept' && loadsLegacy(image),
  },
]

/** Why both answers are right, undefined where none of the known reasons fits. */
export function knownDifference(difference: Difference): string | undefined {
  return KNOWN.find((row) => row.fits(difference))?.why
}
