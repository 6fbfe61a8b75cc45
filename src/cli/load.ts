import type { Command } from 'commander'
import { UsageError } from '../errors/index.ts'
import { createJudge } from '../syscall/index.ts'
import { runBatch } from './batch-lines.ts'

/** `load --batch`: JSON Lines in, the running kernel's verdicts out. */
async function loadBatch(): Promise<void> {
  const judge = createJudge()
  await runBatch(({ image, logLevel }) => judge.judge(image, { logLevel }))
}

export function register(program: Command): void {
  program
    .command('load')
    .description('load programs into the running kernel and say what its verifier answers')
    .argument('[file]', 'BPF object (.o) or TypeScript module')
    .option('--program <name>', 'only this program')
    .option('--pin <dir>', 'pin what was loaded below this directory of a BPF file system')
    .option('--batch', 'read one JSON request a line on standard input, answer one a line')
    .option('-j, --json', 'print JSON')
    .action(async (file: string | undefined, options: { batch?: boolean }) => {
      if (options.batch === true) return await loadBatch()
      if (file === undefined) throw new UsageError('usage.file', 'an object or a module is needed (or --batch)')
      throw new UsageError('usage.unsupported', 'loading files is not there yet: use --batch')
    })
}
