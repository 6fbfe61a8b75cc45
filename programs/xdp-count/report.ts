// The whole way once: build the program, write it as an object file, verify it, run it over a capture in the emulator and,
// where this process may call bpf(), in the kernel, and hold the two against each other. This is what `npm start` runs.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { writeObject } from 'typebpf/elf'
import { enableStats, programDetails, programInfo, realSys } from 'typebpf/kernel'
import { harness, kernelUnavailable, LINK_TYPES, readCaptureFile, requireLinkType } from 'typebpf/progrun'
import { collectObject, linkProgram } from 'typebpf/spec'
import { verify } from 'typebpf/verifier'
import { xlatedWithSource } from './report/listing.ts'
import { outputFile, outputFolder } from './report/output-folder.ts'
import { protocolName } from './report/protocols.ts'
import { type Replay, replay, verdictText } from './report/replay.ts'
import { columns, say, thousands } from './report/text.ts'
import * as program from './xdp-count.bpf.ts'

const DENIED = 0x0a4d0042 // 10.77.0.66
const LISTING_LINES = 16
const FOLDER = outputFolder()
const OBJECT = outputFile(FOLDER, 'xdp-count.o')
const LISTING = outputFile(FOLDER, 'xdp-count.xlated.txt')
/** BPF_PROG_RUN takes XDP frames from here on. */
const SHORTEST = 14

const object = collectObject(program, { name: 'xdp-count' })
const image = linkProgram(object, 'xdp_count')
const bytes = writeObject(object)
writeFileSync(OBJECT, bytes)
say('Build', `xdp_count: ${image.insns.length / 8} instructions → ${OBJECT} (${thousands(bytes.length)} bytes)`)

const model = verify(image)
say(
  'Verifier',
  `the model for Linux 6.18 says ${model.verdict}${model.message === undefined ? '' : `: ${model.message}`}` +
    ` (${model.processed ?? 0} instructions processed)`,
)

const path = fileURLToPath(new URL('capture.pcap', import.meta.url))
const { packets } = requireLinkType(readCaptureFile(path), LINK_TYPES.ethernet, 'capture.pcap')
const whole = packets.filter(({ data }) => data.length >= SHORTEST)
const short = packets.filter(({ data }) => data.length < SHORTEST)
say(
  'Capture',
  `${packets.length} frames; ${short.length} of them have less than ${SHORTEST} bytes, the kernel takes none of those`,
)

const missing = kernelUnavailable()
const options = { maps: { denied: [[DENIED, 0n]] } } as const
using t = await harness(program, { ...options, backend: missing.length === 0 ? 'both' : 'emulator' })
using _statistics = missing.length === 0 ? tryStatistics() : undefined
const done = replay(t, whole)

console.log()
const rows = t.map(program.counts).entries()
const cells = rows.map(([key, { packets: count, bytes: size }]) => [
  protocolName(key),
  thousands(count),
  thousands(size),
])
console.log(columns([['protocol', 'packets', 'bytes'], ...cells]))
console.log()
say('Verdicts', `${verdictText(done)} (10.77.0.66 is on the deny list: ${t.map(program.denied).get(DENIED)} frames)`)
await shortFrames()

let exitCode = done.differences.length === 0 && model.verdict === 'accept' ? 0 : 1
if (t.kernel === undefined) {
  const time = (done.milliseconds * 1e6) / whole.length
  say(
    'Emulator',
    `${thousands(done.instructions)} instructions, ${thousands(Math.round(time))} ns a run, the cold first ones included`,
  )
  say('Kernel', `not asked: ${missing[0]} (try: sudo npm start)`)
} else if (!kernelPart(done, t.kernel.programFd(0))) exitCode = 1
process.exitCode = exitCode

/** Frames that only the emulator can run, with maps of their own. */
async function shortFrames(): Promise<void> {
  if (short.length === 0) return
  using alone = await harness(program, { ...options, backend: 'emulator' })
  say('', `${verdictText(replay(alone, short))} for the ${short.length} short frames, emulator only`)
}

function tryStatistics(): Disposable | undefined {
  try {
    return enableStats(realSys())
  } catch {
    // without CAP_SYS_ADMIN the report goes without run times
    return undefined
  }
}

/** Agreement, run times and the code as the kernel has it; true when the backends agree. */
function kernelPart(replayed: Replay, fd: number): boolean {
  const sys = realSys()
  const info = programInfo(sys, fd)
  const details = programDetails(sys, fd)
  const entries = rows.length + t.map(program.denied).size
  const agreed = replayed.differences.length === 0
  say('Kernel', `${t.kernel?.label}: accepted, ${info.verifiedInsns} instructions processed, run by BPF_PROG_RUN`)
  say(
    'Agreement',
    agreed
      ? `${whole.length} of ${whole.length} frames and ${entries} of ${entries} map entries are equal in emulator and kernel`
      : replayed.differences
          .map(({ what, emulator, kernel }) => `${what}: emulator ${emulator}, kernel ${kernel}`)
          .join('\n'),
  )
  const runs = Number(info.runCount)
  const perRun =
    runs === 0 ? 'not counted (needs CAP_SYS_ADMIN)' : `${Math.round(Number(info.runTimeNs) / runs)} ns a run`
  say('Time', `${perRun} in the kernel (run_cnt ${thousands(runs)}, run_time_ns ${thousands(info.runTimeNs)})`)
  const listing = xlatedWithSource(details, image.btf).split('\n')
  if (details.xlated.length === 0) {
    say('Code', 'the kernel hides it from this process (kptr_restrict, CAP_SYS_ADMIN)')
    return agreed
  }
  writeFileSync(LISTING, `${listing.join('\n')}\n`)
  say(
    'Code',
    `${details.xlated.length / 8} instructions after the kernel's rewrites, ${details.jitedBytes} bytes of machine code:`,
  )
  console.log(listing.slice(0, LISTING_LINES).join('\n'))
  say('', `… all of it in ${LISTING}`)
  return agreed
}
