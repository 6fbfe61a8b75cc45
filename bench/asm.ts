import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  assembleBytes,
  controlFlow,
  decodeInstructions,
  decodeSlots,
  dominance,
  encodeInstructions,
  encodeSlots,
  llvmListing,
} from '../src/asm/index.ts'
import { codeSections } from '../src/cli/code-sections.ts'
import { type Figure, interleaved } from './figure.ts'

const CORPORA = process.env['TYPEBPF_CORPORA'] ?? new URL('../../shared/corpora', import.meta.url).pathname
const OBJECT = join(CORPORA, 'objects/ebpf-samples/cilium-core/bpf_lxc.o')
const INSTRUCTIONS = 1_000_000
const RUNS = 7

/** A million valid instructions of all common kinds, no two neighbours alike. */
function million(): Uint8Array {
  const text = `
    r1 = r2
    r1 += 5
    w3 = w4
    r2 = *(u32 *)(r1 + 4)
    *(u64 *)(r10 - 8) = r1
    if r1 == 7 goto +1
    call 1
    r5 = be16 r5
    lock *(u64 *)(r10 - 8) += r1
    exit`
  const unit = assembleBytes(text)
  const bytes = new Uint8Array(INSTRUCTIONS * 8)
  for (let at = 0; at < bytes.length; at += unit.length)
    bytes.set(unit.subarray(0, Math.min(unit.length, bytes.length - at)), at)
  return bytes
}

/** The floor: every field of every slot read through a DataView, and summed so that nothing is optimized away. */
function barePass(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let sum = 0
  for (let at = 0; at < bytes.length; at += 8)
    sum =
      (sum + view.getUint8(at) + view.getUint8(at + 1) + view.getInt16(at + 2, true) + view.getInt32(at + 4, true)) | 0
  return sum
}

function hasObjdump(): boolean {
  try {
    execFileSync('llvm-objdump-19', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

export async function figures(): Promise<Figure[]> {
  const bytes = million()
  const decoded = decodeInstructions(bytes)
  const slots = decodeSlots(bytes)
  let sink = 0
  const [bare, decode, encode, both, toSlots, fromSlots] = await interleaved(RUNS, [
    () => (sink += barePass(bytes)),
    () => (sink += decodeInstructions(bytes).length),
    () => (sink += encodeInstructions(decoded).length),
    () => (sink += encodeInstructions(decodeInstructions(bytes)).length),
    () => (sink += decodeSlots(bytes).length),
    () => (sink += encodeSlots(slots).length),
  ])
  const area = 'asm'
  const floor = (name: string, value: number, goal?: number): Figure => ({
    area,
    name,
    value,
    unit: 'ms',
    peer: 'bare DataView pass',
    peerValue: bare,
    ratio: value / bare,
    ...(goal === undefined ? {} : { goal: `ratio ≤ ${goal}`, met: value / bare <= goal }),
  })
  const out = [
    floor('decode 1,000,000 instructions to arrays (decodeSlots)', toSlots, 10),
    floor('encode 1,000,000 instructions from arrays (encodeSlots)', fromSlots),
    // a million objects that stay: allocating them alone is some twenty times the bare pass
    floor('decode 1,000,000 instructions to objects, forms checked (decodeInstructions)', decode, 10),
    floor('encode 1,000,000 instructions from objects (encodeInstructions)', encode),
    floor('decode to objects and encode 1,000,000 instructions', both),
  ]
  return [...out, ...(await listingFigures(area))]
}

async function listingFigures(area: string): Promise<Figure[]> {
  let file: Uint8Array
  try {
    file = readFileSync(OBJECT)
  } catch {
    return [
      {
        area,
        name: 'disassemble an object',
        value: Number.NaN,
        unit: 'ms',
        peer: 'the corpora are not here (TYPEBPF_CORPORA)',
      },
    ]
  }
  const listing = (): string => {
    let text = `\n${OBJECT}:\tfile format elf64-bpf\n`
    for (const { name, bytes, littleEndian, symbols } of codeSections(file, OBJECT))
      text += `\nDisassembly of section ${name}:\n${llvmListing(bytes, { section: name, littleEndian, symbols })}`
    return Buffer.from(text).toString('latin1')
  }
  const sections = codeSections(file, OBJECT)
  const texts = sections.map(({ bytes, symbols, name }) => llvmListing(bytes, { section: name, symbols }))
  const graphs = (): number =>
    sections.reduce(
      (sum, { bytes }) =>
        sum + controlFlow(decodeSlots(bytes)).reduce((n, graph) => n + dominance(graph).order.length, 0),
      0,
    )
  const installed = hasObjdump()
  const [ours, startup, theirs, assemble, flow] = await interleaved(RUNS, [
    listing,
    () => (installed ? execFileSync('llvm-objdump-19', ['--version'], { maxBuffer: 1 << 28 }) : undefined),
    () => (installed ? execFileSync('llvm-objdump-19', ['-d', OBJECT], { maxBuffer: 1 << 28 }) : undefined),
    () => texts.map((text) => assembleBytes(text, { sources: false })),
    graphs,
  ])
  const slots = sections.reduce((sum, { bytes }) => sum + bytes.length / 8, 0)
  const rows: Figure[] = [
    installed
      ? {
          area,
          name: `disassemble ${slots} slots of an object to text`,
          value: ours,
          unit: 'ms',
          peer: 'llvm-objdump-19 -d, its start included',
          peerValue: theirs,
          ratio: ours / theirs,
          goal: 'ratio ≤ 1',
          met: ours <= theirs,
        }
      : {
          area,
          name: 'disassemble an object to text',
          value: ours,
          unit: 'ms',
          peer: 'llvm-objdump-19 is not installed',
        },
  ]
  if (installed)
    rows.push({
      area,
      name: 'the same, start of llvm-objdump subtracted',
      value: ours,
      unit: 'ms',
      peer: 'llvm-objdump-19 -d minus --version',
      peerValue: theirs - startup,
      ratio: ours / (theirs - startup),
    })
  rows.push(
    { area, name: `assemble the ${slots} slots' text`, value: assemble, unit: 'ms' },
    { area, name: `control flow, dominators and loops of ${slots} slots`, value: flow, unit: 'ms' },
  )
  return rows
}
