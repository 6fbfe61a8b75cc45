/** Linux errno numbers that bpf(2) and its companions answer (include/uapi/asm-generic/errno*.h; 524: include/linux/errno.h). */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ELOOP: 40,
  ENOLINK: 67,
  EPROTO: 71,
  EOVERFLOW: 75,
  EBADFD: 77,
  ENOTSOCK: 88,
  EPROTONOSUPPORT: 93,
  EOPNOTSUPP: 95,
  ENETDOWN: 100,
  ETIMEDOUT: 110,
  EALREADY: 114,
  ESTALE: 116,
  ENOKEY: 126,
  EKEYREJECTED: 129,
  ENOTSUPP: 524,
} as const
export type ErrnoName = keyof typeof ERRNO

const NAMES = new Map<number, string>(Object.entries(ERRNO).map(([name, number]) => [number, name]))

/** `EINVAL` of 22; `errno 77` where the table has no name. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`
}
