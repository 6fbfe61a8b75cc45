// What the package's build leaves of a tool: definitions without the builder, and one file that runs.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { TOOLS } from '../../programs/tools.ts'
import { layoutOf, type Type } from '../../src/builder/index.ts'
import { decode, encode } from '../../src/layout/index.ts'

const root = new URL('../../', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'typebpf-bundle-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Definitions = Readonly<Record<string, unknown>>
interface MapDefinition {
  readonly spec: object
  readonly scale?: { readonly slots: number }
  decode(counts: readonly number[], options?: object): unknown
}
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
const isType = (value: unknown): value is Type => isObject(value) && 'kind' in value && 'align' in value
const isMap = (value: unknown): value is MapDefinition => isObject(value) && 'spec' in value

/** Types of a definition, and of its keys, values and records. */
const typesOf = (value: unknown): readonly (readonly [string, Type])[] =>
  isType(value)
    ? [['', value]]
    : !isObject(value)
      ? []
      : ['keyType', 'valueType', 'recordType', 'type'].flatMap((key): (readonly [string, Type])[] => {
          const type = (value as Definitions)[key]
          return type === undefined || typeof type === 'string' ? [] : [[key, type as Type]]
        })
/** Bytes that are valid in every type. */
const sample = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => i % 2)

async function definitionsOf(module: object, name: string): Promise<Definitions> {
  const script = (await import(join(root, 'scripts/tool-definitions.mjs'))) as {
    definitionsOf: (module: object, slots: string) => string
  }
  const file = join(folder, `${name}.mjs`)
  writeFileSync(file, script.definitionsOf(module, join(root, 'src/builder/maps/slots.ts')))
  return (await import(file)) as Definitions
}

describe.each(TOOLS.map(({ name }) => name))('%s', (name) => {
  test('has the same maps, layouts and names in its bundle as in its source', async () => {
    const source = (await import(join(root, `programs/${name}/${name}.bpf.ts`))) as Definitions
    const built = await definitionsOf(source, name)
    for (const [key, value] of Object.entries(source)) {
      const other = built[key]
      if (isMap(value)) expect((other as MapDefinition).spec, key).toEqual(value.spec)
      if (isMap(value) && value.scale !== undefined) {
        const counts = Array.from({ length: value.scale.slots }, (_, i) => i % 3)
        expect((other as MapDefinition).decode(counts, { all: true })).toEqual(value.decode(counts, { all: true }))
        expect((other as MapDefinition).decode(counts)).toEqual(value.decode(counts))
      }
      if (isObject(value) && 'shape' in value && 'name' in value) expect(other).toMatchObject({ name: value.name })
      const types = typesOf(value)
      expect(typesOf(other)).toHaveLength(types.length)
      for (const [at, type] of types) {
        const [theirs, ours] = [layoutOf(type), layoutOf(typesOf(other).find(([where]) => where === at)?.[1] as Type)]
        const values = decode(theirs as never, sample(theirs.size))
        expect(decode(ours as never, sample(theirs.size)), `${key} ${at}`).toEqual(values)
        expect(encode(ours as never, values as never, 'little')).toEqual(
          encode(theirs as never, values as never, 'little'),
        )
      }
    }
  })
})

const built = join(root, 'dist/programs/bundle/package.json')
test('every tool of a built package answers --help from one file', (context) => {
  if (!existsSync(built)) context.skip('needs a built package: npm run build')
  for (const { name, kernel } of TOOLS) {
    const { stdout, status } = spawnSync(
      process.execPath,
      [join(root, 'dist/src/cli/bin.js'), 'tool', name, '--help'],
      { encoding: 'utf8' },
    )
    expect(stdout).toContain(`Usage: typebpf tool ${name}`)
    expect(stdout).toContain(`Needs Linux ${kernel}`)
    expect(status).toBe(0)
  }
}, 60_000)
