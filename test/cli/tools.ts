import { execFileSync, spawnSync } from 'node:child_process'
import { main } from '../../src/cli/main.ts'

export interface Output {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Our command line in this process: what it writes is caught. */
export async function ours(...args: string[]): Promise<Output> {
  const out = { stdout: '', stderr: '' }
  const real = { stdout: process.stdout.write, stderr: process.stderr.write }
  for (const name of ['stdout', 'stderr'] as const)
    process[name].write = ((text: string | Uint8Array) => {
      out[name] += typeof text === 'string' ? text : Buffer.from(text).toString('utf8')
      return true
    }) as typeof process.stdout.write
  try {
    return { status: await main(args), ...out }
  } finally {
    process.stdout.write = real.stdout
    process.stderr.write = real.stderr
    process.exitCode = undefined
  }
}

const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` }

/** bpftool, which must succeed. */
export const theirs = (...args: string[]): string =>
  execFileSync('bpftool', args, { encoding: 'utf8', env, maxBuffer: 1 << 28 })

/** bpftool, whatever it ends with. */
export function theirsAnyhow(...args: string[]): Output {
  const { status, stdout, stderr } = spawnSync('bpftool', args, { encoding: 'utf8', env, maxBuffer: 1 << 28 })
  return { status: status ?? -1, stdout, stderr }
}

/** Any other program of the system. */
export const system = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', env })
