import { bytesToHex } from '../../../src/bytes/index.ts'
import { createEmulator, type Engine } from '../../../src/emulator/index.ts'
import type { ProgramImage } from '../../../src/spec/index.ts'
import { loadImage, possibleCpus, type RawMap, realSys, type Sys, testRun } from '../../../src/syscall/index.ts'
import { MAP_TYPES, programTypeName } from '../../../src/uapi/index.ts'
import { type Input, type Kind, kindOf } from './kinds.ts'
import { onlyCpu } from './pin.ts'

/** What a run gave, comparable as text. */
export interface Outcome {
  readonly retval: number
  readonly packet: string
  readonly ctx: string
}

/** What one program gave over its inputs on one side. */
export interface Answers {
  readonly runs: readonly Outcome[]
  /** By map, its entries as sorted text. */
  readonly maps: readonly string[]
}

const NO_CONTENT = new Set<number>([MAP_TYPES.queue, MAP_TYPES.stack])

function kernelMap(map: RawMap, type: number): string {
  const rows: string[] = []
  if (NO_CONTENT.has(type)) {
    for (
      let value = map.lookupAndDelete(new Uint8Array(0));
      value !== undefined;
      value = map.lookupAndDelete(new Uint8Array(0))
    )
      rows.push(bytesToHex(value))
    return rows.join(' ')
  }
  for (let key = map.nextKey(); key !== undefined; key = map.nextKey(key)) {
    const value = map.lookup(key)
    rows.push(`${bytesToHex(key)}=${value === undefined ? '' : bytesToHex(value)}`)
  }
  return rows.sort().join(' ')
}

const SKB_FIELDS = ['mark', 'priority', 'cb0', 'cb1', 'cb2', 'cb3', 'cb4']
/** Fields of the skb that a program of this kind may have changed. */
function fieldsOf(kind: Kind | undefined): readonly string[] | undefined {
  if (kind?.out !== 'skb fields') return undefined
  return kind.type === 'socket_filter' ? SKB_FIELDS.slice(2) : SKB_FIELDS
}
const OFFSETS: Readonly<Record<string, number>> = { mark: 8, priority: 32, cb0: 48, cb1: 52, cb2: 56, cb3: 60, cb4: 64 }

/** The running kernel's side; undefined when it refuses the program. */
export function kernelAnswers(
  image: ProgramImage,
  inputs: readonly Input[],
  sys: Sys = realSys(),
): Answers | { readonly refused: string } {
  using loaded = loadImage(sys, image)
  if (loaded.program === undefined) return { refused: loaded.message ?? `errno ${loaded.errno}` }
  const kind = kindOf(programTypeName(image.type))
  const fields = fieldsOf(kind)
  const runs: Outcome[] = []
  for (const { packet, ctx } of inputs) {
    const out = testRun(sys, loaded.program.fd, {
      ...(packet === undefined ? {} : { data: packet, dataOutSize: 20_480 }),
      ...(fields === undefined ? {} : { context: new Uint8Array(192), contextOutSize: 192 }),
      ...(ctx === undefined ? {} : { context: ctx, contextOutSize: 0 }),
    })
    const view = new DataView(out.context.buffer, out.context.byteOffset, out.context.byteLength)
    runs.push({
      retval: out.retval,
      packet: bytesToHex(out.data),
      ctx:
        kind?.out === 'context'
          ? bytesToHex(out.contextIn)
          : (fields ?? []).map((name) => view.getUint32(OFFSETS[name], true).toString(16)).join(' '),
    })
  }
  return { runs, maps: loaded.maps.map((map, i) => kernelMap(map, image.maps[i].type)) }
}

export function emulatorAnswers(
  image: ProgramImage,
  inputs: readonly Input[],
  engine: Engine,
): Answers | { readonly failed: string } {
  const cpu = onlyCpu()
  const emulator = createEmulator(image, {
    engine,
    // per-CPU values have the kernel's places
    ...(cpu === undefined ? {} : { cpus: possibleCpus(), cpu }),
    sanitizer: { uninitialisedStack: 'off', useAfterFree: 'off', unreleasedReference: 'off' },
  })
  const kind = kindOf(programTypeName(image.type))
  const fields = fieldsOf(kind)
  const runs: Outcome[] = []
  for (const input of inputs) {
    const result = emulator.run(input)
    if (result.engine !== engine) return { failed: `${result.engine} ran: ${result.fallback}` }
    if (result.fault !== undefined) return { failed: `insn ${result.fault.insn}: ${result.fault.message}` }
    const { metadata, packet = new Uint8Array(), flowKeys } = result
    runs.push({
      retval: result.retval,
      packet: (metadata === undefined ? '' : bytesToHex(metadata)) + bytesToHex(flowKeys ?? packet),
      ctx:
        kind?.out === 'context'
          ? bytesToHex(result.ctxBytes)
          : (fields ?? []).map((name) => result.ctx[name].toString(16)).join(' '),
    })
  }
  return {
    runs,
    maps: emulator.maps.map((map) => {
      const rows = map
        .entries()
        .map(({ key, values }) =>
          NO_CONTENT.has(map.spec.type)
            ? bytesToHex(values[0])
            : `${bytesToHex(key)}=${values.map((value) => bytesToHex(value)).join('')}`,
        )
      return (NO_CONTENT.has(map.spec.type) ? rows : rows.sort()).join(' ')
    }),
  }
}

/** The first difference between two answers, undefined when they agree. */
export function difference(kernel: Answers, other: Answers | { readonly failed: string }): string | undefined {
  if ('failed' in other) return other.failed
  for (const [i, run] of kernel.runs.entries()) {
    const { retval, packet, ctx } = other.runs[i]
    if (run.retval !== retval) return `input ${i}: retval ${retval}, the kernel has ${run.retval}`
    if (run.packet !== packet) return `input ${i}: packet ${packet}, the kernel has ${run.packet}`
    if (run.ctx !== ctx) return `input ${i}: ctx ${ctx}, the kernel has ${run.ctx}`
  }
  for (const [i, map] of kernel.maps.entries())
    if (map !== other.maps[i]) return `map ${i}: ${other.maps[i]}, the kernel has ${map}`
  return undefined
}
