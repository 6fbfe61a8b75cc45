// node … test/differential/emulator/wild.ts --programs N --seed S: programs that no verifier has seen, with every helper, kfunc and map.
import { parseArgs } from 'node:util'
import { bytesToHex } from '../../../src/bytes/index.ts'
import { KFUNCS } from '../../../src/emulator/calls/kfuncs.ts'
import { createEmulator, type Engine, implementedHelpers } from '../../../src/emulator/index.ts'
import type { ImageRelocation, MapSpec, ProgramImage } from '../../../src/spec/index.ts'
import { helperNumber, MAP_TYPES, type MapType, PROGRAM_TYPES, type ProgramType } from '../../../src/uapi/index.ts'
import { image, mapSpec, type Slot, udpFrame } from '../../emulator/images.ts'
import { Random } from './random.ts'

const TYPES = Object.keys(PROGRAM_TYPES).filter((name) => name !== 'unspec') as ProgramType[]
const NOT_MAPS: ReadonlySet<string> = new Set(['unspec', 'struct_ops', 'insn_array'])
const NO_KEY = /queue|stack$|bloom|ring|arena/
const SHAPES: Readonly<Partial<Record<MapType, Partial<MapSpec>>>> = {
  lpm_trie: { keySize: 8 },
  ringbuf: { maxEntries: 4096, valueSize: 0 },
  user_ringbuf: { maxEntries: 4096, valueSize: 0 },
  arena: { valueSize: 0 },
}
const MAPS: readonly MapSpec[] = (Object.keys(MAP_TYPES) as MapType[])
  .filter((name) => !NOT_MAPS.has(name))
  .map((name) =>
    mapSpec(name, {
      name,
      valueSize: 64,
      maxEntries: 8,
      ...(NO_KEY.test(name) ? { keySize: 0 } : {}),
      ...SHAPES[name],
    }),
  )
const HELPERS = implementedHelpers().map((name) => helperNumber(name) ?? 0)
const KFUNC_NAMES = Object.keys(KFUNCS)
const WIDE = [0n, 1n, -1n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 1n << 32n, 1n << 63n, 0xffff_8880_0000_0000n]

/** Writes one program. */
export function wildProgram(random: Random): ProgramImage {
  const slots: Slot[] = []
  const relocations: ImageRelocation[] = []
  const kfuncs = new Map<number, string>()
  const wide = (register: number, value: bigint): void => {
    slots.push(
      [0x18, register, 0, 0, Number(BigInt.asIntN(32, value))],
      [0, 0, 0, 0, Number(BigInt.asIntN(32, value >> 32n))],
    )
  }
  /** Something in a register: context, map, stack, number, function, what a call answered, map value. */
  const argument = (register: number): void => {
    const choice = random.below(10)
    if (choice < 2) slots.push([0xbf, register, 6, 0, 0])
    else if (choice < 4) {
      const map = random.below(MAPS.length)
      const value = random.chance(5) && ['array', 'arena'].includes(MAPS[map].name)
      relocations.push({ insn: slots.length, map, kind: value ? 'value' : 'fd' })
      wide(register, 0n)
    } else if (choice < 6) slots.push([0xbf, register, 10, 0, 0], [0x07, register, 0, 0, -8 * (1 + random.below(10))])
    else if (choice < 8) slots.push([0xb7, register, 0, 0, random.chance(50) ? random.below(65) : random.imm()])
    else if (choice === 8) wide(register, random.pick(WIDE))
    else if (random.chance(50)) slots.push([0xbf, register, random.pick([0, 7, 8, 9]), 0, 0])
    // a function of the program, most often its own start or this place
    else slots.push([0x18, register, 4, 0, random.pick([0, 1, 2, -slots.length - 1])], [0, 0, 0, 0, 0])
  }
  slots.push([0xbf, 6, 1, 0, 0])
  for (const register of [0, 7, 8, 9]) slots.push([0xb7, register, 0, 0, random.imm()])
  const actions = 2 + random.below(8)
  for (let i = 0; i < actions; i++) {
    const choice = random.below(10)
    if (choice < 7) {
      for (let offset = -80; offset < 0; offset += 8)
        if (random.chance(70)) slots.push([0x7a, 10, 0, offset, random.below(9)])
      for (let register = 1; register <= 5; register++) argument(register)
      if (random.chance(80)) slots.push([0x85, 0, 0, 0, random.pick(HELPERS)])
      else {
        kfuncs.set(slots.length, `bpf_${random.pick(KFUNC_NAMES)}`)
        slots.push([0x85, 0, 2, 0, 1])
      }
      slots.push([0xbf, random.pick([7, 8, 9]), 0, 0, 0])
    } else if (choice === 7) {
      const base = random.pick([10, 10, 10, 6, 6, 0, 7])
      const offset = base === 10 ? -8 * (1 + random.below(9)) : 8 * random.below(9)
      slots.push([random.pick([0x79, 0x61, 0x71]), random.pick([0, 7]), base, offset, 0])
    } else if (choice === 8) {
      const base = random.pick([10, 10, 10, 6, 0, 8])
      const offset = base === 10 ? -8 * (1 + random.below(9)) : 8 * random.below(9)
      slots.push([random.pick([0x7b, 0x63, 0x73, 0xdb]), base, random.pick([0, 7, 8, 9]), offset, 0])
    } else slots.push([0x55, random.pick([0, 7, 8]), 0, random.below(9) - 6, random.imm()])
  }
  slots.push([0x95, 0, 0, 0, 0])
  return { ...image(slots, { type: random.pick(TYPES), maps: MAPS, relocations }), kfuncs }
}

