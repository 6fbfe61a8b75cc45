import { reported } from './loaded.ts'
import { runNamedTool } from './run.ts'

/** `typebpf tool NAME …` without the rest of the command line; the answer is the exit code. */
export function main([, name, ...args]: readonly string[]): Promise<number> {
  return reported(args, () => runNamedTool(name, args, false))
}
