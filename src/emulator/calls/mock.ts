/** What a mock of a helper or kfunc sees. Arguments are unsigned 64-bit values. */
export interface HelperArguments {
  readonly name: string
  readonly args: readonly [bigint, bigint, bigint, bigint, bigint]
  /** How often it was called before, this run and earlier ones. */
  readonly times: number
  /** A copy of memory that the program may read; ends the run with a fault when it may not. */
  read(address: bigint, size: number): Uint8Array
  /** Writes memory that the program may write. */
  write(address: bigint, bytes: Uint8Array): void
  /** The emulator's own implementation on the same arguments; 0 when it has none. */
  original(): bigint
}
