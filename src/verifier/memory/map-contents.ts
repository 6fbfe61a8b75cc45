/** Values of a frozen, read-only map: constants for the verifier. */

import type { ProgramMap } from '../program/program.ts'
import { ENOTSUPP, type Env, Rejection } from '../state/env.ts'

/** The bytes at an offset of the only value; the kernel refuses to read arrays of several elements this way. */
export function readConstant(
  _env: Env,
  map: ProgramMap,
  offset: number,
  size: number,
  signExtending: boolean,
): bigint | undefined {
  if (map.maxEntries !== 1) throw new Rejection(ENOTSUPP)
  const value = map.spec.contents?.[0]?.[1]
  let result = 0n
  for (let i = size - 1; i >= 0; i--) result = (result << 8n) | BigInt(value?.[offset + i] ?? 0)
  return signExtending && size < 8 ? BigInt.asIntN(size * 8, result) : BigInt.asIntN(64, result)
}
