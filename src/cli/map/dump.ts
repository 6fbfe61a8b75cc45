import { SystemError, UsageError } from '../../errors/index.ts'
import { errnoName, readBatches, realSys } from '../../syscall/index.ts'
import { MAP_TYPES, mapTypeName } from '../../uapi/index.ts'
import { type Json, toJson } from '../objects/json.ts'
import { hexList, hexText, printJson } from '../objects/options.ts'
import { select } from '../objects/select.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'
import { mapHead, mapHeadText } from './show.ts'
import { entryJson, entryText, isReferenceMap, type OpenMap, openMapFd, typed } from './values.ts'

/** A key and its value; the errno where the kernel gives no value. */
type Entry = readonly [key: Uint8Array, value: Uint8Array | number]

const ENOENT = 2

function lookup({ map }: OpenMap, key: Uint8Array): Uint8Array | number {
  try {
    return map.lookup(key) ?? ENOENT
  } catch (error) {
    if (error instanceof SystemError && error.errno > 0) return error.errno
    throw error
  }
}

/** Maps whose walk goes in batches: one system call for thousands of entries. Others lack it, or answer less with it. */
const BATCHED: ReadonlySet<number> = new Set([
  MAP_TYPES.hash,
  MAP_TYPES.array,
  MAP_TYPES.percpu_hash,
  MAP_TYPES.lru_hash,
  MAP_TYPES.lru_percpu_hash,
  MAP_TYPES.lpm_trie,
])

function* entriesOf(open: OpenMap): Generator<Entry> {
  const { map } = open
  const { keySize } = map.shape
  if (BATCHED.has(map.shape.type) && keySize > 0) {
    const chunks = readBatches(map)
    for (let step = chunks.next(); ; step = chunks.next()) {
      if (step.done === true) {
        if (step.value) return
        break // no batches here: one by one
      }
      const { count, keys, values } = step.value
      const size = map.exchangedSize
      for (let i = 0; i < count; i++)
        yield [keys.slice(i * keySize, (i + 1) * keySize), values.slice(i * size, (i + 1) * size)]
    }
  }
  for (const key of map.keys()) yield [key, lookup(open, key)]
}

/** What strerror(3) says of the errnos that a lookup gives. */
const REASONS: Readonly<Record<number, string>> = {
  1: 'Operation not permitted',
  2: 'No such file or directory',
  5: 'Input/output error',
  7: 'Argument list too long',
  11: 'Resource temporarily unavailable',
  12: 'Cannot allocate memory',
  13: 'Permission denied',
  14: 'Bad address',
  16: 'Device or resource busy',
  22: 'Invalid argument',
  28: 'No space left on device',
  95: 'Operation not supported',
  524: 'Unknown error 524',
}
const reason = (errno: number): string => REASONS[errno] ?? errnoName(errno)

/** Slots of maps of maps and programs that hold nothing are left out. */
const isGap = ({ info }: OpenMap, value: Uint8Array | number): boolean => value === ENOENT && isReferenceMap(info.type)

function rows(open: OpenMap, plain: boolean): Json[] {
  const { btf } = open
  const out: Json[] = []
  for (const [key, value] of entriesOf(open)) {
    if (isGap(open, value)) continue
    if (typeof value === 'number') out.push({ key: hexList(key), value: { error: reason(value) } })
    else out.push(plain && btf !== undefined ? typed(open, btf, key, value, true) : entryJson(open, key, value))
  }
  return out
}

const FLUSH = 1 << 16

function printText(open: OpenMap): void {
  let count = 0
  let text = ''
  for (const [key, value] of entriesOf(open)) {
    if (isGap(open, value)) continue
    if (typeof value === 'number') text += entryError(open, key, value)
    else {
      text += entryText(open, key, value)
      count++
    }
    if (text.length > FLUSH) {
      print(text)
      text = ''
    }
  }
  print(`${text}Found ${count} element${count === 1 ? '' : 's'}\n`)
}

function entryError({ info }: OpenMap, key: Uint8Array, errno: number): string {
  const message = errno === ENOENT ? '<no entry>' : reason(errno)
  const broken = info.key_size > 16 || message.length > 16
  const oneLine = !broken && info.key_size + message.length <= 24
  const head = broken ? '\n' : ' '
  return `key:${head}${hexText(key)}${oneLine ? '  ' : '\n'}value:${head}${message}\n`
}

/** `map dump MAP`: typed where the map has BTF, all maps that a name fits. */
export function dump(words: readonly string[], context: Context): void {
  const sys = realSys()
  const { fds, rest } = select(sys, 'map', words)
  const maps = fds.map((fd) => openMapFd(sys, fd))
  try {
    if (rest.length > 0)
      throw new UsageError('cli.words', `nothing is expected behind ${words.slice(0, 2).join(' ')}: ${rest.join(' ')}`)
    const json = context.json === true
    for (const { info } of maps)
      if (info.type === MAP_TYPES.reuseport_sockarray && info.value_size !== 8)
        process.stderr.write(
          `typebpf: a ${mapTypeName(info.type)} with values of ${info.value_size} bytes cannot be read\n`,
        )
    if (json || maps.every(({ btf }) => btf !== undefined)) {
      const documents = maps.map((open) => {
        const elements = rows(open, !json)
        return maps.length > 1 ? { ...mapHead(open.info), elements } : elements
      })
      const document = maps.length > 1 ? documents : documents[0]
      if (json) printJson(document, context)
      else print(`${toJson(document, true)}\n`)
      return
    }
    maps.forEach((open, index) => {
      if (maps.length > 1) print(`${index > 0 ? '\n' : ''}${mapHeadText(open.info)}`)
      printText(open)
    })
  } finally {
    for (const { map } of maps) map.close()
  }
}
