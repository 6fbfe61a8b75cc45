/** A piece of memory that the kernel may read and write: it never moves and is never collected while in use. */
export interface Block {
  /** Its address in this process. */
  readonly address: number
  /** Bytes that were asked for (the block itself may be larger). */
  readonly size: number
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Gives the memory back for reuse; freeing twice is harmless. */
  free(): void
  [Symbol.dispose](): void
}

/** A mapping made by mmap(2). After `unmap` its views stay readable (they show zeros), so a forgotten one cannot crash. */
export interface Mapping {
  readonly address: number
  readonly bytes: Uint8Array
  unmap(): void
  [Symbol.dispose](): void
}

/** mmap(2) protection and flags (asm-generic/mman-common.h). */
export const PROT = { none: 0, read: 1, write: 2 } as const
export const MAP = { shared: 1, private: 2, fixed: 0x10, anonymous: 0x20 } as const

/** System calls by name besides bpf(2). The real implementation knows their numbers per architecture. */
export const SYSCALLS = {
  bpf: { x64: 321, arm64: 280, arm: 386 },
  close: { x64: 3, arm64: 57, arm: 6 },
  read: { x64: 0, arm64: 63, arm: 3 },
  write: { x64: 1, arm64: 64, arm: 4 },
  ioctl: { x64: 16, arm64: 29, arm: 54 },
  fcntl: { x64: 72, arm64: 25, arm: 221 },
  poll: { x64: 7, arm64: -1, arm: 168 },
  socket: { x64: 41, arm64: 198, arm: 281 },
  bind: { x64: 49, arm64: 200, arm: 282 },
  connect: { x64: 42, arm64: 203, arm: 283 },
  getsockname: { x64: 51, arm64: 204, arm: 286 },
  getpeername: { x64: 52, arm64: 205, arm: 287 },
  sendto: { x64: 44, arm64: 206, arm: 290 },
  recvfrom: { x64: 45, arm64: 207, arm: 292 },
  setsockopt: { x64: 54, arm64: 208, arm: 294 },
  getsockopt: { x64: 55, arm64: 209, arm: 295 },
  setns: { x64: 308, arm64: 268, arm: 375 },
  unshare: { x64: 272, arm64: 97, arm: 337 },
  mount: { x64: 165, arm64: 40, arm: 21 },
  umount2: { x64: 166, arm64: 39, arm: 52 },
  perf_event_open: { x64: 298, arm64: 241, arm: 364 },
  epoll_create1: { x64: 291, arm64: 20, arm: 357 },
  epoll_ctl: { x64: 233, arm64: 21, arm: 251 },
  epoll_pwait: { x64: 281, arm64: 22, arm: 346 },
  eventfd2: { x64: 290, arm64: 19, arm: 356 },
  pidfd_open: { x64: 434, arm64: 434, arm: 434 },
  mmap: { x64: 9, arm64: 222, arm: 192 },
  munmap: { x64: 11, arm64: 215, arm: 91 },
  getpid: { x64: 39, arm64: 172, arm: 20 },
  openat: { x64: 257, arm64: 56, arm: 322 },
  prlimit64: { x64: 302, arm64: 261, arm: 369 },
  dup3: { x64: 292, arm64: 24, arm: 358 },
  capget: { x64: 125, arm64: 90, arm: 184 },
  capset: { x64: 126, arm64: 91, arm: 185 },
  fsopen: { x64: 430, arm64: 430, arm: 430 },
  fsconfig: { x64: 431, arm64: 431, arm: 431 },
  fsmount: { x64: 432, arm64: 432, arm: 432 },
} as const satisfies Readonly<Record<string, { x64: number; arm64: number; arm: number }>>
export type SyscallName = keyof typeof SYSCALLS

/**
 * The seam to the operating system: everything above it is plain TypeScript, a fake takes its place in tests.
 * Results are those of the kernel itself: a value of zero or more, or minus the errno.
 */
export interface Sys {
  readonly kind: 'kernel' | 'fake'
  readonly pageSize: number
  /** bpf(2) with the address and size of its attributes. */
  bpf(command: number, attr: number, size: number): number
  /** Any other system call; arguments are numbers and addresses. */
  call(name: SyscallName, ...args: readonly number[]): number
  /** A system call that may wait, on a thread of its own; the main thread goes on. */
  callAsync(name: SyscallName, ...args: readonly number[]): Promise<number>
  /** Zeroed memory at a fixed address. @throws SystemError `sys.enomem` */
  alloc(size: number): Block
  /** The bytes at an address that {@link alloc} gave out, at most `length`; undefined for other memory. For traces. */
  peek(address: number, length: number): Uint8Array | undefined
  /** A small text file of the system (/proc, /sys), undefined when it is not there or may not be read. */
  readText(path: string): string | undefined
  /** mmap(2) of an fd; `address` with {@link MAP}.fixed. @throws SystemError with the errno */
  mmap(length: number, protection: number, flags: number, fd: number, offset: number, address?: number): Mapping
}
