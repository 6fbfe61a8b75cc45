import { describe, expect, test } from 'vitest'
import { KFUNCS } from '../../src/emulator/calls/kfuncs.ts'
import { createEmulator, implementedHelpers } from '../../src/emulator/index.ts'
import type { ProgramImage } from '../../src/spec/index.ts'
import { kernelBtf, loadImage, realSys, testRun } from '../../src/syscall/index.ts'
import { testWith } from '../requirements.ts'
import { assemble, type Case, runOf } from './cases/assemble.ts'
import { KFUNC_CASES } from './cases/kfuncs.ts'
import { MAP_CASES, STORAGE_CASES } from './cases/maps.ts'
import { PACKET_CASES } from './cases/packets.ts'
import { SOCKET_CASES } from './cases/sockets.ts'
import { SYSTEM_CASES } from './cases/system.ts'

const CASES: readonly Case[] = [
  ...MAP_CASES,
  ...STORAGE_CASES,
  ...SYSTEM_CASES,
  ...PACKET_CASES,
  ...SOCKET_CASES,
  ...KFUNC_CASES,
]

for (const engine of ['interpreter', 'wasm'] as const)
  describe(engine, () => {
    for (const [index, one] of CASES.entries())
      test(`${index} ${one.calls}`, () => {
        const emulator = createEmulator(assemble(one), { engine, seed: 1 })
        one.before?.(emulator)
        const result = emulator.run(runOf(one))
        expect(result.fault).toBeUndefined()
        expect([result.engine, BigInt.asIntN(64, result.r0)]).toEqual([engine, BigInt(one.answer)])
        if (one.look !== undefined) expect(one.look(result, emulator)).toEqual(one.seen)
        for (const name of one.calls.split(' ')) expect(emulator.calls(name), name).toBeGreaterThan(0)
      })
  })

test('every helper and kfunc that the emulator has is in a case', () => {
  const covered = new Set(CASES.flatMap(({ calls }) => calls.split(' ')))
  const known = [...implementedHelpers(), ...Object.keys(KFUNCS)]
  expect(known.filter((name) => !covered.has(name))).toEqual([])
  expect(known.length).toBeGreaterThan(200)
})

/** Kfuncs by the ids of the running kernel. */
function forKernel(image: ProgramImage): ProgramImage {
  if (image.kfuncs === undefined || image.kfuncs.size === 0) return image
  const insns = image.insns.slice()
  const view = new DataView(insns.buffer)
  for (const [slot, name] of image.kfuncs) view.setInt32(slot * 8 + 4, kernelBtf()?.idByName(name, 'func') ?? 0, true)
  return { ...image, insns }
}

describe('the kernel answers the same', () => {
  for (const [index, one] of CASES.entries())
    if (one.own !== true)
      testWith('bpf')(`${index} ${one.calls}`, () => {
        const sys = realSys()
        using loaded = loadImage(sys, forKernel(assemble(one)))
        if (loaded.program === undefined) throw new Error(`${loaded.message}\n${loaded.log}`)
        const { packet, ctx } = runOf(one)
        const context = ctx instanceof Uint8Array ? ctx : undefined
        const tracing = one.type === 'raw_tracepoint' || one.type === 'syscall'
        const run = testRun(sys, loaded.program.fd, {
          ...(tracing || packet === undefined ? {} : { data: packet }),
          ...(context === undefined ? {} : { context, contextOutSize: 0 }),
        })
        expect(run.retval).toBe(Number(BigInt.asUintN(32, BigInt(one.answer))))
      })
})
