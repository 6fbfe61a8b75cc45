import { type AttrLayout, BPF_ATTRS, type BpfCommand } from '../uapi/index.ts'
import { errnoName } from './errno.ts'

let forced: boolean | undefined
let sink: (line: string) => void = (line) => process.stderr.write(line)
const fromEnvironment = process.env['TYPEBPF_TRACE'] === '1'

/** Whether commands are printed: TYPEBPF_TRACE=1, or as a program set it. */
export function tracing(): boolean {
  return forced ?? fromEnvironment
}

/** Turns the trace on or off for this process; `undefined` gives the decision back to TYPEBPF_TRACE. */
export function setTrace(on: boolean | undefined, write?: (line: string) => void): void {
  forced = on
  if (write !== undefined) sink = write
}

const text = new TextDecoder()

/** The fields of union bpf_attr that are not zero, as `name=value`. */
export function decodeAttr(layout: AttrLayout, view: DataView, size: number): string[] {
  const parts: string[] = []
  for (const [name, [offset, width, meaning]] of Object.entries(layout)) {
    if (offset + width > size) continue
    if (width === 16) {
      const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, 16)
      const end = bytes.indexOf(0)
      if (end !== 0) parts.push(`${name}=${JSON.stringify(text.decode(bytes.slice(0, end < 0 ? 16 : end)))}`)
      continue
    }
    const value = width === 4 ? BigInt(view.getUint32(offset, true)) : view.getBigUint64(offset, true)
    // A zero is an absent field, except for the object that the command is about.
    if (value === 0n && !(meaning === 'fd' && offset === 0)) continue
    const hex = meaning === 'address' || meaning === 'hex' || meaning === 'text'
    parts.push(`${name}=${hex ? `0x${value.toString(16)}` : value}`)
  }
  return parts
}

/** One line a command, as strace would print it. */
export function traceCommand(command: BpfCommand, attr: DataView, size: number, result: number): void {
  const fields = decodeAttr(BPF_ATTRS[command], attr, size).join(', ')
  const answer = result < 0 ? `-1 ${errnoName(-result)}` : String(result)
  sink(`bpf(BPF_${command.toUpperCase()}, {${fields}}, ${size}) = ${answer}\n`)
}
