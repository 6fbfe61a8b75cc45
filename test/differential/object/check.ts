import { Btf, dumpC, dumpKernelTypes, dumpRaw, dumpTypeScript } from '../../../src/btf/index.ts'
import { readElf, sectionNamed } from '../../../src/elf/container/index.ts'
import { readObject, writeObject } from '../../../src/elf/index.ts'
import { BpfError } from '../../../src/errors/index.ts'
import { layoutFromBtf } from '../../../src/layout/index.ts'
import { linkProgram } from '../../../src/spec/index.ts'

/** What became of one hostile file. */
export interface Outcome {
  readonly kind: 'value' | 'error' | 'fault'
  /** The error's code, or the fault in words. */
  readonly what: string
  /** Of the processor. */
  readonly timeMs: number
  readonly bytes: number
}

/** Longest time and largest memory of one file. */
export const LIMIT_MS = 100
export const LIMIT_BYTES = 64 * 1024 * 1024

/** One reader after the other over the same bytes; a typed error of one does not keep the others from trying. */
const READERS: readonly ((bytes: Uint8Array) => void)[] = [
  (bytes) => {
    const object = readObject(bytes, { what: 'hostile' })
    for (const { name } of object.programs) attempt(() => linkProgram(object, name))
    attempt(() => writeObject(object))
  },
  (bytes) => {
    const section = sectionNamed(readElf(bytes), '.BTF')
    if (section === undefined) return
    const btf = new Btf(section.data)
    attempt(() => dumpRaw(btf))
    attempt(() => dumpC(btf))
    attempt(() => dumpTypeScript(btf))
    for (let id = 1; id < Math.min(btf.endId, 200); id++)
      if (btf.kind(id) === 'struct') attempt(() => dumpKernelTypes(btf, [id]))
    for (let id = 1; id < Math.min(btf.endId, 200); id++) attempt(() => layoutFromBtf(btf, id))
  },
]

function attempt(work: () => unknown): void {
  try {
    work()
  } catch (error) {
    if (!(error instanceof BpfError)) throw error
  }
}

/** Reads hostile bytes in every way; anything but a value or a typed error within the limits is a fault. */
export function check(bytes: Uint8Array): Outcome {
  const memory = process.memoryUsage()
  const start = process.cpuUsage()
  // the processor's time, not the clock's: the machine may have other work
  const elapsed = (): number => {
    const { user, system } = process.cpuUsage(start)
    return (user + system) / 1000
  }
  let what = ''
  let kind: Outcome['kind'] = 'value'
  for (const reader of READERS) {
    try {
      reader(bytes)
    } catch (error) {
      if (error instanceof BpfError) {
        kind = 'error'
        what = error.code
        continue
      }
      return {
        kind: 'fault',
        what:
          error instanceof Error
            ? `${error.name}: ${error.message}\n${error.stack?.split('\n').slice(1, 5).join('\n')}`
            : String(error),
        timeMs: elapsed(),
        bytes: 0,
      }
    }
  }
  const timeMs = elapsed()
  const after = process.memoryUsage()
  const used = Math.max(0, after.heapUsed + after.arrayBuffers - memory.heapUsed - memory.arrayBuffers)
  return { kind, what, timeMs, bytes: used }
}
