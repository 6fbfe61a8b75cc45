import { expect } from 'vitest'
import { assembleBytes } from '../../src/asm/index.ts'
import { runConformance } from '../../src/cli/conformance-plugin.ts'
import { readVectors } from '../conformance/vectors.ts'
import { testWith } from '../requirements.ts'

for (const engine of ['interpreter', 'wasm'] as const)
  testWith('corpora')(`the public conformance vectors on the ${engine}`, () => {
    const vectors = readVectors()
    expect(vectors.length).toBeGreaterThan(300)
    const wrong = vectors.flatMap((vector) => {
      const result = runConformance(assembleBytes(vector.assembly), vector.memory, engine)
      if (result.engine !== engine) return [`${vector.name}: ${result.engine} ran (${result.fallback})`]
      if (result.fault !== undefined) return [`${vector.name}: ${result.fault.message}`]
      return result.r0 === vector.result ? [] : [`${vector.name}: ${result.r0} instead of ${vector.result}`]
    })
    expect(wrong).toEqual([])
  })
