import { assembleBytes } from '../../../src/asm/index.ts'
import type { Emulator, RunOptions, RunResult } from '../../../src/emulator/index.ts'
import type { ImageRelocation, MapSpec, ProgramImage } from '../../../src/spec/index.ts'
import { helperNumber, PROGRAM_TYPES, type ProgramType } from '../../../src/uapi/index.ts'

/** One small program around a helper or kfunc, and what it answers. */
export interface Case {
  /** Names of the calls that it is about, without `bpf_`. */
  readonly calls: string
  readonly type: ProgramType
  /**
   * Assembly with `call NAME`, `kfunc NAME`, `map rN [INDEX]`, `func rN LABEL`, and `fp rN OFFSET` for a place on the stack.
   */
  readonly text: string
  readonly maps?: readonly MapSpec[]
  readonly run?: RunOptions
  /** r0, signed. */
  readonly answer: number | bigint
  /** What else is looked at after the run. */
  readonly look?: (result: RunResult, emulator: Emulator) => unknown
  readonly seen?: unknown
  /** Prepares the emulated world. */
  readonly before?: (emulator: Emulator) => void
  /** The kernel is not asked: what the test chose here, the machine has otherwise, or it has no test run. */
  readonly own?: boolean
}

const COMMON_RUN: RunOptions = { packet: packet() }
export const runOf = (one: Case): RunOptions => one.run ?? COMMON_RUN

/** Ethernet, IPv4 and UDP: 64 bytes. */
export function packet(): Uint8Array {
  const bytes = new Uint8Array(64)
  bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0])
  bytes.set([0x45, 0, 0, 50, 0, 1, 0, 0, 64, 17, 0x66, 0xb7, 10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0, 53, 0, 30], 14)
  return bytes
}

/** Lines of the assembler's syntax, and what each one's slots need besides. */
interface Line {
  readonly texts: readonly string[]
  readonly map?: number
  readonly kfunc?: string
  readonly label?: string
}

function line(text: string): Line {
  const [, word = '', register = '', rest = ''] = /^(map|fp|func)\s+(r\d)\s*(\S*)$/.exec(text) ?? []
  if (word === 'map') return { texts: [`${register} = 0 ll`], map: Number(rest || 0) }
  if (word === 'func') return { texts: [`${register} = 0 ll`], label: rest }
  if (word === 'fp') return { texts: [`${register} = r10`, `${register} += ${rest}`] }
  const kfunc = /^kfunc (\w+)$/.exec(text)?.[1]
  if (kfunc !== undefined) return { texts: ['call 1'], kfunc: `bpf_${kfunc}` }
  const helper = /^call ([a-z]\w*)$/.exec(text)?.[1]
  return { texts: [helper === undefined ? text : `call ${helperNumber(helper)}`] }
}

export function assemble(one: Case): ProgramImage {
  const relocations: ImageRelocation[] = []
  const kfuncs = new Map<number, string>()
  const labels = new Map<string, number>()
  const functions: { slot: number; label: string }[] = []
  const out: string[] = []
  let slot = 0
  for (const text of one.text.split('\n').map((each) => each.trim())) {
    if (text === '') continue
    if (text.endsWith(':')) labels.set(text.slice(0, -1), slot)
    const { texts, map, kfunc, label } = line(text)
    if (map !== undefined) relocations.push({ insn: slot, map, kind: 'fd' })
    if (kfunc !== undefined) kfuncs.set(slot, kfunc)
    if (label !== undefined) functions.push({ slot, label })
    out.push(...texts)
    for (const each of texts) slot += each.endsWith(':') ? 0 : each.endsWith(' ll') ? 2 : 1
  }
  const insns = assembleBytes(out.join('\n'))
  const view = new DataView(insns.buffer, insns.byteOffset)
  for (const at of kfuncs.keys()) {
    insns[at * 8 + 1] = 2 << 4
    view.setInt32(at * 8 + 4, 0, true)
  }
  for (const { slot: at, label } of functions) {
    insns[at * 8 + 1] |= 4 << 4
    view.setInt32(at * 8 + 4, (labels.get(label) ?? 0) - at - 1, true)
  }
  return {
    name: 'helper_case',
    type: PROGRAM_TYPES[one.type],
    expectedAttachType: one.type === 'sk_lookup' ? 36 : 0,
    insns,
    license: 'GPL',
    flags: one.type === 'syscall' ? 1 << 4 : 0,
    maps: one.maps ?? [],
    relocations,
    kfuncs,
  }
}
