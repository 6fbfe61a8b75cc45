import { writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { CoreRelocation } from '../asm/index.ts'
import { Btf, minimalCoreBtf } from '../btf/index.ts'
import { writeObject } from '../elf/index.ts'
import { linkObjects, type ObjectSpec } from '../spec/index.ts'
import { loadBtf } from './btf-input.ts'
import { loadInput } from './load-input.ts'
import { skeleton } from './skeleton.ts'

function put(path: string | undefined, content: Uint8Array | string): void {
  if (path === undefined) process.stdout.write(content)
  else writeFileSync(path, content)
}

function relocationsOf(object: ObjectSpec): CoreRelocation[] {
  return [...object.programs, ...object.functions].flatMap(({ instructions }) =>
    instructions.flatMap(({ core }) => (core === undefined ? [] : [core])),
  )
}

/** `typebpf gen object|skeleton|min_core_btf`. */
export function register(program: Command): void {
  const gen = program.command('gen').description('make files from objects')
  gen
    .command('object <output> <inputs...>')
    .description('link objects and modules into one object file')
    .option('--big-endian', 'write the object for big-endian machines')
    .action(async (output: string, inputs: string[], options: { bigEndian?: boolean }) => {
      const objects = await Promise.all(inputs.map(loadInput))
      const name = output.replace(/^.*\//, '').replace(/(\.bpf)?\.o$/, '')
      const object = objects.length === 1 ? objects[0] : linkObjects(objects, { name })
      put(output, writeObject(object, options.bigEndian ? { littleEndian: false } : {}))
    })
  gen
    .command('skeleton <file>')
    .description('write a typed TypeScript module that opens, loads and attaches the object')
    .option('-n, --name <name>', "the skeleton's name, default the file's")
    .option('-o, --output <file>', 'write to a file')
    .action(async (file: string, options: { name?: string; output?: string }) => {
      const object = await loadInput(file)
      put(options.output, skeleton(object, options.name ?? object.name))
    })
  gen
    .command('min_core_btf <input> <output> <objects...>')
    .description("write the part of a kernel's BTF that the objects' CO-RE relocations need")
    .action(async (input: string, output: string, files: string[]) => {
      const objects = await Promise.all(files.map(loadInput))
      const parts = objects.flatMap((object) =>
        object.btf === undefined
          ? []
          : [{ btf: new Btf(object.btf, { what: object.name }), relocations: relocationsOf(object) }],
      )
      put(output, minimalCoreBtf(loadBtf(input), parts).toBytes())
    })
}
