import { InputError } from '../errors/index.ts'
import { decodeType } from './decode.ts'
import { readHeader } from './header.ts'
import { FIXED_WORDS, ITEM_WORDS } from './kinds.ts'
import { BTF_KIND, BTF_KINDS, type BtfComposite, type BtfKind, type BtfType, typeName } from './types.ts'

export interface BtfOptions {
  /** The BTF that this one continues (split BTF): vmlinux for a kernel module. */
  readonly base?: Btf
  /** Names the input in errors. */
  readonly what?: string
}

/** Look-ups by name after which a full index pays off. */
const SCANS_BEFORE_INDEX = 3

/** Strings decoded one by one before the whole section is. */
const STRINGS_BEFORE_TEXT = 2000

const encoder = new TextEncoder()
const decoder = new TextDecoder()
/** One character a byte, whatever the byte. */
const byteDecoder = new TextDecoder('latin1')

const HOST_IS_LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

type TypeSection = Pick<Btf, 'bytes' | 'view' | 'typesStart' | 'typesLength' | 'littleEndian'>

/** The type section as words: the very bytes where these are in the machine's order and aligned. */
function typeWords({ bytes, view, typesStart, typesLength, littleEndian }: TypeSection): Int32Array {
  const start = bytes.byteOffset + typesStart
  const count = typesLength >>> 2
  if (littleEndian === HOST_IS_LITTLE && start % 4 === 0) return new Int32Array(bytes.buffer, start, count)
  const words = new Int32Array(count)
  for (let i = 0; i < count; i++) words[i] = view.getInt32(typesStart + 4 * i, littleEndian)
  return words
}

interface NameIndex {
  /** The first type of each bucket, -1: none. */
  readonly heads: Int32Array
  /** The next type of the same bucket. */
  readonly next: Int32Array
}

/** FNV-1a. */
function hash(bytes: Uint8Array, start: number, end: number): number {
  let code = 0x811c9dc5
  for (let i = start; i < end; i++) code = Math.imul(code ^ bytes[i], 0x01000193)
  return (code ^ (code >>> 15)) >>> 0
}

/**
 * BTF (the kernel's type information) read lazily: opening it walks the type headers once; a type, a name or a string is
 * decoded when it is asked for. Type ids and string offsets continue those of `base`.
 */
export class Btf {
  readonly bytes: Uint8Array
  readonly littleEndian: boolean
  readonly base: Btf | undefined
  readonly what: string
  /** The id of the first type of its own: 1, or where the base ends. */
  readonly firstId: number
  /** One more than the last id. */
  readonly endId: number
  readonly stringsSize: number
  /** Where the type section starts in `bytes`, and its bytes. */
  readonly typesStart: number
  readonly typesLength: number
  readonly view: DataView
  /** The type section in the machine's byte order. Signed: a word that is no small integer would be an object to V8. */
  readonly words: Int32Array
  readonly #strings: Uint8Array
  readonly #stringBase: number
  /** The place in `bytes` of each own type. */
  readonly #offsets: Uint32Array
  #decoded: (BtfType | undefined)[] = []
  readonly #stringCache = new Map<number, string>()
  #scans = 0
  #text: string | undefined
  #index: NameIndex | undefined

  /** @throws InputError `btf.*` naming the place when the header or the chain of types is broken */
  constructor(bytes: Uint8Array, options: BtfOptions = {}) {
    // a plain view: slice() of Node's Buffer would not copy
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.base = options.base
    this.what = options.what ?? 'BTF'
    const header = readHeader(bytes, this.what)
    this.littleEndian = header.littleEndian
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.typesStart = header.typesStart
    this.typesLength = header.typesLength
    this.#strings = this.bytes.subarray(header.stringsStart, header.stringsStart + header.stringsLength)
    this.#stringBase = options.base === undefined ? 0 : options.base.stringsSize
    this.stringsSize = this.#stringBase + this.#strings.length
    this.firstId = options.base === undefined ? 1 : options.base.endId
    this.words = typeWords(this)
    this.#offsets = this.#walk(header.typesStart, header.typesStart + header.typesLength)
    this.endId = this.firstId + this.#offsets.length
    if (options.base !== undefined && options.base.littleEndian !== this.littleEndian)
      throw new InputError('btf.byte-order', `${this.what}: its byte order differs from its base's`)
  }

