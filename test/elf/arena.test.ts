import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Btf } from '../../src/btf/index.ts'
import { readObject, writeObject } from '../../src/elf/index.ts'
import { createEmulator } from '../../src/emulator/index.ts'
import { linkProgram } from '../../src/spec/index.ts'
import { loadObject, realSys, testRun } from '../../src/syscall/index.ts'
import { testWith } from '../requirements.ts'

const object = readObject(readFileSync(new URL('../fixtures/objects/arena.el.o', import.meta.url)))
const PACKET = new Uint8Array(60)

describe('variables in an arena and exception callbacks', () => {
  test('are read with their bytes and written alike', () => {
    const arena = object.maps.find(({ name }) => name === 'arena')
    expect(arena?.arenaData).toEqual(Uint8Array.of(11, 0, 0, 0, 31, 0, 0, 0))
    expect(object.variables.filter(({ section }) => section === '.addr_space.1').map(({ name }) => name)).toEqual([
      'first',
      'second',
    ])
    expect(object.programs.find(({ name }) => name === 'throwing')?.exceptionCallback).toBe('on_throw')
    expect(readObject(writeObject(object)).maps).toEqual(object.maps)
    expect(linkProgram(object, 'throwing').insns.length).toBe(11 * 8)
  })

  for (const engine of ['interpreter', 'wasm'] as const)
    test(`work in the emulator (${engine})`, () => {
      const run = (name: string) =>
        createEmulator(linkProgram(object, name), { engine }).run(name === 'add' ? {} : { packet: PACKET })
      expect(run('add')).toMatchObject({ retval: 42, engine })
      expect(run('throwing')).toMatchObject({ retval: 7 })
    })

  testWith('bpf')('are what the kernel gives programs', () => {
    const kernel = new Btf(readFileSync('/sys/kernel/btf/vmlinux'))
    expect(kernel.idByName('bpf_throw', 'func')).toBeDefined()
    using loaded = loadObject(realSys(), object)
    const fd = (name: string): number => {
      const found = loaded.programs.find(({ spec }) => spec.name === name)?.result
      if (found?.program === undefined) throw new Error(`${name}: ${found?.message}`)
      return found.program.fd
    }
    expect(testRun(loaded.sys, fd('add'), {}).retval).toBe(42)
    expect(testRun(loaded.sys, fd('throwing'), { data: PACKET }).retval).toBe(7)
  })
})
