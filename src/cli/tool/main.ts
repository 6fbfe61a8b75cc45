import { debugStack, failureOf, failureText } from '../words/report.ts'
import { runNamedTool } from './run.ts'

/** `typebpf tool NAME …` without the rest of the command line; the answer is the exit code. */
export async function main([, name, ...args]: readonly string[]): Promise<number> {
  try {
    return await runNamedTool(name, args, false)
  } catch (error) {
    const failure = failureOf(error)
    const { code, message, details, exitCode } = failure
    if (args.includes('--json') || args.includes('-j'))
      process.stdout.write(`${JSON.stringify({ error: { code, message, details } })}\n`)
    else process.stderr.write(failureText(failure))
    debugStack(error)
    return exitCode
  }
}
