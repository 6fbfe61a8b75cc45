/** The elements of an array map as one piece of memory, so that large arrays are compared at the speed of memcmp. */
export interface ArrayImage {
  /** May be the map's own memory: it changes with the next run. */
  readonly bytes: Uint8Array
  /** From element to element. */
  readonly stride: number
  /** Values of one element: 1, or the number of CPUs. */
  readonly copies: number
  /** From CPU to CPU; more than the whole array where each CPU has an array of its own. */
  readonly cpuStride: number
}

/** An element's value, of per-CPU arrays one a CPU. Views, not copies. */
export function elementOf(image: ArrayImage, index: number, size: number): Uint8Array[] {
  return Array.from({ length: image.copies }, (_, cpu) => {
    const at = index * image.stride + cpu * image.cpuStride
    return image.bytes.subarray(at, at + size)
  })
}

/** Smaller ranges are not halved any more. */
const LEAF = 64

/** Adds the elements whose bytes are different from what they were; some neighbours may be among them. */
function addChanged(before: Uint8Array, image: ArrayImage, found: Set<number>): void {
  const { bytes, stride, cpuStride } = image
  const perCpu = cpuStride > stride ? cpuStride : bytes.length
  const visit = (from: number, to: number): void => {
    if (Buffer.compare(before.subarray(from, to), bytes.subarray(from, to)) === 0) return
    if (to - from > LEAF) {
      const middle = (from + to) >> 1
      visit(from, middle)
      visit(middle, to)
      return
    }
    for (let at = from; at < to; at++) if (before[at] !== bytes[at]) found.add(Math.floor((at % perCpu) / stride))
  }
  if (bytes.length > 0) visit(0, bytes.length)
}

/**
 * Remembers two images that were equal in meaning and tells which elements of either have changed since: only those can have
 * become different.
 */
export class ArrayWatch {
  #before: readonly [Uint8Array, Uint8Array] | undefined

  /** Elements that must be looked at, in order. */
  changed(left: ArrayImage, right: ArrayImage): number[] {
    const [first, second] = this.#before ?? [new Uint8Array(left.bytes.length), new Uint8Array(right.bytes.length)]
    const found = new Set<number>()
    addChanged(first, left, found)
    addChanged(second, right, found)
    return [...found].sort((a, b) => a - b)
  }

  /** Both are equal in meaning now. */
  settle(left: ArrayImage, right: ArrayImage): void {
    this.#before = [left.bytes.slice(), right.bytes.slice()]
  }
}
