import { readFileSync } from 'node:fs'
import { attachAll, createJudge, kernelBtf, loadObject, realSys } from 'typebpf/kernel'
import { collectObject, linkProgram } from 'typebpf/spec'
import { verify } from 'typebpf/verifier'
import { describe, expect } from 'vitest'
import { testWith } from '../requirements.ts'
import { FEATURES } from './programs/features.ts'
import { CONTROL, OBJECTS } from './programs/objects.ts'

describe('what tools need', () => {
  for (const [name, program] of Object.entries({ ...FEATURES, ...OBJECTS }))
    testWith('bpf')(`the running kernel and the model take ${name}`, async () => {
      const object = collectObject({ program })
      const image = linkProgram(object, object.programs[0].name, { kernelBtf: kernelBtf() })
      const answer = await createJudge().judge(image, { logLevel: 1 })
      expect(answer.verdict, `${answer.message}\n${answer.log}`).toBe('accept')
      const model = verify(image, { kernelBtf: kernelBtf() })
      // some kinds of kernel objects are beyond the model so far: it says so, and no more than that
      const beyond = /kernel function|ARG_PTR_TO_TIMER|ARG_KPTR_XCHG_DEST|kptr|timer/.test(model.message ?? '')
      const answers = beyond ? ['unsupported'] : ['accept']
      expect(answers, `the model: ${model.message}`).toContain(model.verdict)
    })

  testWith('bpf')('a whole congestion control goes into force and out again', () => {
    const loaded = loadObject(realSys(), collectObject(CONTROL))
    try {
      const links = attachAll(loaded)
      expect(links).toHaveLength(1)
      const known = readFileSync('/proc/sys/net/ipv4/tcp_available_congestion_control', 'utf8')
      expect(known).toContain('typebpf_cc')
      for (const link of links) link.close()
      expect(readFileSync('/proc/sys/net/ipv4/tcp_available_congestion_control', 'utf8')).not.toContain('typebpf_cc')
    } finally {
      loaded.close()
    }
  })
})