/** What one engine made of it, undefined when the engine cannot. */
function outcome(program: ProgramImage, engine: Engine): string | undefined {
  const emulator = createEmulator(program, { engine, stepLimit: 20_000, sanitizer: { uninitialisedStack: 'report' } })
  const out: unknown[] = []
  for (let i = 0; i < 2; i++) {
    const { engine: ran, fault, r0, findings, packet, events, printk } = emulator.run({ packet: udpFrame() })
    if (ran !== engine) return undefined
    // at the step limit the compiler stops at a block's start, the interpreter anywhere
    if (fault?.code === 'step-limit') return JSON.stringify([...out, fault.code])
    out.push([
      fault?.code,
      fault?.insn,
      fault === undefined ? `${r0}` : '',
      findings.length,
      bytesToHex(packet ?? new Uint8Array()),
      events.length,
      printk,
    ])
    emulator.advance(1000)
  }
  return JSON.stringify(out)
}

/** The first difference between the engines, undefined when they agree or only one can run it. */
export function wildDifference(seed: number): string | undefined {
  const program = wildProgram(new Random(seed))
  const compiled = outcome(program, 'wasm')
  const interpreted = outcome(program, 'interpreter')
  return compiled === undefined || compiled === interpreted ? undefined : `${interpreted} and ${compiled}`
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { values } = parseArgs({
    options: { programs: { type: 'string', default: '2000' }, seed: { type: 'string', default: '1' } },
  })
  const [programs, first] = [Number(values.programs), Number(values.seed)]
  const count = { programs, differences: 0, crashes: 0, slowestMs: 0 }
  for (let seed = first; seed < first + programs; seed++) {
    const start = performance.now()
    try {
      const wrong = wildDifference(seed)
      if (wrong !== undefined) {
        count.differences++
        process.stderr.write(`seed ${seed}: ${wrong.slice(0, 500)}\n`)
      }
    } catch (error) {
      count.crashes++
      process.stderr.write(
        `seed ${seed}: ${error instanceof Error ? error.stack?.split('\n').slice(0, 4).join(' | ') : error}\n`,
      )
    }
    count.slowestMs = Math.max(count.slowestMs, Math.round(performance.now() - start))
  }
  const residentMb = Math.round(process.memoryUsage().rss / 2 ** 20)
  process.stdout.write(`${JSON.stringify({ seed: first, ...count, residentMb })}\n`)
  process.exitCode = count.differences + count.crashes === 0 ? 0 : 1
}
