import { createEmulator, type Emulator, type Engine } from '../src/emulator/index.ts'
import type { ProgramImage } from '../src/spec/index.ts'
import { loadImage, realSys, testRun } from '../src/syscall/index.ts'
import { PROGRAM_TYPES } from '../src/uapi/index.ts'
import { type Figure, median } from './figure.ts'

type Slot = readonly [opcode: number, dst: number, src: number, offset: number, imm: number]

function image(slots: readonly Slot[]): ProgramImage {
  const insns = new Uint8Array(slots.length * 8)
  const view = new DataView(insns.buffer)
  slots.forEach(([opcode, dst, src, offset, imm], i) => {
    insns[8 * i] = opcode
    insns[8 * i + 1] = (src << 4) | dst
    view.setInt16(8 * i + 2, offset, true)
    view.setInt32(8 * i + 4, imm, true)
  })
  const base = { expectedAttachType: 0, license: 'GPL', flags: 0, maps: [], relocations: [] }
  return { name: 'bench', type: PROGRAM_TYPES.xdp, insns, ...base }
}

/** Three instructions a turn; the verifier of the kernel follows at most about 300,000 turns. */
function loop(turns: number): ProgramImage {
  return image([
    [0xb7, 0, 0, 0, 0],
    [0xb7, 1, 0, 0, turns],
    [0x07, 0, 0, 0, 3],
    [0x17, 1, 0, 0, 1],
    [0x55, 1, 0, -3, 0],
    [0x95, 0, 0, 0, 0],
  ])
}

/** Parses Ethernet, IPv4 with options and UDP, sums the addresses, answers XDP_PASS: 50 instructions on the path. */
function parser(): ProgramImage {
  const head: Slot[] = [
    [0xb7, 0, 0, 0, 2],
    [0x61, 2, 1, 0, 0],
    [0x61, 3, 1, 4, 0],
    [0xbf, 4, 2, 0, 0],
    [0x07, 4, 0, 0, 42],
    [0x2d, 4, 3, 0, 0],
    [0x69, 5, 2, 12, 0],
    [0x55, 5, 0, 0, 8],
    [0x71, 5, 2, 23, 0],
    [0x55, 5, 0, 0, 17],
    [0x69, 6, 2, 36, 0],
    [0xdc, 6, 0, 0, 16],
  ]
  while (head.length < 47) head.push([0x71, 5, 2, 14 + (head.length % 20), 0], [0x0f, 7, 5, 0, 0])
  head.splice(1, 0, [0xb7, 7, 0, 0, 0])
  head.push([0x95, 0, 0, 0, 0])
  const exit = head.length - 1
  return image(
    head.map(
      (slot, i): Slot =>
        (slot[0] === 0x2d || slot[0] === 0x55) && slot[3] === 0
          ? [slot[0], slot[1], slot[2], exit - i - 1, slot[4]]
          : slot,
    ),
  )
}

function frame(): Uint8Array {
  const bytes = new Uint8Array(64)
  bytes.set([
    2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 50, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
  ])
  bytes.set([0x30, 0x39, 0, 53, 0, 30, 0, 0], 34)
  return bytes
}

const ROUNDS = 41

/**
 * The CPU time of this process so far, nanoseconds: what a busy machine takes away in between does not count. Both sides are
 * measured so; the compiler's and the garbage collector's threads count as ours.
 */
function cpuNs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1000
}

/** CPU nanoseconds of one call, the middle of several rounds after warming up. */
function timeNs(times: number, run: () => void): number {
  const warm = cpuNs()
  while (cpuNs() - warm < 500_000_000) run()
  const rounds: number[] = []
  for (let i = 0; i < ROUNDS; i++) {
    const start = cpuNs()
    run()
    rounds.push((cpuNs() - start) / times)
  }
  return median(rounds)
}

/** CPU nanoseconds of a run in the kernel, undefined where it cannot be asked. */
function kernelNs(program: ProgramImage, repeat: number): number | undefined {
  try {
    const sys = realSys()
    using loaded = loadImage(sys, program)
    if (loaded.program === undefined) return undefined
    const rounds: number[] = []
    for (let i = 0; i < ROUNDS; i++) {
      const start = cpuNs()
      testRun(sys, loaded.program.fd, { data: frame(), repeat })
      rounds.push((cpuNs() - start) / repeat)
    }
    return median(rounds)
  } catch {
    return undefined
  }
}

function open(program: ProgramImage, engine: Engine): Emulator {
  return createEmulator(program, { engine, stepLimit: 2_000_000_000 })
}

const PEER = "the kernel's JIT through BPF_PROG_TEST_RUN"

function rate(
  name: string,
  value: number,
  peerValue: number | undefined,
  unit: string,
  goal?: string,
  met?: boolean,
): Figure {
  const peer = peerValue === undefined ? `${PEER}: not available here` : PEER
  const compared = peerValue === undefined ? {} : { peerValue, ratio: peerValue / value }
  return { area: 'emulator', name, value, unit, peer, ...compared, ...(goal === undefined ? {} : { goal, met }) }
}

export async function figures(): Promise<Figure[]> {
  const out: Figure[] = []
  const turns = 250_000
  const kernelLoop = kernelNs(loop(turns), 100)
  const kernelRate = kernelLoop === undefined ? undefined : (3 * turns) / kernelLoop / 1e-3
  for (const [engine, goal] of [
    ['wasm', 1000],
    ['interpreter', 50],
  ] as const) {
    const many = engine === 'wasm' ? 5_000_000 : 150_000
    const emulator = open(loop(many), engine)
    const packet = frame()
    const ns = timeNs(1, () => emulator.run({ packet }))
    const value = (3 * many) / ns / 1e-3
    out.push(
      rate(`3-instruction loop, ${engine}`, value, kernelRate, 'million instructions/s', `≥ ${goal}`, value >= goal),
    )
  }
  const program = parser()
  const kernelParse = kernelNs(program, 100_000)
  for (const engine of ['wasm', 'interpreter'] as const) {
    const emulator = open(program, engine)
    const packet = frame()
    const times = engine === 'wasm' ? 40_000 : 4000
    const ns = timeNs(times, () => emulator.repeat({ packet }, times))
    const row = rate(`packet parser, ${engine}, same packet repeated`, ns, kernelParse, 'ns/run')
    const ratio = kernelParse === undefined ? undefined : ns / kernelParse
    out.push({
      ...row,
      ...(ratio === undefined ? {} : { ratio }),
      ...(engine === 'wasm' ? { goal: 'ratio ≤ 3', met: ratio !== undefined && ratio <= 3 } : {}),
    })
  }
  const emulator = createEmulator(program)
  const packet = frame()
  const times = 2000
  const ns = timeNs(times, () => {
    for (let i = 0; i < times; i++) emulator.run({ packet })
  })
  const value = 1e9 / ns
  const goal = { goal: '≥ 500000', met: value >= 500_000 }
  out.push({
    area: 'emulator',
    name: '50-instruction XDP program, a fresh packet each run',
    value,
    unit: 'runs/s',
    ...goal,
  })
  return out
}
