import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { CoverageRecorder, coverageByFile, eth, harness, ipv4, packet, tcp } from '../../src/progrun/index.ts'
import { testWith } from '../requirements.ts'

const object = fileURLToPath(new URL('../fixtures/objects/counter.el.o', import.meta.url))
const segment = packet(eth(), ipv4(), tcp())

describe('an object from clang', () => {
  test('runs by its path, global variables set by name, coverage in C lines', async () => {
    const coverage = new CoverageRecorder()
    using t = await harness(object, { backend: 'emulator', coverage })
    const names = t.images.map(({ name }) => name)
    expect(names).toContain('tail')
    for (const { name, type } of t.images) if (type === 6) t.run(name, { packet: segment })
    const files = coverageByFile(coverage)
    const [c] = files.filter(({ path }) => path.endsWith('counter.bpf.c'))
    expect(c.lines.some(({ hits }) => hits > 0)).toBe(true)
    expect(c.lines.every(({ line }) => line > 0)).toBe(true)
    await expect(harness(object, { backend: 'emulator', globals: { nothing: 1 } })).rejects.toThrow(
      /there is no global variable nothing/,
    )
  })

  for (const backend of ['emulator', 'both'] as const)
    testWith(...(backend === 'both' ? (['bpf'] as const) : []))(
      `constants are set before the load: ${backend}`,
      async () => {
        const run = async (limit: number): Promise<string | undefined> => {
          using t = await harness(object, { backend, globals: { limit } })
          return t.run('optional', { packet: segment }).verdict
        }
        expect(await run(1)).toBe('TC_ACT_SHOT')
        expect(await run(5000)).toBe('TC_ACT_OK')
      },
    )

  testWith('bpf')('maps in maps, tail calls and callbacks agree in both backends', async () => {
    using t = await harness(object, { backend: 'both', globals: { limit: 0 } })
    // the first packet makes the entry, the second one walks the map and jumps to the other program
    expect(t.run('count', { packet: segment }).verdict).toBe('XDP_PASS')
    expect(t.run('count', { packet: segment }).verdict).toBe('XDP_DROP')
    expect(t.run('tail', { packet: segment }).verdict).toBe('XDP_DROP')
  })
})
