import { InputError } from '../errors/index.ts'
import type { FlatTypes } from './flat.ts'
import {
  KIND_ARRAY,
  KIND_CONST,
  KIND_ENUM,
  KIND_ENUM64,
  KIND_FLOAT,
  KIND_FUNC_PROTO,
  KIND_FWD,
  KIND_INT,
  KIND_PTR,
  KIND_RESTRICT,
  KIND_STRUCT,
  KIND_TYPE_TAG,
  KIND_TYPEDEF,
  KIND_UNION,
  KIND_VOLATILE,
} from './kinds.ts'

const BUSY = 1
const DONE = 2

/** In which order C wants definitions: each type after those that it needs whole. */
export class DefinitionOrder {
  readonly #types: FlatTypes
  /** By id: 0, BUSY while what the type needs is looked at, DONE. */
  readonly #state: Uint8Array
  // no array that is pushed to: V8 gives up and makes anew its memory again and again
  #queue = new Int32Array(256)
  #count = 0

  constructor(types: FlatTypes) {
    this.#types = types
    this.#state = new Uint8Array(types.end)
    this.#state[0] = DONE
  }

  /**
   * Finds which types to define for a type, itself the last, without those of earlier calls; `at` has them until the next.
   * @returns how many
   * @throws InputError `btf.cycle`
   */
  find(id: number): number {
    this.#count = 0
    if (this.#state[id] !== DONE) this.#sort(id, false)
    return this.#count
  }

  at(index: number): number {
    return this.#queue[index]
  }

  #add(id: number): void {
    if (this.#count === this.#queue.length) {
      const larger = new Int32Array(this.#count * 2)
      larger.set(this.#queue)
      this.#queue = larger
    }
    this.#queue[this.#count++] = id
  }

  /** True when the type has to be defined before whoever embeds it. */
  #sort(id: number, throughPointer: boolean): boolean {
    const types = this.#types
    const state = this.#state
    if (state[id] === DONE) return true
    const { words, at } = types
    const kind = types.kinds[id]
    if (state[id] === BUSY) {
      const composite = kind === KIND_STRUCT || kind === KIND_UNION
      if (composite && throughPointer && types.isNamed(id)) return false
      throw new InputError('btf.cycle', `${types.what}: type [${id}] contains itself`)
    }
    switch (kind) {
      case KIND_INT:
      case KIND_FLOAT:
        state[id] = DONE
        return false
      case KIND_PTR: {
        const strong = this.#sort(words[at[id] + 2], true)
        state[id] = DONE
        return strong
      }
      case KIND_ARRAY:
        return this.#sort(words[at[id] + 3], false)
      case KIND_STRUCT:
      case KIND_UNION: {
        const named = types.isNamed(id)
        if (throughPointer && named) return false
        state[id] = BUSY
        const first = at[id] + 4
        for (let place = first, end = first + 3 * types.count(id); place < end; place += 3)
          if (state[words[place]] !== DONE) this.#sort(words[place], false)
        if (named) this.#add(id)
        state[id] = DONE
        return true
      }
      case KIND_ENUM:
      case KIND_ENUM64:
      case KIND_FWD:
        if (types.referenced[id] === 0 || types.isNamed(id)) this.#add(id)
        state[id] = DONE
        return true
      case KIND_TYPEDEF: {
        const strong = this.#sort(words[at[id] + 2], throughPointer)
        if (throughPointer && !strong) return false
        this.#add(id)
        state[id] = DONE
        return true
      }
      case KIND_VOLATILE:
      case KIND_CONST:
      case KIND_RESTRICT:
      case KIND_TYPE_TAG:
        return this.#sort(words[at[id] + 2], throughPointer)
      case KIND_FUNC_PROTO: {
        let strong = this.#sort(words[at[id] + 2], throughPointer)
        const first = at[id] + 4
        for (let place = first, end = first + 2 * types.count(id); place < end; place += 2)
          if (state[words[place]] === DONE || this.#sort(words[place], throughPointer)) strong = true
        return strong
      }
      default:
        state[id] = DONE
        return false
    }
  }
}
