import type { Btf } from './btf.ts'
import { BTF_KIND, BTF_LINKAGE } from './types.ts'

/** A form of some BTF that says less, for kernels that know fewer kinds of types. */
export interface SimplerBtf {
  /** The first kernel that takes what this form leaves out: it is for older ones. */
  readonly before: string
  readonly bytes: Uint8Array
}

interface Place {
  readonly view: DataView
  readonly at: number
  readonly littleEndian: boolean
  /** An integer type of one byte or more that may stand for a member. */
  readonly int: number
}

const FLAG = 0x80000000
const kindWord = (kind: keyof typeof BTF_KIND, vlen = 0): number => ((BTF_KIND[kind] << 24) | vlen) >>> 0

/** What newer kernels brought, newest first, and what says the same place in the list of types with less. */
const STEPS: readonly {
  readonly since: string
  readonly applies: (btf: Btf, id: number, info: number) => boolean
  readonly change: (place: Place, info: number) => void
}[] = [
  {
    // tags that stand for other attributes
    since: '6.16',
    applies: (btf, id, info) => info >= FLAG && (btf.kind(id) === 'decl_tag' || btf.kind(id) === 'type_tag'),
    change: ({ view, at, littleEndian }, info) => view.setUint32(at + 4, info & ~FLAG, littleEndian),
  },
  {
    since: '6.0',
    applies: (btf, id) => btf.kind(id) === 'enum64',
    // a union with a member a value: records of both have 12 bytes
    change: ({ view, at, littleEndian, int }, info) => {
      const vlen = int === 0 ? 0 : info & 0xffff
      view.setUint32(at + 4, kindWord('union', vlen), littleEndian)
      for (let i = 0; i < vlen; i++) {
        view.setUint32(at + 16 + 12 * i, int, littleEndian)
        view.setUint32(at + 20 + 12 * i, 0, littleEndian)
      }
    },
  },
  {
    since: '5.17',
    applies: (btf, id) => btf.kind(id) === 'type_tag',
    change: ({ view, at, littleEndian }) => {
      view.setUint32(at, 0, littleEndian)
      view.setUint32(at + 4, kindWord('const'), littleEndian)
    },
  },
  {
    since: '5.16',
    applies: (btf, id) => btf.kind(id) === 'decl_tag',
    change: ({ view, at, littleEndian }) => {
      view.setUint32(at, 0, littleEndian)
      view.setUint32(at + 4, kindWord('int'), littleEndian)
      view.setUint32(at + 8, 1, littleEndian)
      view.setUint32(at + 12, 8, littleEndian)
    },
  },
  {
    since: '5.13',
    applies: (btf, id) => btf.kind(id) === 'float',
    change: ({ view, at, littleEndian }) => {
      view.setUint32(at, 0, littleEndian)
      view.setUint32(at + 4, kindWord('struct'), littleEndian)
    },
  },
  {
    since: '5.6',
    applies: (btf, id, info) => btf.kind(id) === 'func' && (info & 0xffff) === BTF_LINKAGE.global,
    change: ({ view, at, littleEndian }) => view.setUint32(at + 4, kindWord('func'), littleEndian),
  },
]

/**
 * Forms of BTF for older and older kernels, as libbpf makes them: each replaces one more kind by an older one of the same
 * length, so that ids and places stay. Forms that change nothing are left out.
 */
export function* simplerBtf(btf: Btf): Generator<SimplerBtf> {
  const bytes = btf.bytes.slice()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { littleEndian } = btf
  let int = 0
  for (let id = btf.firstId; id < btf.endId && int === 0; id++)
    if (btf.kind(id) === 'int' && btf.sizeOf(id) === 1) int = id
  for (let id = btf.firstId; id < btf.endId && int === 0; id++)
    if (btf.kind(id) === 'int' && btf.sizeOf(id) === 4) int = id
  for (const { since, applies, change } of STEPS) {
    let changed = false
    for (let id = btf.firstId; id < btf.endId; id++) {
      const at = btf.place(id)
      const info = btf.view.getUint32(at + 4, littleEndian)
      if (!applies(btf, id, info)) continue
      change({ view, at, littleEndian, int }, view.getUint32(at + 4, littleEndian))
      changed = true
    }
    if (changed) yield { before: since, bytes: bytes.slice() }
  }
}
