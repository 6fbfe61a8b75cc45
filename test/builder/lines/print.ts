import { collectObject } from 'typebpf/spec'
import { marked } from './marked.bpf.ts'

/** "line: text" of every instruction's source line. */
const lines = new Set<string>()
for (const { source } of collectObject({ marked }).programs[0].instructions)
  if (source !== undefined) lines.add(`${source.file.replace(/^.*\//, '')}:${source.line}:${source.text?.trim() ?? ''}`)
console.log(JSON.stringify([...lines]))
