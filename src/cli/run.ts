import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { bytesToHex, hexToBytes } from '../bytes/index.ts'
import { EXIT, InputError, UsageError } from '../errors/index.ts'
import {
  type BackendChoice,
  type Difference,
  DifferenceError,
  FaultError,
  type Harness,
  harness,
  kernelUnavailable,
  LINK_TYPES,
  readCaptureFile,
  requireLinkType,
} from '../progrun/index.ts'
import type { ObjectSpec } from '../spec/index.ts'
import { loadInput } from './load-input.ts'

interface Options {
  readonly program?: string
  readonly backend: string
  readonly dataIn?: string
  readonly ctxIn?: string
  readonly repeat?: string
  readonly trace?: boolean
  readonly json?: boolean
}

/** One input's answer (docs/contracts.md). */
interface Row {
  readonly program: string
  readonly backend: string
  readonly retval?: number
  readonly verdict?: string
  readonly durationNs?: number
  readonly dataOut?: string
  readonly ctxOut?: string
  readonly differences?: readonly Difference[]
  /** Why this input did not run. */
  readonly error?: { readonly code: string; readonly message: string }
}

function bytesOf(text: string, option: string): Uint8Array {
  if (text.startsWith('hex:')) return hexToBytes(text.slice(4), option)
  try {
    return new Uint8Array(readFileSync(text))
  } catch (cause) {
    throw new InputError('input.missing', `${option}: ${text} cannot be read`, { cause })
  }
}

/** The packets of `--data-in`; one run without data where it is absent. */
function inputs(text: string | undefined): (Uint8Array | undefined)[] {
  if (text === undefined) return [undefined]
  if (!text.startsWith('pcap:')) return [bytesOf(text, '--data-in')]
  const path = text.slice(5)
  return requireLinkType(readCaptureFile(path), LINK_TYPES.ethernet, path).packets.map(({ data }) => data)
}

function backendOf(text: string): Exclude<BackendChoice, 'auto'> {
  if (text === 'emulator' || text === 'kernel' || text === 'both') return text
  throw new UsageError('usage.backend', `--backend ${text}: emulator, kernel or both is possible`)
}

function repeatOf(text: string | undefined): number {
  const value = Number(text ?? '1')
  if (Number.isInteger(value) && value >= 1 && value <= 0xffff_ffff) return value
  throw new UsageError('usage.number', `--repeat ${text}: a whole number from 1 is needed`)
}

function runOne(
  t: Harness,
  program: string,
  packet: Uint8Array | undefined,
  ctx: Uint8Array | undefined,
  repeat: number,
): Row {
  try {
    const result = t.run(program, {
      ...(packet === undefined ? {} : { packet }),
      ...(ctx === undefined ? {} : { ctx }),
      ...(repeat === 1 ? {} : { repeat }),
    } as Parameters<Harness['run']>[1])
    const [first] = result.runs
    return {
      program,
      backend: result.runs.length === 2 ? 'both' : first.backend,
      retval: first.retval,
      ...(result.verdict === undefined ? {} : { verdict: result.verdict }),
      durationNs: result.durationNs ?? 0,
      ...(first.data === undefined ? {} : { dataOut: bytesToHex(first.data) }),
      ...(first.context === undefined ? {} : { ctxOut: bytesToHex(first.context) }),
    }
  } catch (error) {
    if (error instanceof DifferenceError) return { program, backend: 'both', differences: error.differences }
    if (error instanceof FaultError)
      return { program, backend: 'emulator', error: { code: error.code, message: error.message } }
    if (error instanceof UsageError && error.code === 'progrun.kernel-refuses')
      return { program, backend: 'kernel', error: { code: error.code, message: error.message } }
    throw error
  }
}

