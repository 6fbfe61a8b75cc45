import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { type TestFunction, test } from 'vitest'

/**
 * What a test may need besides Node. A test names its needs with {@link testWith}; where a need is not met the test is
 * reported as not run with the reason, where it is met the test runs: nobody can skip by hand.
 */
export type Need = 'linux' | 'bpf' | 'corpora' | `program:${string}`

export const corporaFolder: string =
  process.env['TYPEBPF_CORPORA'] ?? new URL('../../shared/corpora', import.meta.url).pathname

const answers = new Map<Need, string | undefined>()

function hasProgram(name: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`], {
      stdio: 'ignore',
      env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
    })
    return true
  } catch {
    return false
  }
}

function effectiveCapabilities(): bigint {
  const status = execFileSync('cat', ['/proc/self/status'], { encoding: 'utf8' })
  return BigInt(`0x${/CapEff:\s*([0-9a-f]+)/.exec(status)?.[1] ?? '0'}`)
}

const CAP_SYS_ADMIN = 21n
const CAP_BPF = 39n

function check(need: Need): string | undefined {
  if (need === 'linux') return process.platform === 'linux' ? undefined : 'needs Linux'
  if (need === 'bpf') {
    if (process.platform !== 'linux') return 'needs Linux and bpf(2)'
    const caps = effectiveCapabilities()
    return ((caps >> CAP_BPF) & 1n) === 1n || ((caps >> CAP_SYS_ADMIN) & 1n) === 1n
      ? undefined
      : 'needs bpf(2): CAP_BPF or root'
  }
  if (need === 'corpora')
    return existsSync(`${corporaFolder}/programs.jsonl`) ? undefined : 'needs the corpora (TYPEBPF_CORPORA)'
  const name = need.slice('program:'.length)
  return hasProgram(name) ? undefined : `needs the program ${name}`
}

/** Why a need is not met, undefined when it is. */
export function unmet(...needs: readonly Need[]): string | undefined {
  for (const need of needs) {
    if (!answers.has(need)) answers.set(need, check(need))
    const answer = answers.get(need)
    if (answer !== undefined) return answer
  }
  return undefined
}

/** `test` for a test with needs: `testWith('bpf', 'program:bpftool')('loads', () => …)`. */
export function testWith(...needs: readonly Need[]): (name: string, run: TestFunction, timeout?: number) => void {
  return (name, run, timeout) =>
    test(
      name,
      (context) => {
        const reason = unmet(...needs)
        if (reason !== undefined) context.skip(reason)
        return run(context)
      },
      timeout,
    )
}
