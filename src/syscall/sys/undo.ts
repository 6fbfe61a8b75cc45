/** Signals that end a process unless it listens to them. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

const pending = new Set<() => void>()

function undoAll(): void {
  for (const undo of [...pending].reverse()) {
    pending.delete(undo)
    try {
      undo()
    } catch {
      // the process is ending: the others must still be undone
    }
  }
}

/** Whoever else listens to the signal decides about the end of the process, which then undoes. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return
  undoAll()
  unlisten()
  process.kill(process.pid, signal)
}

function listen(): void {
  process.on('exit', undoAll)
  for (const signal of SIGNALS) process.on(signal, onSignal)
}

function unlisten(): void {
  process.off('exit', undoAll)
  for (const signal of SIGNALS) process.off(signal, onSignal)
}

/**
 * Remembers how to take back what would outlive this process (classic tc filters, BPF_PROG_ATTACH): it runs at a normal
 * end, after an exception that nobody caught and at SIGINT, SIGTERM and SIGHUP; not at SIGKILL. The answer runs it now, once.
 */
export function undoAtExit(undo: () => void): () => void {
  if (pending.size === 0) listen()
  pending.add(undo)
  return () => {
    if (!pending.delete(undo)) return
    if (pending.size === 0) unlisten()
    undo()
  }
}
