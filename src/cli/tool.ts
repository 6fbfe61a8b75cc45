import type { Command } from 'commander'
import { listTools, runNamedTool } from './tool/run.ts'

export function register(program: Command): void {
  program.enablePositionalOptions()
  program
    .command('tool')
    .description('run a ready tool: hello, execsnoop, opensnoop, biolatency …')
    .argument('[name]', 'the tool; without it all are listed')
    .argument('[args...]', "the tool's own options and arguments: see typebpf tool NAME --help")
    .option('-l, --list', 'list the tools')
    .option('-j, --json', 'JSON: the list as an array')
    .passThroughOptions()
    .allowUnknownOption()
    .action(async (name: string | undefined, args: readonly string[], options: { list?: boolean; json?: boolean }) => {
      const json = options.json === true
      if (name === undefined || options.list === true) await listTools(json)
      else process.exitCode = await runNamedTool(name, args, json)
    })
}
