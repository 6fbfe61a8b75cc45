/** A struct bpf_timer inside a map value. */
export interface Timer {
  readonly address: number
  readonly map: number
  callback: { program: number; slot: number } | undefined
  /** When it fires, nanoseconds of the virtual clock. */
  dueNs: bigint | undefined
}
