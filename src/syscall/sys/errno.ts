import { ERRNO } from '../../uapi/index.ts'

export { ERRNO } from '../../uapi/index.ts'

export type ErrnoName = keyof typeof ERRNO

const NAMES = new Map<number, string>(Object.entries(ERRNO).map(([name, number]) => [number, name]))

/** `EINVAL` of 22; `errno 77` where the table has no name. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`
}
