import { expect, test } from 'vitest'
import { createEmulator } from '../../src/emulator/index.ts'
import { loadImage, realSys, testRun } from '../../src/syscall/index.ts'
import { programTypeName } from '../../src/uapi/index.ts'
import { difference, emulatorAnswers, kernelAnswers } from '../differential/emulator/compare.ts'
import { Generator } from '../differential/emulator/generate.ts'
import { kindOf } from '../differential/emulator/kinds.ts'
import { Random } from '../differential/emulator/random.ts'
import { testWith } from '../requirements.ts'
import { exit, image, mov, type Slot, udpFrame } from './images.ts'

testWith('bpf')('generated programs do in both engines what they do in the kernel', () => {
  const wrong: string[] = []
  let accepted = 0
  for (let seed = 1; seed <= 80; seed++) {
    const program = new Generator(seed).generate()
    const random = new Random(seed)
    const kind = kindOf(programTypeName(program.type))
    const inputs = [random, random].map((one) => kind?.input(one) ?? {})
    const kernel = kernelAnswers(program, inputs)
    if ('refused' in kernel) continue
    accepted++
    for (const engine of ['interpreter', 'wasm'] as const) {
      const found = difference(kernel, emulatorAnswers(program, inputs, engine))
      if (found !== undefined) wrong.push(`seed ${seed}, ${engine}: ${found}`)
    }
  }
  expect(wrong).toEqual([])
  expect(accepted).toBeGreaterThan(60)
})

/** Sets ip_proto and the ports offset of the flow keys and answers BPF_OK. */
const DISSECTOR: Slot[] = [
  [0x79, 2, 1, 144, 0],
  [0x69, 3, 2, 2, 0],
  [0x07, 3, 0, 0, 20],
  [0x6b, 2, 3, 2, 0],
  [0x72, 2, 0, 9, 17],
  mov(0, 0),
  exit,
]

test('a flow dissector gets keys to fill in', () => {
  const result = createEmulator(image(DISSECTOR, { type: 'flow_dissector' })).run({ packet: udpFrame() })
  expect(result.fault).toBeUndefined()
  expect([...(result.flowKeys ?? [])].slice(0, 12)).toEqual([14, 0, 34, 0, 0, 0, 0, 0, 0, 17, 8, 0])
})

testWith('bpf')("the flow dissector's keys are the kernel's", () => {
  const program = image(DISSECTOR, { type: 'flow_dissector' })
  const sys = realSys()
  using loaded = loadImage(sys, program)
  if (loaded.program === undefined) throw new Error(loaded.message)
  const kernel = testRun(sys, loaded.program.fd, { data: udpFrame(), dataOutSize: 128 })
  const result = createEmulator(program).run({ packet: udpFrame() })
  expect([result.retval, result.flowKeys]).toEqual([kernel.retval, kernel.data])
})
