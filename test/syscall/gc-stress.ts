// Run with --expose-gc: map operations, loads and infos while the collector runs between them. Prints one JSON line.
import { readdirSync } from 'node:fs'
import { parseBatchRequest } from '../../src/spec/index.ts'
import { createJudge, createRawMap, programDetails, realSys } from '../../src/syscall/index.ts'

const collect = (globalThis as { gc?: () => void }).gc
if (collect === undefined) throw new Error('--expose-gc is needed')
const sys = realSys()
const judge = createJudge(sys)
const open = (): number => readdirSync('/proc/self/fd').length
const insns = `${'b700000001000000'.repeat(100)}9500000000000000`
const { image } = parseBatchRequest({ type: 'socket_filter', insns })
judge.judge(image)
const before = open()
let operations = 0
let loads = 0
let wrong = 0
const garbage: Uint8Array[] = []
for (let round = 0; round < 20; round++) {
  using map = createRawMap(sys, { name: 'stress', type: 1, keySize: 4, valueSize: 100, maxEntries: 1000, flags: 0 })
  for (let i = 0; i < 125; i++) {
    const key = new Uint8Array(new Uint32Array([i]).buffer)
    const value = new Uint8Array(100).fill(i)
    map.update(key, value)
    if (i % 25 === 0) collect()
    const found = map.lookup(key)
    if (found === undefined || found[0] !== i || found[99] !== i) wrong++
    garbage.push(new Uint8Array(4096).fill(0xee))
    if (map.nextKey(key)?.length !== 4 && map.nextKey() === undefined) wrong++
    if (i % 2 === 0 && !map.delete(key)) wrong++
    else if (map.lookup(key) === undefined && i % 2 === 1) wrong++
    operations += 4
  }
  garbage.length = 0
  for (let i = 0; i < 50; i++) {
    using loaded = judge.load(image, { logLevel: 2 })
    if (loaded.program === undefined || !loaded.log.includes('\n99: ')) wrong++
    else if (programDetails(sys, loaded.program.fd).xlated.length !== 808) wrong++
    if (i % 10 === 0) collect()
    loads++
  }
}
console.log(JSON.stringify({ operations, loads, wrong, leaked: open() - before }))
