import { readdirSync } from 'node:fs'
import { SystemError, UsageError } from '../errors/index.ts'
import { queryTaskFd, realSys, type TaskFd } from '../syscall/index.ts'
import type { Json } from './objects/json.ts'
import { printJson } from './objects/options.ts'
import type { Context } from './words/noun.ts'
import { print } from './words/output.ts'

const EPERM = 1

interface Row {
  readonly pid: number
  readonly fd: number
  readonly task: TaskFd
}

const numbers = (folder: string): number[] => {
  try {
    return readdirSync(folder)
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .sort((a, b) => a - b)
  } catch {
    return [] // the process ended, or is somebody else's
  }
}

const isTracepoint = ({ kind }: TaskFd): boolean => kind === 'raw_tracepoint' || kind === 'tracepoint'

/** The place as JSON: a tracepoint's name, a function or an address, a file. */
function place(task: TaskFd): { readonly [key: string]: Json } {
  if (isTracepoint(task)) return { tracepoint: task.name }
  if (task.kind === 'uprobe' || task.kind === 'uretprobe') return { filename: task.name, offset: task.offset }
  return task.name === '' ? { addr: task.address } : { func: task.name, offset: task.offset }
}

const rowJson = ({ pid, fd, task }: Row): Json => ({
  pid,
  fd,
  prog_id: task.programId,
  fd_type: task.kind,
  ...place(task),
})

function rowText({ pid, fd, task }: Row): string {
  const where = isTracepoint(task)
    ? task.name
    : Object.entries(place(task))
        .map(([key, value]) => `${key} ${String(value)}`)
        .join('  ')
  return `pid ${pid}  fd ${fd}: prog_id ${task.programId}  ${task.kind}  ${where}\n`
}

/** `perf show`: BPF_TASK_FD_QUERY of every open file of every process. */
export function show(words: readonly string[], context: Context): void {
  if (words.length > 0) throw new UsageError('cli.words', `nothing is expected behind perf show: ${words.join(' ')}`)
  const sys = realSys()
  const rows: Row[] = []
  let denied: SystemError | undefined
  let answered = false
  for (const pid of numbers('/proc'))
    for (const fd of numbers(`/proc/${pid}/fd`)) {
      try {
        const task = queryTaskFd(sys, pid, fd)
        answered = true
        if (task.kind !== undefined) rows.push({ pid, fd, task })
      } catch (error) {
        // nearly every file is something else; without privilege none may be asked about
        if (!(error instanceof SystemError)) throw error
        if (error.errno === EPERM) denied ??= error
        else answered = true
      }
    }
  if (denied !== undefined && !answered) throw denied
  if (context.json === true) printJson(rows.map(rowJson), context)
  else print(rows.map(rowText).join(''))
}
