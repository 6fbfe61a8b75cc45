import { helperNumber, PROFILE_6_18, programTypeName } from '../uapi/index.ts'

export { helperNumber } from '../uapi/index.ts'
/** Helpers for GPL-compatible programs, as the kernel said. */
export const PROFILE_GPL_ONLY: ReadonlySet<string> = new Set(PROFILE_6_18.gplOnly)

/**
 * The first kernel of each helper: helpers are numbered in the order they came in, so a row is the highest number that a
 * version has. [number, major, minor]
 */
const SINCE: readonly (readonly [last: number, major: number, minor: number])[] = [
  [3, 3, 19],
  [11, 4, 1],
  [16, 4, 2],
  [22, 4, 3],
  [25, 4, 4],
  [26, 4, 5],
  [30, 4, 6],
  [36, 4, 8],
  [41, 4, 9],
  [44, 4, 10],
  [45, 4, 11],
  [47, 4, 12],
  [50, 4, 13],
  [53, 4, 14],
  [57, 4, 15],
  [59, 4, 16],
  [64, 4, 17],
  [80, 4, 18],
  [83, 4, 19],
  [90, 4, 20],
  [92, 5, 0],
  [97, 5, 1],
  [108, 5, 2],
  [110, 5, 3],
  [118, 5, 5],
  [119, 5, 6],
  [124, 5, 7],
  [135, 5, 8],
  [141, 5, 9],
  [155, 5, 10],
  [162, 5, 11],
  [163, 5, 12],
  [165, 5, 13],
  [168, 5, 14],
  [175, 5, 15],
  [179, 5, 16],
  [185, 5, 17],
  [193, 5, 18],
  [203, 5, 19],
  [207, 6, 0],
  [209, 6, 1],
  [211, 6, 2],
]

/** The first kernel that has a helper. */
export function helperSince(name: string): readonly [major: number, minor: number] | undefined {
  const number = helperNumber(name)
  if (number === undefined) return undefined
  const row = SINCE.find(([last]) => number <= last)
  return row === undefined ? undefined : [row[1], row[2]]
}

/** Helpers whose call may sleep: only sleepable programs have them. */
export const SLEEPABLE_ONLY: ReadonlySet<string> = new Set([
  'copy_from_user',
  'copy_from_user_task',
  'ima_inode_hash',
  'ima_file_hash',
])

const UNTARGETED = new Set(PROFILE_6_18.needTarget)

/** False when the newest recorded kernel refuses a helper to a kind of program; true where nothing is recorded. */
export function hasHelper(type: number, attachType: number, sleepable: boolean, helper: string): boolean {
  const name = programTypeName(type)
  if (name === undefined || UNTARGETED.has(name)) return true
  const rows = PROFILE_6_18.programs.filter((row) => row.type === name)
  const row =
    rows.find((it) => it.attachType === attachType && (it.sleepable ?? false) === sleepable) ??
    rows.find((it) => it.attachType === attachType) ??
    rows[0]
  return row === undefined || PROFILE_6_18.helperSets[row.helpers].includes(helper)
}
