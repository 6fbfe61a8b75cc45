import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { loadInput } from '../../src/cli/load-input.ts'
import { readObject } from '../../src/elf/index.ts'
import { BpfError, InputError } from '../../src/errors/index.ts'
import { linkProgram } from '../../src/spec/index.ts'

const object = readFileSync(new URL('../fixtures/objects/counter.el.o', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'typebpf-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const put = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

async function refusal(path: string): Promise<string> {
  const error = await loadInput(path).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(BpfError)
  const { code, message, exitCode } = error as BpfError
  expect(exitCode).toBe(2)
  expect(message.split('\n')).toHaveLength(1)
  return `${code} ${message.replaceAll(`${folder}/`, '')}`
}

describe('what cannot be loaded says why in one line', () => {
  test('files', async () => {
    expect(await refusal(join(folder, 'absent.o'))).toBe('input.missing absent.o: there is no such file')
    expect(await refusal(folder)).toMatch(/^input\.missing .*: it is no file$/)
    expect(await refusal(put('text.o', 'hello'))).toMatch(/^input\.kind text\.o: neither an ELF object nor a module/)
    expect(await refusal(put('short.o', object.subarray(0, 40)))).toMatch(/^elf\.truncated short\.o: 40 bytes/)
    expect(await refusal(put('half.o', object.subarray(0, 4000)))).toMatch(/^elf\.(truncated|section) half\.o: /)
    expect(await refusal('/proc/self/exe')).toMatch(/^elf\.type .*: ELF type \d is no relocatable object/)
  })

  test('modules', async () => {
    expect(await refusal(put('nothing.mjs', 'export const x = 1'))).toBe(
      'module.no-program nothing: the module exports no program',
    )
    expect(await refusal(put('broken.mjs', 'export const ='))).toMatch(
      /^module\.failed broken\.mjs: the module does not load: /,
    )
    expect(await refusal(put('throws.ts', 'throw new Error("no \\n good")'))).toMatch(
      /^module\.failed throws\.ts: .*Error: no $/,
    )
  })

  test('an unknown program names the known ones', () => {
    expect(() => linkProgram(readObject(object, { name: 'counter' }), 'nope')).toThrow(
      'counter has no program "nope"; it has tail, count, optional',
    )
  })
})

test('every truncation of an object is refused with a typed error', () => {
  for (let length = 0; length < object.length; length += 13) {
    try {
      readObject(object.subarray(0, length))
      expect.unreachable(`${length} bytes were accepted`)
    } catch (error) {
      expect(error, `${length} bytes`).toBeInstanceOf(InputError)
    }
  }
})
