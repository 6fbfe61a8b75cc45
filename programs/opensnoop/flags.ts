import { UsageError } from 'typebpf'

/** Bits of open(2), Linux on x86-64 (asm-generic/fcntl.h). */
export const FLAG_NAMES: Readonly<Record<string, number>> = {
  O_WRONLY: 0o1,
  O_RDWR: 0o2,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_NOCTTY: 0o400,
  O_TRUNC: 0o1000,
  O_APPEND: 0o2000,
  O_NONBLOCK: 0o4000,
  O_DSYNC: 0o10000,
  O_DIRECT: 0o40000,
  O_LARGEFILE: 0o100000,
  O_DIRECTORY: 0o200000,
  O_NOFOLLOW: 0o400000,
  O_NOATIME: 0o1000000,
  O_CLOEXEC: 0o2000000,
  O_SYNC: 0o4010000,
  O_PATH: 0o10000000,
  O_TMPFILE: 0o20200000,
}

/** The bits of several names. @throws UsageError `usage.flag` */
export function openFlags(names: readonly string[]): number {
  return names.reduce((bits, name) => {
    const bit = FLAG_NAMES[name]
    if (bit === undefined)
      throw new UsageError('usage.flag', `${JSON.stringify(name)} is no flag of open(2)`, {
        details: [`possible are: ${Object.keys(FLAG_NAMES).join(' ')}`],
      })
    return bits | bit
  }, 0)
}
