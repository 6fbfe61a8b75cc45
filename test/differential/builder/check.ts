import { createEmulator } from 'typebpf/emulator'
import { kernelBtf, loadImage, realSys, testRun } from 'typebpf/kernel'
import { collectObject, linkProgram } from 'typebpf/spec'
import { KERNEL_FAULT, verify } from 'typebpf/verifier'
import { construct } from './construct.ts'
import { evaluate } from './evaluate.ts'
import type { GeneratedProgram } from './language.ts'
import { kept } from './places.ts'

/** What a campaign counts. */
export interface Counts {
  programs: number
  runs: number
  rejected: number
  /** Frames over 512 bytes, programs over the verifier's limits: nothing is compared. */
  tooLarge: number
  different: number
  /** Programs that would kill the loading thread: this kernel's own fault, which the model foretells. */
  kernelFaults: number
  /**
   * Programs that the emulator runs as the evaluation says and the kernel does not: Linux 6.18 removes a branch of a callback
   * that later rounds take (its translated program lacks it).
   */
  kernelWrong: number
  /** Programs with a loop inside a callback: compared with the emulator, never loaded. */
  emulatorOnly: number
  instructions: number
}

let sys: ReturnType<typeof realSys> | undefined

/**
 * A loop inside a callback. Linux 6.18 may free a checkpoint that such a loop's states still point to (docs/verifier.md), by
 * chance with an oops that takes the process: these programs run in the emulator only.
 */
function loopsInCallback(node: unknown, inside = false): boolean {
  if (typeof node !== 'object' || node === null) return false
  if (Array.isArray(node)) return node.some((child) => loopsInCallback(child, inside))
  const { k, form } = node as { k?: unknown; form?: unknown }
  const loop = k === 'loop' || k === 'times' || k === 'while' || k === 'each'
  if (loop && inside) return true
  const within = inside || k === 'each' || (loop && form === 'callback')
  return Object.values(node).some((child) => loopsInCallback(child, within))
}

/** Builds, loads and runs one program; undefined: the kernel's answers equal the evaluation. */
export function check(program: GeneratedProgram, counts: Counts): string | undefined {
  sys ??= realSys()
  const made = construct(program)
  let object: ReturnType<typeof collectObject>
  try {
    object = collectObject({ made })
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'build.stack') {
      counts.tooLarge++
      return undefined
    }
    throw error
  }
  const image = linkProgram(object, 'generated', { kernelBtf: kernelBtf() })
  counts.instructions += image.insns.length / 8
  if (loopsInCallback(program.statements)) {
    const cells = [0n, 0n, 0n, 0n]
    const maps = kept()
    const emulator = createEmulator(image)
    counts.emulatorOnly++
    for (const input of program.inputs) {
      const expected = evaluate(program, input, cells, maps)
      const { retval, packet = new Uint8Array(64), fault } = emulator.run({ packet: input })
      const got = new DataView(packet.buffer, packet.byteOffset).getBigUint64(56, true)
      if (fault === undefined && (expected === undefined ? retval === 3 : retval === 2 && got === expected)) continue
      counts.different++
      return `the emulator returns ${retval} ${fault?.message ?? ''}, result ${got}, expected ${expected}`
    }
    return undefined
  }
  if (verify(image, { kernelBtf }).message === KERNEL_FAULT) {
    counts.kernelFaults++
    return undefined
  }
  using loaded = loadImage(sys, image, { logLevel: 0 })
  if (loaded.verdict !== 'accept' || loaded.program === undefined) {
    // the reason stands in every log; the whole log of a million instructions takes seconds
    if (/too large|too complex|combined stack size/i.test(`${loaded.message} ${loaded.log}`)) {
      counts.tooLarge++
      return undefined
    }
    using again = loadImage(sys, image, { logLevel: 1 })
    counts.rejected++
    return `the kernel rejects it: ${again.message}\n${again.log.slice(-1500)}`
  }
  const cells = [0n, 0n, 0n, 0n]
  const maps = kept()
  for (const input of program.inputs) {
    const expected = evaluate(program, input, cells, maps)
    const out = testRun(sys, loaded.program.fd, { data: input })
    counts.runs++
    const got = new DataView(out.data.buffer, out.data.byteOffset).getBigUint64(56, true)
    if (expected === undefined ? out.retval !== 3 : out.retval !== 2 || got !== expected) {
      if (emulated(image, program.inputs, input, expected)) {
        counts.kernelWrong++
        return undefined
      }
      counts.different++
      return `returns ${out.retval}, result ${got}, expected ${expected}, input ${Buffer.from(input).toString('hex')}`
    }
  }
  return undefined
}

/** Whether the emulator, which believes no proof, gives what the evaluation expects after the same inputs. */
function emulated(
  image: ReturnType<typeof linkProgram>,
  inputs: readonly Uint8Array[],
  last: Uint8Array,
  expected: bigint | undefined,
): boolean {
  const emulator = createEmulator(image)
  for (const input of inputs) {
    const { retval, packet = new Uint8Array(64), fault } = emulator.run({ packet: input })
    if (input !== last) continue
    if (fault !== undefined) return false
    if (expected === undefined) return retval === 3
    return retval === 2 && new DataView(packet.buffer, packet.byteOffset).getBigUint64(56, true) === expected
  }
  return false
}
