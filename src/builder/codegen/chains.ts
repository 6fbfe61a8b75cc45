import { UsageError } from '../../errors/index.ts'
import { STACK_BYTES } from './frame.ts'

/** A compiled function, for what it and those it calls need of the stack. */
export interface Framed {
  readonly name: string
  readonly frameBytes: number
  /** Functions that it calls, or gives to a helper that calls them on this stack. */
  readonly calls: readonly string[]
}

/**
 * The kernel counts the frames of all functions of a call chain together, each rounded up (to 16 bytes where the code is
 * compiled, which Linux 6.8 was the first to count; to 32 before).
 * @throws UsageError `build.stack` with the chain when it needs more than 512 bytes
 */
export function checkChains(functions: readonly Framed[], entry: string, roundTo: 16 | 32): void {
  const byName = new Map(functions.map((it) => [it.name, it]))
  const deepest = new Map<string, { bytes: number; chain: readonly Framed[] }>()
  const visit = (name: string): { bytes: number; chain: readonly Framed[] } => {
    const known = deepest.get(name)
    if (known !== undefined) return known
    const it = byName.get(name)
    if (it === undefined) return { bytes: 0, chain: [] }
    // recursion is refused elsewhere: here it only has to end
    deepest.set(name, { bytes: 0, chain: [] })
    let below: { bytes: number; chain: readonly Framed[] } = { bytes: 0, chain: [] }
    for (const called of it.calls) {
      const found = visit(called)
      if (found.bytes > below.bytes) below = found
    }
    const own = Math.ceil(Math.max(it.frameBytes, 1) / roundTo) * roundTo
    const whole = { bytes: own + below.bytes, chain: [it, ...below.chain] }
    deepest.set(name, whole)
    return whole
  }
  const { bytes, chain } = visit(entry)
  if (bytes <= STACK_BYTES || chain.length < 2) return
  throw new UsageError(
    'build.stack',
    `${entry}: ${chain.map(({ name }) => name).join(' calls ')}: together they need ${bytes} bytes of stack, the kernel gives ${STACK_BYTES}`,
    {
      details: [
        'move the largest values into a per-CPU array map: b.scratch(Type) instead of b.local(Type)',
        ...chain.map((it) => `${it.frameBytes} bytes: ${it.name}`),
      ],
    },
  )
}
