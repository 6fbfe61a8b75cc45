import type { Command } from 'commander'
import { slotsOf } from '../asm/index.ts'
import { btfKinds, findProgram, linkProgram, minimumKernel, type ObjectSpec, type ProgramSpec } from '../spec/index.ts'
import { attachTypeName, mapTypeName, programTypeName } from '../uapi/index.ts'
import { loadInput } from './load-input.ts'

interface ProgramReport {
  readonly name: string
  readonly section: string
  readonly type: string
  readonly attachType?: string
  readonly attachTo?: string
  /** Slots with the functions it calls; null with `error`. */
  readonly instructions: number | null
  readonly functions: readonly string[]
  readonly maps: readonly string[]
  readonly coreRelocations: number
  readonly lines: number
  readonly minimumKernel: string
  readonly because: readonly string[]
  readonly error?: string
}

function reportProgram(object: ObjectSpec, program: ProgramSpec): ProgramReport {
  const reached = reachable(object, program)
  const all = reached.flatMap(({ instructions }) => instructions)
  const { version, because } = minimumKernel(object, program)
  let instructions: number | null = null
  let error: string | undefined
  try {
    instructions = linkProgram(object, program.name).insns.length / 8
  } catch (reason) {
    error = reason instanceof Error ? reason.message : String(reason)
  }
  const maps = all.flatMap(({ reference }) =>
    reference?.kind === 'map' || reference?.kind === 'mapValue'
      ? [reference.name]
      : reference?.kind === 'kconfig'
        ? ['.kconfig']
        : [],
  )
  const attachType = attachTypeName(program.expectedAttachType)
  return {
    name: program.name,
    section: program.section,
    type: programTypeName(program.type) ?? 'unknown',
    ...(program.expectedAttachType !== 0 && attachType !== undefined ? { attachType } : {}),
    ...(program.attachTo === undefined ? {} : { attachTo: program.attachTo.name }),
    instructions,
    functions: reached.slice(1).map(({ name }) => name),
    maps: [...new Set(maps)],
    coreRelocations: all.filter(({ core }) => core !== undefined).length,
    lines: new Set(all.flatMap(({ source }) => (source === undefined ? [] : [`${source.file}:${source.line}`]))).size,
    minimumKernel: version,
    because,
    ...(error === undefined ? {} : { error }),
  }
}

/** The program and the functions that it calls, in order of their first call. */
function reachable(object: ObjectSpec, program: ProgramSpec) {
  const found = [findProgram(object, program.name) as ProgramSpec | ObjectSpec['functions'][number]]
  const seen = new Set([program.name])
  for (const spec of found)
    for (const { reference } of spec.instructions) {
      if (reference?.kind !== 'function' || seen.has(reference.name)) continue
      seen.add(reference.name)
      const callee = object.functions.find(({ name }) => name === reference.name)
      if (callee !== undefined) found.push(callee)
    }
  return found
}

function reportObject(object: ObjectSpec) {
  return {
    name: object.name,
    byteOrder: object.littleEndian ? 'little' : 'big',
    license: object.license,
    programs: object.programs.map((program) => reportProgram(object, program)),
    functions: object.functions.map(({ name, linkage, instructions }) => ({
      name,
      linkage,
      instructions: instructions.reduce((sum, instruction) => sum + slotsOf(instruction), 0),
    })),
    maps: object.maps.map((map) => ({
      name: map.name,
      type: mapTypeName(map.type) ?? String(map.type),
      keySize: map.keySize,
      valueSize: map.valueSize,
      maxEntries: map.maxEntries,
      flags: map.flags,
      ...(map.pinning === undefined ? {} : { pinning: map.pinning }),
      ...(map.inner === undefined ? {} : { inner: mapTypeName(map.inner.type) ?? String(map.inner.type) }),
    })),
    variables: object.variables.map(({ typeId: _, ...variable }) => variable),
    externs: object.externs.map(({ name, kind, weak }) => ({ name, kind, weak })),
    btf: btfKinds(object),
  }
}

/** Columns as wide as their widest cell. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  return rows
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column])).join('  ')}`.trimEnd())
    .join('\n')
}

function render(report: ReturnType<typeof reportObject>): string {
  const out = [`${report.name}: ${report.byteOrder} endian, license ${report.license === '' ? 'none' : report.license}`]
  const part = (title: string, head: readonly string[], rows: readonly (readonly string[])[]): void => {
    if (rows.length > 0) out.push('', title, table([head, ...rows]))
  }
  part(
    'Programs',
    ['name', 'section', 'type', 'insns', 'core', 'kernel', 'maps'],
    report.programs.map((p) => [
      p.name,
      p.section,
      p.type,
      p.instructions === null ? '-' : String(p.instructions),
      String(p.coreRelocations),
      `≥ ${p.minimumKernel}`,
      p.maps.join(' '),
    ]),
  )
  for (const { name, error, minimumKernel: version, because } of report.programs) {
    if (because.length > 0) out.push(`  ${name}: ${version} for ${because.join(', ')}`)
    if (error !== undefined) out.push(`  ${name}: ${error}`)
  }
  part(
    'Functions',
    ['name', 'linkage', 'insns'],
    report.functions.map((f) => [f.name, f.linkage, String(f.instructions)]),
  )
  part(
    'Maps',
    ['name', 'type', 'key', 'value', 'entries', 'flags'],
    report.maps.map((m) => [
      m.name,
      m.type,
      String(m.keySize),
      String(m.valueSize),
      String(m.maxEntries),
      `0x${m.flags.toString(16)}`,
    ]),
  )
  part(
    'Globals',
    ['name', 'section', 'offset', 'size', 'linkage'],
    report.variables.map((v) => [v.name, v.section, String(v.offset), String(v.size), v.linkage]),
  )
  part(
    'Externs',
    ['name', 'kind', 'strength'],
    report.externs.map((e) => [e.name, e.kind, e.weak ? 'weak' : 'strong']),
  )
  const kinds = Object.entries(report.btf)
  if (kinds.length > 0) out.push('', `BTF: ${kinds.map(([kind, count]) => `${count} ${kind}`).join(', ')}`)
  return `${out.join('\n')}\n`
}

/** `typebpf inspect FILE`: what an object or a module holds. */
export function register(program: Command): void {
  program
    .command('inspect <file>')
    .description('show what an object file or a module holds: programs, functions, maps, globals, externs, types')
    .option('-j, --json', 'as JSON')
    .action(async (file: string, options: { json?: boolean }) => {
      const report = reportObject(await loadInput(file))
      process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : render(report))
    })
}
