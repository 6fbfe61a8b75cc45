import type { Block, Sys } from './sys.ts'

const encoder = new TextEncoder()

/** Text with its NUL in memory that the kernel can read; free it, or `using`. */
export function cString(sys: Sys, text: string): Block {
  const bytes = encoder.encode(text)
  const block = sys.alloc(bytes.length + 1)
  block.bytes.set(bytes)
  return block
}

/** Texts with their NULs and a list of their addresses, as char ** wants them. */
export function cStrings(sys: Sys, texts: readonly string[]): Block {
  const encoded = texts.map((text) => encoder.encode(text))
  const block = sys.alloc(8 * texts.length + encoded.reduce((total, { length }) => total + length + 1, 0))
  let at = 8 * texts.length
  encoded.forEach((bytes, index) => {
    block.view.setBigUint64(8 * index, BigInt(block.address + at), true)
    block.bytes.set(bytes, at)
    at += bytes.length + 1
  })
  return block
}
