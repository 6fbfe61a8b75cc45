import { createJudge, kernelBtf } from 'typebpf/kernel'
import { collectObject, linkProgram } from 'typebpf/spec'
import { verify } from 'typebpf/verifier'
import { describe, expect } from 'vitest'
import { testWith } from '../requirements.ts'
import { FEATURES } from './programs/features.ts'

describe('what tools need', () => {
  for (const [name, program] of Object.entries(FEATURES))
    testWith('bpf')(`the running kernel and the model take ${name}`, async () => {
      const object = collectObject({ program })
      const image = linkProgram(object, object.programs[0].name, { kernelBtf: kernelBtf() })
      const answer = await createJudge().judge(image, { logLevel: 1 })
      expect(answer.verdict, `${answer.message}\n${answer.log}`).toBe('accept')
      const model = verify(image)
      // kernel functions are beyond the model so far: it says so, and no more than that
      const answers = model.message?.includes('kernel function') ? ['unsupported'] : ['accept']
      expect(answers, `the model: ${model.message}`).toContain(model.verdict)
    })
})
