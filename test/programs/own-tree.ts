// Processes of a test's own, and what a tool sees of them.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Snoop } from '../../programs/lib/index.ts'

/** A folder of the test's own, removed at the end. */
export function ownFolder(): { readonly path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'typebpf-tool-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

export interface WaitingChild extends Disposable {
  readonly pid: number
  /** Lets it begin; answers when it has ended. */
  go(): Promise<void>
}

/** A process that does nothing before `go()`: its pid is known before its first event. */
export function waitingChild(command: string, args: readonly string[]): WaitingChild {
  const child: ChildProcess = spawn(command, args, { stdio: ['pipe', 'ignore', 'ignore'] })
  const { pid } = child
  if (pid === undefined) throw new Error(`${command} cannot be started`)
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()))
  return {
    pid,
    go() {
      if (child.stdin?.writable === true) child.stdin.end('go\n')
      return ended
    },
    [Symbol.dispose]: () => {
      child.kill('SIGKILL')
    },
  }
}
/** A shell script that waits for `go()`. */
export const waitingShell = (script: string, ...args: readonly string[]): WaitingChild =>
  waitingChild('sh', ['-c', `read go; ${script}`, 'sh', ...args])
/** A JavaScript program that waits for `go()`. */
export const waitingNode = (script: string, ...args: readonly string[]): WaitingChild =>
  waitingChild(process.execPath, ['-e', `process.stdin.once('data', async () => { ${script} })`, ...args])

/** The events of a source while something happens. */
export async function during<Event>(source: Snoop<Event>, happen: () => Promise<unknown>): Promise<Event[]> {
  const stop = new AbortController()
  const events: Event[] = []
  const reading = (async () => {
    for await (const event of source.events(stop.signal)) events.push(event)
  })()
  await happen()
  stop.abort()
  await reading
  return events
}

/** Ids of the BPF programs that a process holds, as bpftool sees them. */
export function programsOf(pid: number): string[] {
  const text = execFileSync('bpftool', ['prog', 'show', '--json'], { encoding: 'utf8' })
  const rows = JSON.parse(text) as { name?: string; pids?: { pid: number }[] }[]
  return rows.filter(({ pids }) => pids?.some((it) => it.pid === pid)).map(({ name }) => name ?? '')
}

/** Compiles a C program for a test. Frame pointers everywhere: stacks are walked by them. */
export function compileC(folder: string, name: string, source: string): string {
  const file = join(folder, name)
  writeFileSync(`${file}.c`, source)
  const flags = ['-O1', '-fno-omit-frame-pointer', '-fno-optimize-sibling-calls', '-fno-inline']
  const leaf = process.arch === 'x64' ? ['-mno-omit-leaf-frame-pointer'] : []
  execFileSync('gcc', [...flags, ...leaf, '-o', file, `${file}.c`])
  return file
}
