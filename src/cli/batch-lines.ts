import { BpfError } from '../errors/index.ts'
import { type BatchRequest, batchRequestId, parseBatchRequest } from '../spec/index.ts'

const MAX_LINE = 256 * 1024 * 1024

/**
 * The lines of a byte stream, in groups: those that one chunk completes. A line past the limit is cut (its JSON is then
 * bad, which is answered).
 */
export async function* linesOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<string[]> {
  const decoder = new TextDecoder()
  let parts: string[] = []
  let length = 0
  const push = (text: string): void => {
    if (length < MAX_LINE) parts.push(text)
    length += text.length
  }
  for await (const chunk of input) {
    const text = decoder.decode(chunk, { stream: true })
    const lines: string[] = []
    let start = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      push(text.slice(start, end))
      lines.push(parts.length === 1 ? parts[0] : parts.join(''))
      parts = []
      length = 0
      start = end + 1
    }
    if (start < text.length) push(text.slice(start))
    if (lines.length > 0) yield lines
  }
  const rest = parts.join('') + decoder.decode()
  if (rest !== '') yield [rest]
}

function errorAnswer(id: unknown, error: unknown): object {
  const code = error instanceof BpfError ? error.code : 'internal'
  return { id, error: { code, message: error instanceof Error ? error.message : String(error) } }
}

/** The answer to one line of JSON: never throws, a bad line answers with its error. */
export function answerJsonLine(line: string, answer: (request: unknown) => object): object {
  let request: unknown
  try {
    request = JSON.parse(line)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return { id: null, error: { code: 'batch.json', message } }
  }
  try {
    return answer(request)
  } catch (error) {
    return errorAnswer(batchRequestId(request), error)
  }
}

/** An answer waits at most this long for others of the same chunk. */
const FLUSH_AFTER_MS = 5

/**
 * The loop of every `--batch` command: one answer a line, in order. Answers are written as soon as no further line is
 * there to be answered, and at least every few milliseconds; where the output is full the loop waits for it.
 */
export async function runJsonLines(
  answer: (request: unknown) => object,
  input: AsyncIterable<Uint8Array> = process.stdin,
  output: NodeJS.WritableStream = process.stdout,
): Promise<void> {
  let pending = ''
  let flushed = performance.now()
  const flush = async (): Promise<void> => {
    const text = pending
    pending = ''
    if (text !== '' && !output.write(text))
      await new Promise<void>((resolve) => {
        output.once('drain', () => resolve())
      })
    flushed = performance.now()
  }
  for await (const lines of linesOf(input)) {
    for (const line of lines) {
      if (line.trim() === '') continue
      pending += `${JSON.stringify(answerJsonLine(line, answer))}\n`
      if (performance.now() - flushed > FLUSH_AFTER_MS) await flush()
    }
    await flush()
  }
}

/** {@link runJsonLines} for requests that describe a program: `verify --batch` and `load --batch`. */
export function runBatch(
  answer: (request: BatchRequest) => object,
  input?: AsyncIterable<Uint8Array>,
  output?: NodeJS.WritableStream,
): Promise<void> {
  return runJsonLines(
    (json) => {
      const request = parseBatchRequest(json)
      return { id: request.id, ...answer(request) }
    },
    input,
    output,
  )
}
