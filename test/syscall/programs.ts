import { release } from 'node:os'
import { assembleBytes } from '../../src/asm/index.ts'
import type { ProgramImage } from '../../src/spec/index.ts'
import { createJudge, type LoadResult, type RawMap } from '../../src/syscall/index.ts'
import {
  ATTACH_TYPES,
  type AttachType,
  MAP_FLAGS,
  MAP_TYPES,
  PROGRAM_TYPES,
  type ProgramType,
} from '../../src/uapi/index.ts'

/** A program for tests as an image: LLVM-style text; `r1 = 0x0 ll` at slot `at` takes the address of a counter's value. */
export function imageOf(type: ProgramType, text: string, rest: Partial<ProgramImage> = {}): ProgramImage {
  return {
    name: `test_${type}`,
    type: PROGRAM_TYPES[type],
    expectedAttachType: 0,
    insns: assembleBytes(text),
    license: 'GPL',
    flags: 0,
    maps: [],
    relocations: [],
    ...rest,
  }
}

/** Whether the running kernel is older than a version ("6.7"): what came with it is then rightly missing. */
export function isOlderThan(version: string): boolean {
  const number = (text: string): number => {
    const [major, minor] = text.split('.').map((part) => Number.parseInt(part, 10))
    return major * 1000 + minor
  }
  return number(release()) < number(version)
}

export interface Counter {
  readonly loaded: LoadResult
  readonly program: { readonly sys: RawMap['sys']; readonly fd: number }
  count(): bigint
  [Symbol.dispose](): void
}

/** A program that counts its runs and returns a number; with `pid` only those of that process. */
export function counter(
  type: ProgramType,
  returns: number,
  options: { attach?: AttachType; pid?: number; image?: Partial<ProgramImage> } = {},
): Counter {
  const filter = options.pid === undefined ? '' : `call 14\nr0 >>= 32\nif r0 != ${options.pid} goto +5\n`
  const text = `${filter}r1 = 0x0 ll\nr2 = 1\nlock *(u64 *)(r1 + 0) += r2\nr3 = 0\nr0 = ${returns}\nexit\n`
  const image = imageOf(type, text, {
    expectedAttachType: options.attach === undefined ? 0 : ATTACH_TYPES[options.attach],
    maps: [
      { name: 'count', type: MAP_TYPES.array, keySize: 4, valueSize: 8, maxEntries: 1, flags: MAP_FLAGS.mmapable },
    ],
    relocations: [{ insn: options.pid === undefined ? 0 : 3, map: 0, kind: 'value' }],
    ...options.image,
  })
  const loaded = createJudge().load(image)
  const { program } = loaded
  if (program === undefined) throw new Error(`${type}: ${loaded.verdict}: ${loaded.message}\n${loaded.log}`)
  return {
    loaded,
    program,
    count: () =>
      new DataView((loaded.maps[0].lookup(new Uint8Array(4)) ?? new Uint8Array(8)).buffer).getBigUint64(0, true),
    [Symbol.dispose]: () => loaded.close(),
  }
}
