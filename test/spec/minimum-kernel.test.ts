import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readObject } from '../../src/elf/index.ts'
import { compareVersions, minimumKernel } from '../../src/spec/index.ts'
import { HELPER_NAMES, helperNumber, helperSince, kfuncSince } from '../../src/uapi/index.ts'

describe('the first kernel for a program', () => {
  test('every helper has one, and later numbers never have an earlier one', () => {
    const versions = HELPER_NAMES.slice(1).map((_, index) => helperSince(index + 1) ?? '')
    expect(new Set(versions).size).toBe(43)
    versions.forEach((version, index) => {
      if (index > 0) expect(compareVersions(version, versions[index - 1])).toBeGreaterThanOrEqual(0)
    })
    const since = (name: string): string | undefined => helperSince(helperNumber(name) ?? 0)
    expect(since('ringbuf_output')).toBe('5.8')
    expect(since('loop')).toBe('5.17')
    expect(since('fib_lookup')).toBe('4.18')
    expect(since('user_ringbuf_drain')).toBe('6.1')
    expect(helperSince(999)).toBeUndefined()
  })

  test('the longest known name of a kernel function counts', () => {
    expect(kfuncSince('bpf_dynptr_from_skb')).toBe('6.4')
    expect(kfuncSince('bpf_dynptr_adjust')).toBe('6.5')
    expect(kfuncSince('someone_elses')).toBe('5.13')
  })

  test('an object says what asks for it', () => {
    const read = (name: string) =>
      readObject(readFileSync(new URL(`../fixtures/objects/${name}.el.o`, import.meta.url)))
    const arena = read('arena')
    const of = (name: string) => minimumKernel(arena, arena.programs.find((p) => p.name === name) ?? arena.programs[0])
    expect(of('add')).toEqual({ version: '6.9', because: ['map type arena', 'arena pointers'] })
    expect(of('throwing')).toEqual({ version: '6.7', because: ['exception callbacks', 'kernel function bpf_throw'] })
    const externs = read('externs')
    expect(minimumKernel(externs, externs.programs[0])).toEqual({
      version: '6.2',
      because: ['kernel function bpf_task_from_pid', 'kernel function bpf_task_release'],
    })
  })
})
