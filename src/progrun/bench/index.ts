/** Benchmarks of programs: BPF_PROG_RUN with repeat where the kernel can be asked, else the emulator's own time. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { InputError, UnsupportedError } from '../../errors/index.ts'
import type { Harness, ProgramRef } from '../harness/harness.ts'
import type { RunOptions, TypeOfKind } from '../harness/run-options.ts'

export interface BenchOptions<K extends string> {
  /** Measurements; default 50. */
  readonly samples?: number
  /** Runs in a measurement; default 10,000 in the kernel, 100 in the emulator. */
  readonly repeat?: number
  /** A program measured in turn with this one: the ratio to it does not depend on the machine. */
  readonly reference?: {
    readonly t: Harness
    readonly program: ProgramRef<K>
    readonly options: RunOptions<TypeOfKind<K>>
  }
}

/** Nanoseconds a run. */
export interface BenchResult {
  readonly program: string
  readonly backend: 'kernel' | 'emulator'
  /** `uname -r`. */
  readonly kernel: string
  readonly medianNs: number
  readonly p99Ns: number
  readonly minNs: number
  readonly samples: number
  readonly repeat: number
  readonly reference?: string
  /** Median of this one to the median of the reference. */
  readonly ratio?: number
}

function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}

function timeOnce<K extends string>(
  t: Harness,
  program: ProgramRef<K>,
  options: RunOptions<TypeOfKind<K>>,
  repeat: number,
): number {
  // one backend only: comparing is what tests are for
  const result = t.measure(program, { ...options, repeat } as RunOptions<TypeOfKind<K>>)
  return result.durationNs ?? 0
}

/**
 * Measures a program.
 * @throws UnsupportedError for types that BPF_PROG_RUN does not repeat
 */
export function bench<K extends string>(
  t: Harness,
  program: ProgramRef<K>,
  options: RunOptions<TypeOfKind<K>>,
  settings: BenchOptions<K> = {},
): BenchResult {
  const backend = t.kernel === undefined ? 'emulator' : 'kernel'
  const samples = settings.samples ?? 50
  const repeat = settings.repeat ?? (backend === 'kernel' ? 10_000 : 100)
  const { reference } = settings
  const times: number[] = []
  const others: number[] = []
  timeOnce(t, program, options, repeat)
  for (let i = 0; i < samples; i++) {
    times.push(timeOnce(t, program, options, repeat))
    if (reference !== undefined) others.push(timeOnce(reference.t, reference.program, reference.options, repeat))
  }
  times.sort((a, b) => a - b)
  others.sort((a, b) => a - b)
  if (quantile(times, 0.5) === 0 && backend === 'kernel')
    throw new UnsupportedError('progrun.bench', 'the kernel measures no time for this program type')
  const name = (ref: ProgramRef): string => (typeof ref === 'string' ? ref : ref.name)
  return {
    program: name(program),
    backend,
    kernel: release(),
    medianNs: quantile(times, 0.5),
    p99Ns: quantile(times, 0.99),
    minNs: times[0],
    samples,
    repeat,
    ...(reference === undefined
      ? {}
      : { reference: name(reference.program), ratio: quantile(times, 0.5) / Math.max(1, quantile(others, 0.5)) }),
  }
}

/** A program that became slower than its stored figure allows. */
export interface Regression {
  readonly program: string
  /** What is compared: the ratio to the reference where both have one, else nanoseconds. */
  readonly by: 'ratio' | 'medianNs'
  readonly before: number
  readonly now: number
}

/**
 * Compares results with those stored in a JSON file, which is written when it is not there (or with `update`). Ratios to a
 * reference are compared where there are any; nanoseconds only on the same kernel.
 * @param limit how much slower is allowed: 1.2 is 20 %
 * @throws InputError `bench.baseline` for a file that is none
 */
export function compareBaseline(
  results: readonly BenchResult[],
  file: string,
  options: { readonly limit?: number; readonly update?: boolean } = {},
): Regression[] {
  if (options.update === true || !existsSync(file)) {
    writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`)
    return []
  }
  let stored: BenchResult[]
  try {
    stored = JSON.parse(readFileSync(file, 'utf8')) as BenchResult[]
    if (!Array.isArray(stored)) throw new TypeError('no list')
  } catch (cause) {
    throw new InputError('bench.baseline', `${file} is no list of bench results`, { cause })
  }
  const limit = options.limit ?? 1.2
  return results.flatMap((now): Regression[] => {
    const before = stored.find(({ program, backend }) => program === now.program && backend === now.backend)
    if (before === undefined) return []
    if (before.ratio !== undefined && now.ratio !== undefined && before.reference === now.reference)
      return now.ratio > before.ratio * limit
        ? [{ program: now.program, by: 'ratio', before: before.ratio, now: now.ratio }]
        : []
    return before.kernel === now.kernel && now.medianNs > before.medianNs * limit
      ? [{ program: now.program, by: 'medianNs', before: before.medianNs, now: now.medianNs }]
      : []
  })
}
