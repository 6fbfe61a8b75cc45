import type { AttrLayout } from '../../uapi/index.ts'

/** The values of a C struct described by an {@link AttrLayout}: 4 bytes are numbers, 8 are bigints, 16 are names. */
export type RecordOf<L extends AttrLayout> = {
  readonly [F in keyof L]: L[F] extends readonly [number, 16, ...unknown[]]
    ? string
    : L[F] extends readonly [number, 8, ...unknown[]]
      ? bigint
      : number
}

const utf8 = new TextDecoder()

/** Reads a struct; fields past `size` (an older kernel's shorter struct) are zero. */
export function readRecord<L extends AttrLayout>(layout: L, view: DataView, size: number): RecordOf<L> {
  const record: Record<string, number | bigint | string> = {}
  for (const [name, [offset, width]] of Object.entries(layout)) {
    const there = offset + width <= size
    if (width === 16) {
      const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, 16).slice()
      const end = bytes.indexOf(0)
      record[name] = there ? utf8.decode(bytes.subarray(0, end < 0 ? 16 : end)) : ''
    } else if (width === 8) record[name] = there ? view.getBigUint64(offset, true) : 0n
    else record[name] = there ? view.getUint32(offset, true) : 0
  }
  return record as RecordOf<L>
}
