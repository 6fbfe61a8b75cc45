import { createJudge, kernelBtf } from 'typebpf/kernel'
import { collectObject, linkProgram } from 'typebpf/spec'
import { describe, expect } from 'vitest'
import { testWith } from '../requirements.ts'
import { KINDS } from './programs/kinds.ts'

describe('every kind of program', () => {
  for (const [name, program] of Object.entries(KINDS))
    testWith('bpf')(`the running kernel takes ${name}, or refuses the type by policy`, async () => {
      const object = collectObject({ program })
      const image = linkProgram(object, object.programs[0].name, { kernelBtf: kernelBtf() })
      const answer = await createJudge().judge(image, { logLevel: 1 })
      expect(['accept', 'denied'], `${answer.verdict}: ${answer.message}\n${answer.log}`).toContain(answer.verdict)
      if (answer.verdict === 'denied') expect(['fentry', 'fexit', 'fmodRet', 'lsm']).toContain(name)
    })
})
