import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { objectText, readObjectText } from '../../programs/lib/built-object.ts'
import { TOOLS } from '../../programs/tools.ts'
import { collectObject, linkProgram, type ObjectSpec } from '../../src/spec/index.ts'
import { loadObject, realSys, runningKernel } from '../../src/syscall/index.ts'
import { verify } from '../../src/verifier/index.ts'
import { testWith } from '../requirements.ts'

const place = (name: string): string => new URL(`../../programs/${name}/${name}.bpf.ts`, import.meta.url).pathname

async function objectOf(name: string): Promise<ObjectSpec> {
  return collectObject((await import(place(name))) as object, { name })
}

describe.each(TOOLS.map(({ name }) => name))('%s', (name) => {
  test('has its kernel side in a file of its own and a page', () => {
    expect(existsSync(place(name))).toBe(true)
    expect(existsSync(new URL(`../../programs/${name}/README.md`, import.meta.url))).toBe(true)
  })

  test('is the same when its object comes from the text that a build leaves', async () => {
    const object = await objectOf(name)
    const again = readObjectText(objectText(object))
    for (const program of object.programs)
      expect(linkProgram(again, program.name)).toEqual(linkProgram(object, program.name))
  })

  test('is accepted by the model', async () => {
    const object = await objectOf(name)
    expect(object.programs.length).toBeGreaterThan(0)
    for (const program of object.programs) {
      // CO-RE relocations need a kernel's types; without one their places stay as they were built
      const image = linkProgram(object, program.name, existsSync('/sys/kernel/btf/vmlinux') ? runningKernel() : {})
      const { verdict, message } = verify(image)
      expect(`${program.name}: ${verdict} ${message ?? ''}`.trim()).toBe(`${program.name}: accept`)
    }
  })

  testWith('bpf')('is accepted by the running kernel', async () => {
    using loaded = loadObject(realSys(), await objectOf(name))
    for (const { spec, result } of loaded.programs)
      expect(`${spec.name}: ${result.verdict} ${result.message ?? ''}`.trim()).toBe(`${spec.name}: accept`)
  })
})
