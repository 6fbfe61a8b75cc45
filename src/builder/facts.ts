import { PROFILE_6_18 } from '../uapi/profiles/profile.ts'

export { helperNumber } from '../uapi/index.ts'
/** Helpers for GPL-compatible programs, as the kernel said. */
export const PROFILE_GPL_ONLY: ReadonlySet<string> = new Set(PROFILE_6_18.gplOnly)
