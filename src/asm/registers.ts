/** Registers by name: `r0` to `r10` whole, `w0` to `w10` their low 32 bits. The width of an operation is its registers' width. */
export const REGISTERS_64 = ['r0', 'r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7', 'r8', 'r9', 'r10'] as const
export const REGISTERS_32 = ['w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'w7', 'w8', 'w9', 'w10'] as const
export type Register64 = (typeof REGISTERS_64)[number]
export type Register32 = (typeof REGISTERS_32)[number]
export type RegisterName = Register64 | Register32

const NUMBERS: ReadonlyMap<string, number> = new Map([
  ...REGISTERS_64.map((name, number) => [name, number] as const),
  ...REGISTERS_32.map((name, number) => [name, number] as const),
])

/** 10 for `r10` and `w10`; undefined for anything else. */
export function registerNumber(name: string): number | undefined {
  return NUMBERS.get(name)
}

/** Access sizes by C type name; `s` sizes extend the sign on a load. */
export type LoadSize = 'u8' | 'u16' | 'u32' | 'u64' | 's8' | 's16' | 's32'
export type StoreSize = 'u8' | 'u16' | 'u32' | 'u64'
