import { UsageError } from '../../errors/index.ts'
import { attrBlock, tryBpf } from '../sys/command.ts'
import { ERRNO } from '../sys/errno.ts'
import { explainErrno } from '../sys/explain.ts'
import type { Sys } from '../sys/sys.ts'

/** Inputs of BPF_PROG_TEST_RUN as bytes. What a program type needs is in docs/kernel.md. */
export interface TestRunInput {
  /** The packet or other data. */
  readonly data?: Uint8Array
  /** The context struct (xdp_md, __sk_buff, bpf_sk_lookup …). */
  readonly context?: Uint8Array
  /** Runs; the kernel answers with the average duration. */
  readonly repeat?: number
  /** Bytes of room for the data that comes out; default: as much as went in plus 256, 0 for none. */
  readonly dataOutSize?: number
  /** Bytes of room for the context that comes out; default: as much as went in. */
  readonly contextOutSize?: number
  /** BPF_F_TEST_*. */
  readonly flags?: number
  readonly cpu?: number
  /** Live frames: packets in one batch. */
  readonly batchSize?: number
}

export interface TestRunOutput {
  /** r0 as a u32. */
  readonly retval: number
  /** Average duration of a run. */
  readonly durationNs: number
  readonly data: Uint8Array
  readonly context: Uint8Array
  /** The context that went in as the kernel left it: syscall programs write there. */
  readonly contextIn: Uint8Array
  /** Bytes that the data has in the kernel: more than `data.length` when there was no room for them. */
  readonly dataSize: number
}

const LARGEST = 0x7fff_ffff

/** @throws UsageError `run.input` for what the kernel would take for something else */
function checkInput({ data, context, repeat, dataOutSize, contextOutSize }: TestRunInput): void {
  for (const [name, bytes] of Object.entries({ data, context }))
    if (bytes !== undefined && !(bytes instanceof Uint8Array))
      throw new UsageError('run.input', `${name} of a run is a Uint8Array`)
  for (const [name, value] of Object.entries({ repeat, dataOutSize, contextOutSize }))
    if (value !== undefined && (!Number.isInteger(value) || value < 0 || value > LARGEST))
      throw new UsageError('run.input', `${name} of a run: ${String(value)} is no whole number from 0 to ${LARGEST}`)
}

/**
 * BPF_PROG_TEST_RUN (BPF_PROG_RUN).
 * @throws SystemError `sys.enotsupp` for a type without test runs, `sys.einval` for inputs that do not fit it
 */
export function testRun(sys: Sys, programFd: number, input: TestRunInput = {}): TestRunOutput {
  checkInput(input)
  const data = input.data ?? new Uint8Array()
  const context = input.context ?? new Uint8Array()
  const dataOutSize = input.dataOutSize ?? (data.length === 0 ? 0 : data.length + 256)
  const contextOutSize = input.contextOutSize ?? context.length
  const contextAt = (data.length + 15) & ~15
  const dataOutAt = contextAt + ((context.length + 15) & ~15)
  const contextOutAt = dataOutAt + ((dataOutSize + 15) & ~15)
  using block = sys.alloc(contextOutAt + contextOutSize)
  block.bytes.set(data)
  block.bytes.set(context, contextAt)
  const result = tryBpf(sys, 'prog_test_run', {
    prog_fd: programFd,
    data_size_in: data.length,
    data_in: data.length === 0 ? 0 : block.address,
    data_size_out: dataOutSize,
    data_out: dataOutSize === 0 ? 0 : block.address + dataOutAt,
    ctx_size_in: context.length,
    ctx_in: context.length === 0 ? 0 : block.address + contextAt,
    ctx_size_out: contextOutSize,
    ctx_out: contextOutSize === 0 ? 0 : block.address + contextOutAt,
    repeat: input.repeat ?? 0,
    flags: input.flags ?? 0,
    cpu: input.cpu ?? 0,
    batch_size: input.batchSize ?? 0,
  })
  const { view } = attrBlock(sys)
  const dataSize = view.getUint32(12, true)
  // ENOSPC: the packet is longer than the room for it; everything else is filled in.
  const short = result === -ERRNO.ENOSPC && dataSize > dataOutSize
  if (result < 0 && !short) throw explainErrno('prog_test_run', -result)
  return {
    retval: view.getUint32(4, true),
    durationNs: view.getUint32(36, true),
    data: block.bytes.slice(dataOutAt, dataOutAt + Math.min(dataSize, dataOutSize)),
    context: block.bytes.slice(contextOutAt, contextOutAt + Math.min(view.getUint32(44, true), contextOutSize)),
    contextIn: block.bytes.slice(contextAt, contextAt + context.length),
    dataSize,
  }
}
