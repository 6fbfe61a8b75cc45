// Processes of a test's own, and what a tool sees of them.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

/** Ids of the BPF programs and links that a process holds. */
export function heldBy(pid: number): { readonly programs: number[]; readonly links: number[] } {
  const texts = readdirSync(`/proc/${pid}/fdinfo`).map((fd) => {
    try {
      return readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')
    } catch {
      // closed meanwhile
      return ''
    }
  })
  const ids = (key: string): number[] =>
    texts.flatMap((text) => {
      const id = new RegExp(`^${key}:\\s*(\\d+)`, 'm').exec(text)
      return id === null ? [] : [Number(id[1])]
    })
  return { links: ids('link_id'), programs: ids('prog_id') }
}
/** Ids of everything of a kind in the kernel, as bpftool sees it; it gives up when one goes while it looks. */
export function bpftoolIds(kind: 'prog' | 'link', tries = 10): number[] {
  try {
    const text = execFileSync('bpftool', [kind, 'show', '--json'], { encoding: 'utf8', stdio: 'pipe' })
    return (JSON.parse(text) as { id: number }[]).map(({ id }) => id)
  } catch (error) {
    if (tries === 0) throw error
    return bpftoolIds(kind, tries - 1)
  }
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
