import { type Command, Option } from 'commander'
import { hexToBytes } from '../bytes/index.ts'
import { CONFORMANCE_HELPERS, createEmulator, type Engine, type RunResult } from '../emulator/index.ts'
import { NegativeError } from '../errors/index.ts'

/**
 * One program of the public bpf_conformance protocol: plain memory at r1, its length in r2, helpers as the protocol's plugins have
 * them, results rather than sanitizer verdicts.
 */
export function runConformance(insns: Uint8Array, mem: Uint8Array, engine?: Engine): RunResult {
  const emulator = createEmulator(
    { name: 'vector', type: 0, expectedAttachType: 0, insns, license: 'GPL', flags: 0, maps: [], relocations: [] },
    {
      engine: engine ?? 'interpreter',
      helperNumbers: CONFORMANCE_HELPERS,
      sanitizer: { uninitialisedStack: 'off', unreleasedReference: 'off' },
    },
  )
  return emulator.run({ mem })
}

async function readAll(input: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of input) text += decoder.decode(chunk, { stream: true })
  return text + decoder.decode()
}

export function register(program: Command): void {
  program
    .command('conformance-plugin')
    .description(
      'run one program of the bpf_conformance protocol: memory in hex, program bytes in hex on standard input',
    )
    .argument('[mem...]', 'memory as hex')
    .addOption(new Option('--engine <engine>', 'which engine runs it').choices(['interpreter', 'wasm']))
    .option('--program <hex>', 'the program bytes, instead of standard input')
    .option('-j, --json', 'print JSON')
    .action(async (mem: string[], options: { engine?: Engine; program?: string; json?: boolean }) => {
      const insns = hexToBytes(options.program ?? (await readAll(process.stdin)), 'the program')
      const result = runConformance(insns, hexToBytes(mem.join(''), 'the memory'), options.engine)
      if (result.fault !== undefined)
        throw new NegativeError(`emulator.${result.fault.code}`, `insn ${result.fault.insn}: ${result.fault.message}`)
      const r0 = result.r0.toString(16)
      process.stdout.write(
        options.json === true ? `${JSON.stringify({ r0: `0x${r0}`, engine: result.engine })}\n` : `${r0}\n`,
      )
    })
}
