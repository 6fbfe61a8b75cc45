import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, relative } from 'node:path'
import type { Command } from 'commander'
import { kernelListing } from '../asm/index.ts'
import { bytesToHex } from '../bytes/index.ts'
import { writeObject } from '../elf/index.ts'
import { linkProgram, type ObjectSpec } from '../spec/index.ts'
import { mapTypeName, programTypeName } from '../uapi/index.ts'
import { loadInput } from './load-input.ts'

interface Options {
  readonly output?: string
  readonly show?: boolean
  readonly json?: boolean
}

/** The instructions of a program with the TypeScript lines they come from above them. */
export function showProgram(object: ObjectSpec, name: string): string {
  const image = linkProgram(object, name)
  let last = ''
  const before = (slot: number): string[] => {
    const source = image.sources?.get(slot)
    if (source === undefined) return []
    const line = `; ${(source.text ?? '').trim()} @ ${relative(process.cwd(), source.file)}:${source.line}`
    if (line === last) return []
    last = line
    return [line]
  }
  return kernelListing(image.insns, { before })
}

function summary(object: ObjectSpec): object {
  return {
    name: object.name,
    license: object.license,
    programs: object.programs.map((program) => {
      const { insns } = linkProgram(object, program.name)
      return {
        name: program.name,
        section: program.section,
        type: programTypeName(program.type) ?? program.type,
        instructions: insns.length / 8,
        insns: bytesToHex(insns),
      }
    }),
    maps: object.maps.map(({ name, type, keySize, valueSize, maxEntries }) => ({
      name,
      type: mapTypeName(type) ?? type,
      keySize,
      valueSize,
      maxEntries,
    })),
  }
}

async function build(file: string, options: Options): Promise<void> {
  const object = await loadInput(file)
  const bytes = options.output === undefined ? undefined : writeObject(object)
  if (options.output !== undefined && bytes !== undefined) {
    mkdirSync(dirname(options.output), { recursive: true })
    writeFileSync(options.output, bytes)
  }
  if (options.json) {
    const written = bytes === undefined ? {} : { output: options.output, sizeBytes: bytes.length }
    process.stdout.write(`${JSON.stringify({ ...summary(object), ...written })}\n`)
    return
  }
  for (const program of object.programs) {
    const { insns } = linkProgram(object, program.name)
    process.stdout.write(`${program.name} (${program.section}): ${insns.length / 8} instructions\n`)
    if (options.show) process.stdout.write(`${showProgram(object, program.name)}\n`)
  }
  if (options.output !== undefined) process.stdout.write(`${options.output}: ${bytes?.length} bytes\n`)
}

export function register(program: Command): void {
  program
    .command('build')
    .description('build the programs of a TypeScript module')
    .argument('<module>', 'module that exports programs (.ts, .js) or an object (.o)')
    .option('-o, --output <file>', 'write an object file that libbpf loads')
    .option('--show', 'print the instructions under the TypeScript lines they come from')
    .option('-j, --json', 'print JSON')
    .action(async (file: string, options: Options) => await build(file, options))
}
