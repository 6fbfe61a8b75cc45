import type { ProgramImage } from '../../spec/index.ts'
import { verify } from '../../verifier/index.ts'
import { isSecondHalf } from './recorder.ts'

/** Slots that the verifier model never walks: dead code. Undefined where it does not accept the program. */
export function deadSlots(image: ProgramImage): ReadonlySet<number> | undefined {
  const { verdict, log, logTruncated } = verify(image, { logLevel: 2 })
  if (verdict !== 'accept' || log === undefined || logTruncated === true) return undefined
  const walked = new Set<number>()
  for (const match of log.matchAll(/^(\d+): \([0-9a-f]{2}\)/gm)) walked.add(Number(match[1]))
  const dead = new Set<number>()
  for (let slot = 0; slot < image.insns.length / 8; slot++)
    if (!walked.has(slot) && !isSecondHalf(image.insns, slot)) dead.add(slot)
  return dead
}
