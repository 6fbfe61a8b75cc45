import { writeSync } from 'node:fs'

type Sink = (text: string | Uint8Array) => void

/** Where output goes. Bundled commands have copies of this module: what they share is kept on the process. */
const SINK = Symbol.for('typebpf.sink')
const shared = process as { [SINK]?: Sink }

/** All of `text` to an fd, waiting where a pipe is full. A reader that has gone ends the process quietly. */
function writeAll(fd: number, text: string | Uint8Array): void {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EPIPE') process.exit(0)
      if (code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}

/** From now on output goes straight to the file descriptor: `process.stdout` is a stream that takes long to make. */
export function printToDescriptor(): void {
  shared[SINK] = (text) => writeAll(1, text)
}

/** Text or bytes to standard output. */
export function print(text: string | Uint8Array): void {
  const sink = shared[SINK]
  if (sink === undefined) process.stdout.write(text)
  else sink(text)
}
