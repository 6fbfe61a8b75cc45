import { UsageError } from '../../errors/index.ts'
import {
  type AttrLayout,
  type AttrValues,
  attrSize,
  BPF_ATTRS,
  BPF_COMMANDS,
  type BpfCommand,
} from '../../uapi/index.ts'
import { explainErrno } from './explain.ts'
import { liftMemlock } from './memlock.ts'
import type { Block, Sys } from './sys.ts'
import { traceCommand, tracing } from './trace.ts'

interface Prepared {
  readonly number: number
  readonly layout: AttrLayout
  readonly size: number
}

const PREPARED = Object.fromEntries(
  Object.entries(BPF_COMMANDS).map(([name, number]) => {
    const layout: AttrLayout = BPF_ATTRS[name as BpfCommand]
    return [name, { number, layout, size: attrSize(layout) }]
  }),
) as unknown as Readonly<Record<BpfCommand, Prepared>>

const SCRATCH_BYTES = 256
const scratches = new WeakMap<Sys, Block>()

/** The block where the attributes of the next command are built; valid until the next command. */
export function attrBlock(sys: Sys): Block {
  let block = scratches.get(sys)
  if (block === undefined) {
    block = sys.alloc(SCRATCH_BYTES)
    scratches.set(sys, block)
  }
  return block
}

/** Commands that make what old kernels charge to RLIMIT_MEMLOCK. */
const CHARGED: ReadonlySet<BpfCommand> = new Set(['map_create', 'prog_load', 'btf_load'])

function noNumber(name: string, value: unknown, bits: number): never {
  throw new UsageError('bpf.attribute', `${name}: ${String(value)} is no whole number of ${bits} bits`)
}

/**
 * Writes the attributes of one command: everything that is not named is zero.
 * @throws UsageError `bpf.attribute` for a number that would be cut
 */
export function writeAttr(view: DataView, bytes: Uint8Array, layout: AttrLayout, values: object): void {
  const fields = values as Readonly<Record<string, number | bigint | string | undefined>>
  for (const name in fields) {
    const value = fields[name]
    if (value === undefined || value === 0 || value === '') continue
    const field = layout[name]
    const offset = field[0]
    const size = field[1]
    if (typeof value === 'string') {
      if (size < 16) noNumber(name, value, size * 8)
      // Names are ASCII (kernelName): encoding them would cost more than the rest of the attributes.
      const end = Math.min(value.length, size - 1)
      for (let i = 0; i < end; i++) bytes[offset + i] = value.charCodeAt(i)
    } else if (size === 4) {
      const number = Number(value)
      if (number >>> 0 !== number && (number | 0) !== number) noNumber(name, value, 32)
      view.setUint32(offset, number, true)
    } else if (typeof value === 'bigint') {
      view.setBigUint64(offset, BigInt.asUintN(64, value), true)
    } else {
      if (!Number.isSafeInteger(value) || value < 0) noNumber(name, value, 64)
      view.setUint32(offset, value, true)
      view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true)
    }
  }
}

/** bpf(2): the answer is a value of zero or more, or minus the errno. `attrBlock(sys)` holds what the kernel wrote back. */
export function tryBpf<C extends BpfCommand>(sys: Sys, command: C, values: AttrValues<C>): number {
  const prepared = PREPARED[command]
  const block = attrBlock(sys)
  block.bytes.fill(0)
  writeAttr(block.view, block.bytes, prepared.layout, values)
  let result = sys.bpf(prepared.number, block.address, prepared.size)
  if (result < 0 && CHARGED.has(command) && liftMemlock(sys, -result))
    result = sys.bpf(prepared.number, block.address, prepared.size)
  if (tracing()) traceCommand(command, block.view, prepared.size, result, { sys })
  return result
}

/**
 * bpf(2) that must succeed.
 * @param what names the object in the error ("map counts")
 * @throws SystemError `sys.<errno>` with the cause explained
 */
export function bpf<C extends BpfCommand>(sys: Sys, command: C, values: AttrValues<C>, what?: string): number {
  const result = tryBpf(sys, command, values)
  if (result < 0) throw explainErrno(command, -result, what)
  return result
}

/** A u32 that the kernel wrote into the attributes of the last command. */
export function attrOut(sys: Sys, offset: number): number {
  return attrBlock(sys).view.getUint32(offset, true)
}