function text(row: Row, number: number, many: boolean): string {
  const where = many ? `${number + 1}: ` : ''
  if (row.error !== undefined) return `${where}not run: ${row.error.message}`
  if (row.differences !== undefined)
    return [
      `${where}emulator and kernel differ`,
      ...row.differences.map(({ what, emulator, kernel }) => `  ${what}: emulator ${emulator}, kernel ${kernel}`),
    ].join('\n')
  const name = row.verdict === undefined ? '' : ` (${row.verdict})`
  return `${where}${row.program}: return value ${row.retval}${name}, ${row.durationNs} ns, ${row.backend}`
}

async function run(file: string, options: Options): Promise<void> {
  const backend = backendOf(options.backend)
  const repeat = repeatOf(options.repeat)
  const packets = inputs(options.dataIn)
  const ctx = options.ctxIn === undefined ? undefined : bytesOf(options.ctxIn, '--ctx-in')
  const object = await loadInput(file)
  const names = object.programs.map(({ name }) => name)
  const program = options.program ?? (names.length === 1 ? names[0] : undefined)
  if (program === undefined || !names.includes(program))
    throw new UsageError(
      'program.unknown',
      program === undefined ? `${file}: say --program, it has several` : `${file}: there is no program ${program}`,
      { details: [`programs: ${names.join(', ')}`] },
    )
  if (options.trace === true) {
    if (backend !== 'emulator')
      throw new UsageError('usage.trace', '--trace shows the emulator: use --backend emulator')
    await printTrace(object, program, packets, ctx, options.json === true)
    return
  }
  if (backend !== 'emulator') {
    const missing = kernelUnavailable()
    if (missing.length > 0) {
      const { SystemError } = await import('../errors/index.ts')
      throw new SystemError('progrun.no-kernel', `--backend ${backend} needs bpf(2)`, { details: missing })
    }
  }
  using t = await harness(object, { backend, programs: [program] })
  const rows = packets.map((packet) => runOne(t, program, packet, ctx, repeat))
  if (options.json === true) process.stdout.write(`${JSON.stringify(rows)}\n`)
  else for (const [index, row] of rows.entries()) process.stdout.write(`${text(row, index, rows.length > 1)}\n`)
  if (rows.some(({ differences, error }) => differences !== undefined || error?.code.startsWith('progrun.fault')))
    process.exitCode = EXIT.no
}

/** Runs each input in the emulator and prints what every instruction did. */
async function printTrace(
  object: ObjectSpec,
  program: string,
  packets: readonly (Uint8Array | undefined)[],
  ctx: Uint8Array | undefined,
  json: boolean,
): Promise<void> {
  const [{ createEmulator }, { linkProgram }, { traceLines }] = await Promise.all([
    import('../emulator/index.ts'),
    import('../spec/index.ts'),
    import('./run-trace.ts'),
  ])
  const images = [linkProgram(object, program)]
  const emulator = createEmulator(images, { maps: object.maps })
  for (const packet of packets) {
    const result = emulator.run({
      trace: true,
      ...(packet === undefined ? {} : { packet }),
      ...(ctx === undefined ? {} : { ctx }),
    })
    const rows = traceLines(images, result)
    if (json)
      process.stdout.write(
        `${JSON.stringify({ program, retval: result.retval, fault: result.fault?.message, trace: rows })}\n`,
      )
    else process.stdout.write(`${rows.join('\n')}\n`)
    if (result.fault !== undefined) process.exitCode = EXIT.no
  }
}

export function register(program: Command): void {
  program
    .command('run')
    .description('run a program on packets or a context: in the emulator, in the kernel (BPF_PROG_RUN), or in both')
    .argument('<file>', 'BPF object (.o) or TypeScript module')
    .option('--program <name>', 'which program, where there are several')
    .option('--backend <name>', 'emulator, kernel or both (exit 1 when they differ)', 'emulator')
    .option('--data-in <input>', 'the packet: a file, hex:…, or pcap:FILE for every packet of a capture')
    .option('--ctx-in <input>', "the context's bytes: a file or hex:…")
    .option('--repeat <n>', 'run it this often; the time is the mean')
    .option('--trace', 'print what every instruction changed, beside the source line (emulator)')
    .option('-j, --json', 'print JSON')
    .action(run)
}
