// `typebpf tool …` as a process, in a network namespace of a test.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Netns } from './netns.ts'

const bin = fileURLToPath(new URL('../../src/cli/bin.ts', import.meta.url))
export const COMMAND = ['--conditions=typebpf-source', '--import', import.meta.resolve('tsx'), bin, 'tool'] as const

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}
export interface RunningTool {
  readonly pid: number
  /** Waits until the tool has said this on either stream. @throws Error with what it said instead */
  said(what: RegExp): Promise<void>
  /** Ctrl-C or another signal, and what came of it. */
  interrupt(signal?: NodeJS.Signals): Promise<Ended>
  /** Reads its output no more, as `head` does, and what came of it. */
  closeOutput(): Promise<Ended>
  end(): Promise<Ended>
}

export function startTool(netns: Netns | undefined, args: readonly string[]): RunningTool {
  const start = () => spawn(process.execPath, [...COMMAND, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const child = netns === undefined ? start() : netns.run(start)
  let [out, err] = ['', '']
  child.stdout.on('data', (data) => {
    out += data
  })
  child.stderr.on('data', (data) => {
    err += data
  })
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => resolve({ code, out, err }))
  })
  return {
    pid: child.pid ?? 0,
    async said(what) {
      for (let tries = 0; tries < 900; tries++) {
        if (what.test(out) || what.test(err)) return
        if (child.exitCode !== null) break
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      child.kill('SIGKILL')
      throw new Error(`the tool did not say ${what}; it said:\n${out}${err}`)
    },
    interrupt(signal = 'SIGINT') {
      child.kill(signal)
      return ended
    },
    closeOutput() {
      child.stdout.destroy()
      return ended
    },
    end: () => ended,
  }
}