  /** The places of the type records, whose kinds tell how long they are. */
  #walk(start: number, end: number): Uint32Array {
    const { words } = this
    const bytes = end - start
    let offsets = new Uint32Array(Math.max(16, bytes >> 4))
    let count = 0
    for (let at = 0; at < bytes; ) {
      if (bytes - at < 12) throw this.#cutOff(count, start + at)
      const info = words[(at >>> 2) + 1]
      const kind = (info >>> 24) & 0x1f
      const fixed = FIXED_WORDS[kind]
      if (fixed === undefined || kind === 0)
        throw new InputError(
          'btf.kind',
          `${this.what}: type [${this.firstId + count}] at offset ${start + at} has the unknown kind ${kind}`,
        )
      const size = 4 * (fixed + ITEM_WORDS[kind] * (info & 0xffff))
      if (size > bytes - at) throw this.#cutOff(count, start + at, size)
      if (count === offsets.length) {
        const more = new Uint32Array(offsets.length * 2)
        more.set(offsets)
        offsets = more
      }
      offsets[count++] = start + at
      at += size
    }
    return offsets.subarray(0, count)
  }

  #cutOff(index: number, at: number, size?: number): InputError {
    const left = this.typesStart + this.typesLength - at
    const why = size === undefined ? 'is cut off' : `needs ${size} bytes, ${left} are left`
    return new InputError('btf.truncated', `${this.what}: type [${this.firstId + index}] at offset ${at} ${why}`)
  }

  /** Number of types with those of the base, without void. */
  get typeCount(): number {
    return this.endId - 1
  }

  /** @throws InputError `btf.string` when the offset lies outside the string section */
  string(offset: number): string {
    if (offset < this.#stringBase && this.base !== undefined) return this.base.string(offset)
    const start = offset - this.#stringBase
    if (this.#text !== undefined && this.#text !== '' && start < this.#text.length)
      return this.#text.slice(start, this.#text.indexOf('\0', start))
    const cached = this.#stringCache.get(offset)
    if (cached !== undefined) return cached
    if (start === 0 && this.#strings.length === 0) return ''
    const end = start < this.#strings.length ? this.#strings.indexOf(0, start) : -1
    if (end < 0)
      throw new InputError(
        'btf.string',
        `${this.what}: string offset ${offset} is outside the ${this.stringsSize} bytes of strings`,
      )
    const whole = this.#wholeText()
    const text = whole === '' ? decoder.decode(this.#strings.subarray(start, end)) : whole.slice(start, end)
    this.#stringCache.set(offset, text)
    return text
  }

  /** All strings as one text once many were asked for, or `now`; "" before, and when they are not all ASCII (offsets would shift). */
  #wholeText(now = false): string {
    if (this.#text === undefined && (now || this.#stringCache.size > STRINGS_BEFORE_TEXT)) {
      const text = decoder.decode(this.#strings)
      this.#text = text.length === this.#strings.length ? text : ''
    }
    return this.#text ?? ''
  }

  /** The own string section. */
  get stringBytes(): Uint8Array {
    return this.#strings
  }

  /** The place in `bytes` of each own type's record (struct btf_type). */
  get places(): Uint32Array {
    return this.#offsets
  }

  /** The place in `bytes` of an own type. */
  #offsetOf(id: number): number {
    return this.#offsets[id - this.firstId]
  }

  /** The place in `bytes` of an own type's record (struct btf_type). @throws InputError `btf.id` */
  place(id: number): number {
    if (this.#require(id) !== this) throw new InputError('btf.id', `${this.what}: type [${id}] is of the base`)
    return this.#offsetOf(id)
  }

  #owner(id: number): Btf | undefined {
    if (!Number.isInteger(id) || id < 1 || id >= this.endId) return undefined
    if (id >= this.firstId) return this
    return this.base === undefined ? undefined : this.base.#owner(id)
  }

  /** Whether there is a type of this number; 0 is void. */
  has(id: number): boolean {
    return id === 0 || this.#owner(id) !== undefined
  }

  /** The kind without decoding the type. */
  kind(id: number): BtfKind {
    if (id === 0) return 'void'
    const owner = this.#require(id)
    return BTF_KINDS[(owner.view.getUint32(owner.#offsetOf(id) + 4, owner.littleEndian) >>> 24) & 0x1f]
  }

  /** The name without decoding the type, "" when it has none. */
  name(id: number): string {
    if (id === 0) return ''
    const owner = this.#require(id)
    return owner.string(owner.view.getUint32(owner.#offsetOf(id), owner.littleEndian))
  }

  #require(id: number): Btf {
    const owner = this.#owner(id)
    if (owner === undefined)
      throw new InputError('btf.id', `${this.what}: there is no type [${id}], the last one is [${this.endId - 1}]`)
    return owner
  }

  /** @throws InputError `btf.id` when there is none of this number; `btf.*` when it is malformed */
  type(id: number): BtfType {
    if (id === 0) return VOID
    const owner = this.#require(id)
    if (owner.#decoded.length === 0) owner.#decoded = new Array(owner.#offsets.length)
    const index = id - owner.firstId
    let type = owner.#decoded[index]
    if (type === undefined) {
      type = decodeType(owner, id, owner.#offsets[index])
      owner.#decoded[index] = type
    }
    return type
  }

  /** Own types in order (not those of the base). */
  *types(): Generator<readonly [id: number, type: BtfType]> {
    for (let id = this.firstId; id < this.endId; id++) yield [id, this.type(id)]
  }

  /** Ids of all types of this name (and kind), the base's first. */
  idsByName(name: string, kind?: BtfKind): readonly number[] {
    const below = this.base?.idsByName(name) ?? []
    const own = this.#ownIdsByName(name)
    const all = below.length === 0 ? own : [...below, ...own]
    return kind === undefined ? all : all.filter((id) => this.kind(id) === kind)
  }

  /** The first type of this name (and kind). */
  idByName(name: string, kind?: BtfKind): number | undefined {
    return this.idsByName(name, kind)[0]
  }

  /** The first type of this name and kind. */
  find(name: string, kind: 'struct' | 'union'): BtfComposite | undefined
  find(name: string, kind?: BtfKind): BtfType | undefined
  find(name: string, kind?: BtfKind): BtfType | undefined {
    const id = this.idByName(name, kind)
    return id === undefined ? undefined : this.type(id)
  }

  #ownIdsByName(name: string): readonly number[] {
    if (name === '') return []
    const wanted = encoder.encode(name)
    const ids: number[] = []
    const { view, littleEndian } = this
    if (this.#index === undefined && ++this.#scans > SCANS_BEFORE_INDEX) this.#index = this.#buildIndex()
    if (this.#index !== undefined) {
      const { heads, next } = this.#index
      for (let i = heads[hash(wanted, 0, wanted.length) & (heads.length - 1)]; i >= 0; i = next[i])
        if (this.#nameEquals(view.getUint32(this.#offsets[i], littleEndian), wanted)) ids.push(this.firstId + i)
      return ids
    }
    const offsets = this.#stringOffsets(name)
    if (offsets.size === 0) return ids
    const { words, typesStart } = this
    const [first] = offsets
    for (let i = 0; i < this.#offsets.length; i++) {
      const offset = words[(this.#offsets[i] - typesStart) >>> 2]
      if (offset === first || (offsets.size > 1 && offsets.has(offset))) ids.push(this.firstId + i)
    }
    return ids
  }

  #nameEquals(offset: number, wanted: Uint8Array): boolean {
    if (offset < this.#stringBase) {
      const { base } = this
      if (base === undefined) return false
      return base.#nameEquals(offset, wanted)
    }
    const start = offset - this.#stringBase
    const strings = this.#strings
    for (let i = 0; i < wanted.length; i++) if (strings[start + i] !== wanted[i]) return false
    return strings[start + wanted.length] === 0
  }

  /** Ids of all types whose name begins with a text, the base's first. */
  idsWithNameStart(start: string): number[] {
    const ids = this.base?.idsWithNameStart(start) ?? []
    const offsets = new Set<number>()
    for (const at of this.#placesOf(start)) offsets.add(this.#stringBase + at)
    if (this.base !== undefined) for (const at of this.base.#placesOf(start)) offsets.add(at)
    const { view, littleEndian } = this
    if (offsets.size > 0)
      for (let i = 0; i < this.#offsets.length; i++)
        if (offsets.has(view.getUint32(this.#offsets[i], littleEndian))) ids.push(this.firstId + i)
    return ids
  }

  /** Every offset at which this string stands, also as the tail of a longer one. */
  #stringOffsets(text: string): Set<number> {
    const found = new Set<number>()
    for (const at of this.#placesOf(`${text}\0`)) found.add(this.#stringBase + at)
    if (this.base !== undefined) for (const offset of this.base.#stringOffsets(text)) found.add(offset)
    return found
  }

  /** Where a text stands in the own strings. The engine searches a text many times faster than a loop searches bytes. */
  *#placesOf(text: string): Generator<number> {
    const all = this.#wholeText(true) || byteDecoder.decode(this.#strings)
    const wanted = byteDecoder.decode(encoder.encode(text))
    for (let at = all.indexOf(wanted); at >= 0; at = all.indexOf(wanted, at + 1)) yield at
  }

  /** Chains of types by a hash of their name's bytes: no string is decoded. */
  #buildIndex(): NameIndex {
    const { view, littleEndian } = this
    const count = this.#offsets.length
    let size = 256
    while (size < count * 2) size *= 2
    const heads = new Int32Array(size).fill(-1)
    const next = new Int32Array(count)
    const hashes = new Map<number, number>()
    for (let i = count - 1; i >= 0; i--) {
      const offset = view.getUint32(this.#offsets[i], littleEndian)
      next[i] = -1
      if (offset === 0) continue
      let code = hashes.get(offset)
      if (code === undefined) hashes.set(offset, (code = this.#hashAt(offset)))
      const bucket = code & (size - 1)
      next[i] = heads[bucket]
      heads[bucket] = i
    }
    return { heads, next }
  }

  #hashAt(offset: number): number {
    if (offset < this.#stringBase) return this.base === undefined ? 0 : this.base.#hashAt(offset)
    const start = offset - this.#stringBase
    const end = this.#strings.indexOf(0, start)
    return hash(this.#strings, start, end < 0 ? start : end)
  }

  /** The id behind typedefs, qualifiers and type tags. @throws InputError `btf.cycle` */
  skipModifiers(id: number): number {
    let at = id
    for (let depth = 0; depth < 64; depth++) {
      const kind = this.kind(at)
      if (kind !== 'typedef' && kind !== 'const' && kind !== 'volatile' && kind !== 'restrict' && kind !== 'type_tag')
        return at
      at = (this.type(at) as { type: number }).type
    }
    throw new InputError('btf.cycle', `${this.what}: type [${id}] is a chain of typedefs and qualifiers without end`)
  }

  /** The type behind typedefs, qualifiers and type tags. */
  resolve(id: number): BtfType {
    return this.type(this.skipModifiers(id))
  }

  /** sizeof in bytes; `pointerSize` 8 for BPF. undefined for void, functions and forward declarations. */
  sizeOf(id: number, pointerSize = 8): number | undefined {
    let count = 1
    let at = id
    for (let depth = 0; depth < 64; depth++) {
      const type = this.resolve(at)
      switch (type.kind) {
        case 'int':
        case 'struct':
        case 'union':
        case 'enum':
        case 'enum64':
        case 'float':
        case 'datasec':
          return type.size * count
        case 'ptr':
          return pointerSize * count
        case 'var':
          at = type.type
          break
        case 'array':
          count *= type.count
          at = type.type
          break
        default:
          return undefined
      }
    }
    throw new InputError('btf.cycle', `${this.what}: the size of type [${id}] has no end`)
  }

  /** What a person calls the type: "struct task_struct", "[12] ptr". */
  describe(id: number): string {
    const type = this.type(id)
    const name = typeName(type)
    return name === '' ? `[${id}] ${type.kind}` : `${type.kind} ${name}`
  }
}

const VOID: BtfType = { kind: 'void' }

export { BTF_KIND }
