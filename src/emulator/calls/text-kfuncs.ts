import { ERRNO } from '../../uapi/index.ts'
import { findMemory } from '../fake-memory.ts'
import type { Machine } from '../machine.ts'
import { kernelFault } from './probe-calls.ts'
import type { HelperFunction, HelperTable } from './table.ts'

/** XATTR_SIZE_MAX: longer texts are refused. */
const MAX_BYTES = 65_536

class Unreadable extends Error {
  readonly errno: number
  constructor(errno: number) {
    super(`errno ${errno}`)
    this.errno = errno
  }
}

/** The characters of a text in kernel memory, signed as they are on x86; found when they are asked for. */
type Text = (index: number) => number
function textOf(m: Machine, register: number): Text {
  const address = m.get64(register)
  const read = (index: number): number | undefined => {
    const at = findMemory(m, address + BigInt(index), 1)
    return at === undefined ? undefined : m.memory.view.getInt8(at)
  }
  if (read(0) === undefined) throw new Unreadable(kernelFault(address))
  return (index) => read(index) ?? unreadable()
}
function unreadable(): never {
  throw new Unreadable(ERRNO.EFAULT)
}

/** A function of texts; memory that cannot be read ends it with its errno. */
function onTexts(answer: HelperFunction): HelperFunction {
  return (m) => {
    try {
      return answer(m)
    } catch (error) {
      if (error instanceof Unreadable) return -error.errno
      throw error
    }
  }
}

const lower = (code: number): number => (code >= 65 && code <= 90 ? code + 32 : code)
const same = (code: number): number => code

function compare(fold: (code: number) => number, limit: (m: Machine) => number): HelperFunction {
  return onTexts((m) => {
    const [a, b] = [textOf(m, 1), textOf(m, 2)]
    const end = limit(m)
    for (let i = 0; i < Math.min(end, MAX_BYTES); i++) {
      const [x, y] = [fold(a(i)), fold(b(i))]
      if (x !== y) return x < y ? -1 : 1
      if (x === 0) return 0
    }
    return end > MAX_BYTES ? -ERRNO.E2BIG : 0
  })
}

/** Walks to the character that `found` likes; `ended` says what the end of the text means. */
function walk(
  m: Machine,
  limit: number,
  found: (code: number, index: number) => boolean,
  ended: (index: number) => number,
): number {
  const text = textOf(m, 1)
  for (let i = 0; i < Math.min(limit, MAX_BYTES); i++) {
    const code = text(i)
    if (found(code, i)) return i
    if (code === 0) return ended(i)
  }
  return limit > MAX_BYTES ? -ERRNO.E2BIG : ended(limit)
}

const missing = (): number => -ERRNO.ENOENT
const NO_LIMIT = MAX_BYTES + 1

/** How many characters at the start are (or are not) among those of the second text. */
function span(inside: boolean): HelperFunction {
  return onTexts((m) => {
    const set = textOf(m, 2)
    const among = (code: number): boolean => {
      for (let i = 0; i < MAX_BYTES; i++) {
        const one = set(i)
        if (one === 0) return false
        if (one === code) return true
      }
      throw new Unreadable(ERRNO.E2BIG)
    }
    return walk(
      m,
      NO_LIMIT,
      (code) => code !== 0 && among(code) !== inside,
      (index) => index,
    )
  })
}

function search(limit: (m: Machine) => number): HelperFunction {
  return onTexts((m) => {
    const [text, wanted] = [textOf(m, 1), textOf(m, 2)]
    const end = limit(m)
    for (let i = 0; i < MAX_BYTES; i++) {
      let j = 0
      for (; i + j <= end && j < MAX_BYTES; j++) {
        const c = wanted(j)
        if (c === 0) return i
        if (i + j === end) break
        const own = text(i + j)
        if (own === 0) return -ERRNO.ENOENT
        if (own !== c) break
      }
      if (j === MAX_BYTES) return -ERRNO.E2BIG
      if (i + j === end) return -ERRNO.ENOENT
    }
    return -ERRNO.E2BIG
  })
}

/** Texts in kernel memory (Linux 6.17): lengths, places, -ENOENT for what is not there. */
export const TEXT_KFUNCS: HelperTable = {
  strlen: onTexts((m) => walk(m, NO_LIMIT, (code) => code === 0, missing)),
  strnlen: onTexts((m) => {
    const limit = m.size(2)
    return walk(
      m,
      limit,
      (code) => code === 0,
      (index) => index,
    )
  }),
  strcmp: compare(same, () => NO_LIMIT),
  strcasecmp: compare(lower, () => NO_LIMIT),
  strchr: onTexts((m) => walk(m, NO_LIMIT, (code) => code === m.int(2), missing)),
  strnchr: onTexts((m) => walk(m, m.size(2), (code) => code === m.int(3), missing)),
  strchrnul: onTexts((m) => walk(m, NO_LIMIT, (code) => code === 0 || code === m.int(2), missing)),
  strrchr: onTexts((m) => {
    let last = -ERRNO.ENOENT
    return walk(
      m,
      NO_LIMIT,
      (code, index) => {
        if (code === m.int(2)) last = index
        return false
      },
      () => last,
    )
  }),
  strspn: span(true),
  strcspn: span(false),
  strstr: search(() => MAX_BYTES),
  strnstr: search((m) => m.size(3)),
}
