import { expect } from 'vitest'
import { createEmulator } from '../../src/emulator/index.ts'
import type { MapSpec } from '../../src/spec/index.ts'
import { loadImage, realSys, testRun } from '../../src/syscall/index.ts'
import type { MapType } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'
import { assemble, type Case, packet } from './cases/assemble.ts'
import { mapSpec } from './images.ts'

const NO_PREALLOC = 1
/** Every type that a program may change by map calls, with the shapes that differ. */
const MAPS: readonly (readonly [MapType, Partial<MapSpec>?])[] = [
  ['hash'],
  ['hash', { flags: NO_PREALLOC }],
  ['percpu_hash'],
  ['lru_hash', { maxEntries: 512 }],
  ['lru_percpu_hash', { maxEntries: 512 }],
  ['array'],
  ['percpu_array'],
  ['lpm_trie', { keySize: 8, flags: NO_PREALLOC }],
  ['queue', { keySize: 0 }],
  ['stack', { keySize: 0 }],
  ['bloom_filter', { keySize: 0 }],
]
/** BPF_ANY, NOEXIST, EXIST, both, F_LOCK, and bits that nobody knows. */
const FLAGS = [0n, 1n, 2n, 3n, 4n, 5n, 8n, 0x100n, 1n << 32n, 1n << 63n]
const KEYED = (type: MapType): boolean => !['queue', 'stack', 'bloom_filter'].includes(type)

const KEY = 'fp r2 -8'
const step = (call: string): string => `${call}\nr7 *= 67\nr7 += r0`

/** The answers of a row of calls, folded into one number. */
function program(type: MapType, shape: Partial<MapSpec>, flags: bigint, key: number): Case {
  const update = `map r1\n${KEY}\nfp r3 -16\nr4 = ${flags} ll\ncall map_update_elem`
  const remove = `map r1\n${KEY}\ncall map_delete_elem`
  const look = `map r1\n${KEY}\ncall map_lookup_elem\nif r0 == 0 goto none\nr0 = *(u64 *)(r0 + 0)\nnone:`
  const push = `map r1\nfp r2 -16\nr3 = ${flags} ll\ncall map_push_elem`
  const peek = 'map r1\nfp r2 -16\ncall map_peek_elem'
  const pop = 'map r1\nfp r2 -16\ncall map_pop_elem'
  const steps = KEYED(type)
    ? [update, update, look, remove, remove]
    : type === 'bloom_filter'
      ? [peek, push, push, peek]
      : [peek, push, push, push, push, push, peek, pop, pop, pop, pop, pop, pop]
  return {
    calls: '',
    type: 'xdp',
    maps: [mapSpec(type, shape)],
    text: `*(u32 *)(r10 - 8) = ${key}\n*(u32 *)(r10 - 4) = 1\n*(u64 *)(r10 - 16) = 9\nr7 = 0\n${steps.map(step).join('\n')}\nr0 = r7\nexit`,
    answer: 0,
  }
}

testWith('bpf')('map calls answer every flag as the kernel does, for every type that programs may change', () => {
  const wrong: string[] = []
  const sys = realSys()
  for (const [type, shape = {}] of MAPS)
    for (const flags of FLAGS)
      for (const key of KEYED(type) ? [1, 32, 100] : [1]) {
        const image = assemble(program(type, shape, flags, key))
        using loaded = loadImage(sys, image)
        if (loaded.program === undefined) throw new Error(`${type} ${flags}: ${loaded.message}`)
        const kernel = testRun(sys, loaded.program.fd, { data: packet() }).retval
        for (const engine of ['interpreter', 'wasm'] as const) {
          const result = createEmulator(image, { engine }).run({ packet: packet() })
          if (result.fault !== undefined || result.retval !== kernel)
            wrong.push(
              `${type} ${JSON.stringify(shape)} flags ${flags} key ${key} (${engine}): ${result.fault?.message ?? result.retval | 0}, the kernel has ${kernel | 0}`,
            )
        }
      }
  expect(wrong).toEqual([])
})
