// node … test/differential/emulator/corpora.ts [--inputs K] [--folder OBJECTS] [--json]: the corpora's (or a folder's) packet programs in the kernel and in both engines.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bytesToHex } from '../../../src/bytes/index.ts'
import { readObject } from '../../../src/elf/index.ts'
import { createEmulator } from '../../../src/emulator/index.ts'
import { loadObject, realSys, testRun } from '../../../src/syscall/index.ts'
import { MAP_TYPES, programTypeName } from '../../../src/uapi/index.ts'
import { Random, randomFrame } from './random.ts'

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '12' },
    folder: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const inputs = Number(values.inputs)
const folder =
  values.folder ??
  `${process.env['TYPEBPF_CORPORA'] ?? new URL('../../../../shared/corpora', import.meta.url).pathname}/objects`

const PACKET_TYPES = new Set([
  'xdp',
  'sched_cls',
  'sched_act',
  'socket_filter',
  'cgroup_skb',
  'lwt_in',
  'lwt_out',
  'lwt_xmit',
])
/** Helpers whose answer depends on the moment, the machine or chance: results that use them may differ. */
const CHANCE = new Set([
  'ktime_get_ns',
  'ktime_get_boot_ns',
  'ktime_get_coarse_ns',
  'get_prandom_u32',
  'get_hash_recalc',
  'jiffies64',
  'get_smp_processor_id',
  'fib_lookup',
  'get_socket_cookie',
])
/** Maps whose contents are compared; per-CPU ones depend on the CPU of the kernel's run. */
const COMPARED = new Set<number>([MAP_TYPES.hash, MAP_TYPES.array, MAP_TYPES.lpm_trie])

function* files(path: string): Generator<string> {
  for (const name of readdirSync(path)) {
    const at = join(path, name)
    if (statSync(at).isDirectory()) yield* files(at)
    else yield at
  }
}

const sys = realSys()
const count = { programs: 0, runs: 0, differences: 0, unsupported: 0, chance: 0, notLoaded: 0 }
const reasons = new Map<string, number>()

function compareObject(path: string): void {
  const object = readObject(new Uint8Array(readFileSync(path)), { what: path })
  using loaded = loadObject(sys, object)
  const ready = loaded.programs.filter(
    ({ image, result }) =>
      image !== undefined && result.program !== undefined && PACKET_TYPES.has(programTypeName(image.type) ?? ''),
  )
  const images = ready.flatMap(({ image }) => (image === undefined ? [] : [image]))
  count.notLoaded += loaded.programs.length - ready.length
  if (images.length === 0) return
  for (const engine of ['interpreter', 'wasm'] as const) {
    for (const [index, { image, result }] of ready.entries()) {
      if (image === undefined || result.program === undefined) continue
      // maps start anew for each engine and program, as the object has them
      using fresh = loadObject(sys, object)
      const fd = fresh.programs.find(({ spec }) => spec.name === image.name)?.result.program?.fd
      if (fd === undefined) continue
      const emulator = createEmulator(images, {
        maps: object.maps.filter((spec) => images.every((one) => one.maps.every((other) => other.name !== spec.name))),
        sanitizer: { uninitialisedStack: 'off', useAfterFree: 'off', unreleasedReference: 'off' },
      })
      count.programs++
      const random = new Random(index + 1)
      for (let i = 0; i < inputs; i++) {
        const data = randomFrame(random)
        const kernel = testRun(sys, fd, { data, dataOutSize: 16_384 })
        const run = emulator.run({ packet: data, program: index, engine })
        count.runs++
        const say = (what: string): void => {
          process.stderr.write(
            `${path.slice(folder.length + 1)} ${image.name} (${programTypeName(image.type)}, ${engine}) input ${i}: ${what}\n`,
          )
        }
        if (run.fallback !== undefined)
          reasons.set(`not compiled: ${run.fallback}`, (reasons.get(`not compiled: ${run.fallback}`) ?? 0) + 1)
        if (run.fault?.code === 'unsupported') {
          count.unsupported++
          reasons.set(run.fault.message, (reasons.get(run.fault.message) ?? 0) + 1)
          break
        }
        const packet =
          (run.metadata === undefined ? '' : bytesToHex(run.metadata)) + bytesToHex(run.packet ?? new Uint8Array())
        const wrong =
          run.fault !== undefined
            ? `fault at ${run.fault.insn}: ${run.fault.message}`
            : run.retval !== kernel.retval
              ? `retval ${run.retval}, the kernel has ${kernel.retval}`
              : packet !== bytesToHex(kernel.data)
                ? `packet ${packet}, the kernel has ${bytesToHex(kernel.data)}`
                : undefined
        if (wrong === undefined) continue
        if ([...emulator.environment.calls.keys()].some((name) => CHANCE.has(name))) {
          count.chance++
          break
        }
        count.differences++
        say(wrong)
        break
      }
      for (const spec of image.maps) {
        const map = fresh.maps.get(spec.name)
        if (map === undefined || !COMPARED.has(spec.type) || spec.section !== undefined) continue
        const theirs = [...map.entries()]
          .map(([key, value]) => `${bytesToHex(key)}=${bytesToHex(value)}`)
          .sort()
          .join(' ')
        const ours = emulator
          .map(spec.name)
          .entries()
          .map(({ key, values: [value] }) => `${bytesToHex(key)}=${bytesToHex(value)}`)
          .sort()
          .join(' ')
        if (ours === theirs || [...emulator.environment.calls.keys()].some((name) => CHANCE.has(name))) continue
        count.differences++
        process.stderr.write(`${path.slice(folder.length + 1)} ${image.name} (${engine}): map ${spec.name} differs\n`)
      }
    }
  }
}

let unreadable = 0
for (const path of files(folder)) {
  try {
    compareObject(path)
  } catch (error) {
    unreadable++
    const message = error instanceof Error ? error.message : String(error)
    reasons.set(
      `object: ${message.replace(path, '').slice(0, 100)}`,
      (reasons.get(`object: ${message.replace(path, '').slice(0, 100)}`) ?? 0) + 1,
    )
  }
}
if (!values.json)
  for (const [reason, times] of [...reasons].sort((a, b) => b[1] - a[1])) process.stdout.write(`${times} × ${reason}\n`)
process.stdout.write(`${JSON.stringify({ ...count, objectsNotUsed: unreadable })}\n`)
process.exitCode = count.differences === 0 && count.runs > 0 ? 0 : 1
