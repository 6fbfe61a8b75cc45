import { tracePipe } from 'typebpf/kernel'
import { Session, type Tool } from '../lib/index.ts'
import * as program from './hello.bpf.ts'

export const tool: Tool = {
  options: [],
  examples: ['hello', 'hello --duration 5'],
  async run({ out, signal }) {
    using session = new Session(program, { name: 'hello' })
    out.note('Tracing execve... Hit Ctrl-C to end.')
    for await (const line of tracePipe({ tracefs: session.tracefs, signal }))
      if (line.message.startsWith('hello, world')) out.value(line, () => `${line.task}-${line.pid} ${line.message}`)
  },
}
