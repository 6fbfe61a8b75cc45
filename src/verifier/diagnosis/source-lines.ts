import type { SourceLocation } from '../../asm/index.ts'
import { Btf } from '../../btf/index.ts'
import type { ProgramImage } from '../../spec/index.ts'

const RECORD_BYTES = 16

/** The user's line of each slot that starts one: from the image's `sources`, else from its BTF line info. */
export function sourcesOf(image: ProgramImage): ReadonlyMap<number, SourceLocation> {
  if (image.sources !== undefined && image.sources.size > 0) return image.sources
  const { btf, lineInfo } = image
  const sources = new Map<number, SourceLocation>()
  if (btf === undefined || lineInfo === undefined || lineInfo.length % RECORD_BYTES !== 0) return sources
  try {
    const types = new Btf(btf)
    const view = new DataView(lineInfo.buffer, lineInfo.byteOffset, lineInfo.byteLength)
    for (let at = 0; at < lineInfo.length; at += RECORD_BYTES) {
      const place = view.getUint32(at + 12, types.littleEndian)
      sources.set(view.getUint32(at, types.littleEndian), {
        file: types.string(view.getUint32(at + 4, types.littleEndian)),
        text: types.string(view.getUint32(at + 8, types.littleEndian)).trimEnd(),
        line: place >>> 10,
        column: place & 0x3ff,
      })
    }
  } catch {
    // Broken line info is the verifier's business; a diagnosis then has no lines.
  }
  return sources
}

/** The line that slot `insn` belongs to: its own, or the nearest one before it in the same program. */
export function sourceAt(sources: ReadonlyMap<number, SourceLocation>, insn: number): SourceLocation | undefined {
  for (let slot = insn; slot >= 0; slot--) {
    const found = sources.get(slot)
    if (found !== undefined) return found
  }
  return undefined
}

/** A source line with its place and a caret under the column, for people. */
export function excerpt(source: SourceLocation): string {
  const place = `${source.file}:${source.line}${source.column > 0 ? `:${source.column}` : ''}`
  if (source.text === undefined || source.text === '') return place
  const number = String(source.line)
  const indent = source.text.length - source.text.trimStart().length
  // Columns count the original line; text from BTF is often without its indentation.
  const column = Math.max(source.column - 1, indent)
  const caret = column < source.text.length ? column : indent
  return `${place}\n${number} | ${source.text}\n${' '.repeat(number.length)} | ${' '.repeat(caret)}^`
}
