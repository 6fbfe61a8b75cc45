import { dirname } from 'node:path'

const MODE = { folder: 0o040755, file: 0o100755 } as const

/** An archive as the kernel unpacks it at its start (cpio, "newc"): folders of a file come by themselves. */
export class Archive {
  readonly #parts: Uint8Array[] = []
  readonly #folders = new Set(['/', '.'])
  #inode = 1

  /** @param path absolute, as in the guest */
  folder(path: string): this {
    if (this.#folders.has(path)) return this
    this.folder(dirname(path))
    this.#folders.add(path)
    return this.#entry(path, MODE.folder, new Uint8Array(0))
  }

  file(path: string, bytes: Uint8Array | string): this {
    this.folder(dirname(path))
    return this.#entry(path, MODE.file, typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes)
  }

  #entry(path: string, mode: number, bytes: Uint8Array): this {
    const name = path.replace(/^\//, '')
    const fields = [this.#inode++, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length + 1, 0]
    const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`
    this.#parts.push(padded(new TextEncoder().encode(head)), padded(bytes))
    return this
  }

  /** Archives may follow one another: the kernel unpacks all of them. */
  toBytes(): Uint8Array {
    return Buffer.concat([...this.#parts, new Archive().#entry('TRAILER!!!', 0, new Uint8Array(0)).#parts[0]])
  }
}

function padded(bytes: Uint8Array): Uint8Array {
  const rest = bytes.length % 4
  return rest === 0 ? bytes : Buffer.concat([bytes, new Uint8Array(4 - rest)])
}
