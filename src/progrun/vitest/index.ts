/**
 * vitest's side of the harness: `import { test, expect } from 'typebpf/vitest'` gives fixtures that close what they open, and
 * matchers that say what differs in the words of the field.
 */
import {
  type Assertion,
  type ExpectStatic,
  type MatcherResult,
  expect as vitestExpect,
  test as vitestTest,
} from 'vitest'
import {
  type Check,
  checkEmit,
  checkMapState,
  checkPacket,
  checkReturn,
  checkWithin,
  type EventPattern,
  type MapState,
} from '../checks/checks.ts'
import { checkFailsVerifier, checkPassesVerifier, type VerifierQuestion } from '../checks/verifier.ts'
import { type Harness, type HarnessOptions, harness } from '../harness/harness.ts'
import { RunResult } from '../harness/result.ts'
import type { HarnessSource } from '../harness/source.ts'
import type { TestMap } from '../harness/test-map.ts'
import type { VerdictName } from '../harness/verdicts.ts'
import { formatPacket, type Layer } from '../packets/index.ts'
import { explainFailure } from './explain.ts'

function answer({ pass, message, actual, expected }: Check): MatcherResult {
  return { pass, message: () => message, actual, expected }
}

/** vitest's own `toReturn()` of spies, whose name this matcher shares. */
function spyReturned(spy: unknown): MatcherResult {
  const results = (spy as { mock?: { results?: readonly { type: string }[] } } | undefined)?.mock?.results
  return {
    pass: results?.some(({ type }) => type === 'return') ?? false,
    message: () =>
      results === undefined ? 'expected the result of a run (or a spy)' : 'expected the spy to return at least once',
  }
}

/** The matchers, for `expect.extend(matchers)`; importing this module has done it. */
export const matchers = {
  toReturn: (result: unknown, expected?: string | number) =>
    result instanceof RunResult && expected !== undefined ? answer(checkReturn(result, expected)) : spyReturned(result),
  toEqualPacket: (actual: Uint8Array | RunResult, expected: Uint8Array | readonly Layer[]) =>
    answer(checkPacket(actual, expected)),
  toHaveMapState: (map: TestMap, expected: MapState, options?: { readonly exact?: boolean }) =>
    answer(checkMapState(map, expected, options)),
  toEmit: (result: RunResult, pattern: EventPattern) => answer(checkEmit(result, pattern)),
  toRunWithin: (result: RunResult, limit: { readonly instructions?: number; readonly ns?: number }) =>
    answer(checkWithin(result, limit)),
  toPassVerifier: async (source: HarnessSource, question?: VerifierQuestion) =>
    answer(await checkPassesVerifier(source, question)),
  toFailVerifier: async (source: HarnessSource, reason?: RegExp | string, question?: VerifierQuestion) =>
    answer(await checkFailsVerifier(source, reason, question)),
}

vitestExpect.extend(matchers)

type Returned<T> = T extends RunResult<infer K> ? VerdictName<K> | number : string | number
type State<T> = T extends TestMap<infer K, infer V> ? MapState<K, V> : MapState

/** The matchers as types. */
export interface BpfMatchers<T> {
  /** The run returned this verdict (by its name in the uapi) or number. */
  toReturn(expected: Returned<T>): void
  /** Equal packets; a failure names the fields that differ. */
  toEqualPacket(expected: Uint8Array | readonly Layer[]): void
  /** The map has these entries; `exact`: and no others. */
  toHaveMapState(expected: State<T>, options?: { readonly exact?: boolean }): void
  /** The run sent such an event through a ring. */
  toEmit(pattern: EventPattern): void
  /** At most so many instructions (as the emulator counts) and nanoseconds (as the kernel measures, where it ran). */
  toRunWithin(limit: { readonly instructions?: number; readonly ns?: number }): void
  /** Every program of the source is accepted by the model, the running kernel, or both. */
  toPassVerifier(question?: VerifierQuestion): Promise<void>
  /** A program is rejected, for a reason that matches. */
  toFailVerifier(reason?: RegExp | string, question?: VerifierQuestion): Promise<void>
}

/** vitest's assertion with the matchers of this module. */
export type BpfAssertion<T> = Omit<Assertion<T>, 'toReturn' | 'not'> &
  BpfMatchers<T> & { readonly not: BpfAssertion<T> }

/** vitest's `expect` with the matchers of this module. */
export type BpfExpect = (<T>(actual: T, message?: string) => BpfAssertion<T>) & Pick<ExpectStatic, keyof ExpectStatic>

export const expect: BpfExpect = vitestExpect as unknown as BpfExpect

/** Packets in snapshots are shown decoded: `expect(packetText(result.packet)).toMatchSnapshot()`. */
export function packetText(packet: Uint8Array | undefined): string {
  return packet === undefined ? '(no packet)' : formatPacket(packet)
}

export interface HarnessFixture {
  /** Opens a harness that is closed when the test ends. */
  readonly bpf: (source: HarnessSource, options?: HarnessOptions) => Promise<Harness>
}

/** vitest's `test` with the fixture `bpf`. A failing test says on which backend it ran. */
export const test = vitestTest.extend<HarnessFixture>({
  bpf: async ({ task, onTestFailed }, use) => {
    onTestFailed(() => explainFailure(task))
    const open: Harness[] = []
    try {
      await use(async (source, options) => {
        const made = await harness(source, options)
        open.push(made)
        Object.assign(task.meta, { backend: made.backend })
        return made
      })
    } finally {
      for (const each of open.reverse()) each.close()
    }
  },
})
