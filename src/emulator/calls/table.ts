import type { Machine } from '../machine.ts'

/**
 * One helper: reads its arguments from r1 to r5 of the machine and answers r0. A number is sign-extended (an errno, an address,
 * an int); a bigint is taken as 64 bits.
 */
export type HelperFunction = (m: Machine) => number | bigint

/** Helpers by name without `bpf_`. */
export type HelperTable = Readonly<Record<string, HelperFunction>>
