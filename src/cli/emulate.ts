import { type Command, Option } from 'commander'
import { bytesToHex, hexToBytes } from '../bytes/index.ts'
import { createEmulator, type Engine, type RunResult } from '../emulator/index.ts'
import { InputError, UsageError } from '../errors/index.ts'
import { parseBatchRequest } from '../spec/index.ts'
import { runJsonLines } from './batch-lines.ts'

type Json = Readonly<Record<string, unknown>>

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Hex text of a field, undefined when it is absent. */
function hexField(request: Json, name: string): Uint8Array | undefined {
  const value = request[name]
  if (value === undefined) return undefined
  if (typeof value !== 'string') throw new InputError('batch.request', `${name}: hex text is needed`)
  return hexToBytes(value, name)
}

/** The context: bytes as hex or an object of fields. */
function contextField(request: Json): Uint8Array | Record<string, number | bigint> | undefined {
  const value = request['ctx']
  if (!isObject(value)) return hexField(request, 'ctx')
  const fields: Record<string, number | bigint> = {}
  for (const [name, field] of Object.entries(value)) {
    if (typeof field === 'number' && Number.isInteger(field)) fields[name] = field
    else if (typeof field === 'string' && /^-?(0x[0-9a-fA-F]+|\d+)$/.test(field)) fields[name] = BigInt(field)
    else throw new InputError('batch.request', `ctx.${name}: a whole number is needed`)
  }
  return fields
}

/** What one answer line says of a run. */
export function answerOf(result: RunResult): object {
  const common = { engine: result.engine, ...(result.fallback === undefined ? {} : { fallback: result.fallback }) }
  if (result.fault !== undefined) {
    const { code, message, insn } = result.fault
    return { error: { code: `emulator.${code}`, message, insn }, ...common, steps: result.steps }
  }
  return {
    r0: `0x${result.r0.toString(16)}`,
    ...common,
    steps: result.steps,
    ...(result.retvalName === undefined ? {} : { retvalName: result.retvalName }),
    ...(result.packet === undefined ? {} : { packet: bytesToHex(result.packet) }),
    ...(result.findings.length === 0
      ? {}
      : { findings: result.findings.map(({ code, message, insn }) => ({ code, message, insn })) }),
    ...(result.printk.length === 0 ? {} : { printk: result.printk }),
    ...(result.events.length === 0
      ? {}
      : { events: result.events.map(({ kind, map, data }) => ({ kind, map, data: bytesToHex(data) })) }),
  }
}

/** One line of `emulate --batch` (docs/contracts.md). */
export function emulateRequest(request: unknown, engine?: Engine | 'auto'): object {
  if (!isObject(request)) throw new InputError('batch.request', 'request: an object is needed')
  const { id, image } = parseBatchRequest({ type: 'unspec', ...request })
  const mem = hexField(request, 'mem') ?? (request['type'] === undefined ? new Uint8Array(0) : undefined)
  const emulator = createEmulator(image, {
    engine: engine ?? 'auto',
    sanitizer: { uninitialisedStack: 'report', unreleasedReference: 'report', useAfterFree: 'report' },
  })
  const result = emulator.run({
    ...(mem === undefined ? { packet: hexField(request, 'packet'), ctx: contextField(request) } : { mem }),
  })
  const maps = emulator.maps.map((map) => ({
    name: map.name,
    entries: map.entries().map(({ key, values }) => [bytesToHex(key), ...values.map((value) => bytesToHex(value))]),
  }))
  return { id, ...answerOf(result), ...(request['maps'] === undefined ? {} : { maps }) }
}

export function register(program: Command): void {
  program
    .command('emulate')
    .description('run programs in the emulator, without a kernel')
    .option('--batch', 'read one JSON request a line on standard input, answer one a line')
    .addOption(new Option('--engine <engine>', 'which engine runs them').choices(['auto', 'interpreter', 'wasm']))
    .option('-j, --json', 'print JSON (batches always do)')
    .action(async (options: { batch?: boolean; engine?: Engine | 'auto' }) => {
      if (options.batch !== true)
        throw new UsageError('usage.batch', 'emulate reads JSON Lines: use --batch', {
          details: ['objects and modules: typebpf run FILE --backend emulator'],
        })
      await runJsonLines((request) => emulateRequest(request, options.engine))
    })
}
