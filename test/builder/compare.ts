import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readObject } from 'typebpf/elf'
import { kernelBtf, loadImage, realSys, testRun } from 'typebpf/kernel'
import { collectObject, linkProgram, type ObjectSpec, type ProgramImage } from 'typebpf/spec'
import * as events from './programs/events.bpf.ts'
import * as packets from './programs/packets.bpf.ts'
import * as tasks from './programs/tasks.bpf.ts'

const C_FOLDER = new URL('../fixtures/c/', import.meta.url).pathname

/** The C originals as clang-19 -O2 -mcpu=v3 compiles them. */
export function compileC(name: 'packets' | 'events' | 'tasks'): ObjectSpec {
  const folder = mkdtempSync(join(tmpdir(), 'typebpf-c-'))
  try {
    const out = join(folder, `${name}.o`)
    const include = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'
    execFileSync(
      'clang-19',
      ['-O2', '-g', '-mcpu=v3', '-target', 'bpf', `-I/usr/include/${include}`, '-c', `${C_FOLDER}${name}.c`, '-o', out],
      { stdio: 'pipe' },
    )
    return readObject(readFileSync(out), { what: `${name}.o`, name })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export interface Pair {
  readonly name: string
  readonly c: ProgramImage
  readonly builder: ProgramImage
}

export function pairs(): Pair[] {
  const out: Pair[] = []
  for (const [module, name] of [
    [packets, 'packets'],
    [events, 'events'],
    [tasks, 'tasks'],
  ] as const) {
    const c = compileC(name)
    const own = collectObject(module)
    for (const program of own.programs)
      out.push({
        name: program.name,
        c: linkProgram(c, program.name, { kernelBtf: kernelBtf() }),
        builder: linkProgram(own, program.name, { kernelBtf: kernelBtf() }),
      })
  }
  return out.sort((a, b) => a.name.localeCompare(b.name))
}

export interface Row {
  readonly name: string
  /** Instruction slots. */
  readonly c: number
  readonly builder: number
  /** Instructions the kernel's verifier processed. */
  readonly cProcessed: number
  readonly builderProcessed: number
  /** Runs over the same inputs: how many, how many gave other answers; undefined for types without test runs. */
  readonly runs?: number
  readonly different?: number
}

const XDP = 6
const SOCKET_FILTER = 1
const SCHED_CLS = 3

/** One row: both loaded into the running kernel, both run over the same packets. */
export function compareRow(pair: Pair, inputs: readonly Uint8Array[]): Row {
  const sys = realSys()
  using c = loadImage(sys, pair.c, { logLevel: 1 })
  using builder = loadImage(sys, pair.builder, { logLevel: 1 })
  for (const [what, loaded] of [
    ['clang', c],
    ['builder', builder],
  ] as const)
    if (loaded.verdict !== 'accept')
      throw new Error(`${pair.name} (${what}): ${loaded.verdict}: ${loaded.message}\n${loaded.log.slice(-2500)}`)
  const row = {
    name: pair.name,
    c: pair.c.insns.length / 8,
    builder: pair.builder.insns.length / 8,
    cProcessed: c.statistics.processed ?? 0,
    builderProcessed: builder.statistics.processed ?? 0,
  }
  if (![XDP, SOCKET_FILTER, SCHED_CLS].includes(pair.c.type)) return row
  fill(c.maps)
  fill(builder.maps)
  let different = 0
  for (const data of inputs) {
    const one = testRun(sys, c.program!.fd, { data })
    const two = testRun(sys, builder.program!.fd, { data })
    if (one.retval !== two.retval || Buffer.compare(one.data, two.data) !== 0) different++
  }
  return { ...row, runs: inputs.length, different: different + differentMaps(c.maps, builder.maps) }
}

type Maps = ReturnType<typeof loadImage>['maps']
/** Entries that make programs do something. */
function fill(maps: Maps): void {
  for (const map of maps) {
    if (map.shape.name === 'rules') map.update(Uint8Array.of(16, 0, 0, 0, 10, 0, 0, 0), Uint8Array.of(1, 0, 0, 0))
    if (map.shape.name === 'backends')
      for (let i = 0; i < 16; i++)
        map.update(Uint8Array.of(i, 0, 0, 0), Uint8Array.of(10, 0, 1, i + 1, 2, 0, 0, 0, 0, i, 0, 0))
  }
}
function differentMaps(one: Maps, two: Maps): number {
  let different = 0
  for (const map of one) {
    const other = two.find((it) => it.shape.name === map.shape.name)
    if (other === undefined || map.shape.name === 'buckets') continue
    const dump = (from: typeof map): string[] =>
      [...from.entries()]
        .map(([key, value]) => `${Buffer.from(key).toString('hex')}=${Buffer.from(value).toString('hex')}`)
        .sort()
    if (JSON.stringify(dump(map)) !== JSON.stringify(dump(other))) different++
  }
  return different
}
