import { type CapturedPacket, type Difference, DifferenceError, type Harness } from 'typebpf/progrun'
import { xdpCount } from '../xdp-count.bpf.ts'

/** What came of running the capture. */
export interface Replay {
  /** Frames by verdict. */
  readonly verdicts: ReadonlyMap<string, number>
  /** Instructions that the emulator executed, and its time. */
  readonly instructions: number
  readonly milliseconds: number
  readonly differences: readonly Difference[]
}

/** Runs every frame once, in all backends of the harness; a disagreement is kept, not thrown. */
export function replay(t: Harness, frames: readonly CapturedPacket[]): Replay {
  const verdicts = new Map<string, number>()
  const differences: Difference[] = []
  let instructions = 0
  const started = performance.now()
  for (const { data } of frames) {
    try {
      const result = t.run(xdpCount, { packet: data })
      instructions += result.instructions ?? 0
      const name = result.verdict ?? `return value ${result.returnValue}`
      verdicts.set(name, (verdicts.get(name) ?? 0) + 1)
    } catch (error) {
      if (!(error instanceof DifferenceError)) throw error
      differences.push(...error.differences)
    }
  }
  return { verdicts, instructions, milliseconds: performance.now() - started, differences }
}

export function verdictText(replayed: Replay): string {
  return [...replayed.verdicts].map(([name, count]) => `${count} ${name}`).join(', ') || 'none'
}
