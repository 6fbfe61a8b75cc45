import { UnsupportedError, UsageError } from '../../errors/index.ts'
import type { RawMap } from '../maps/raw-map.ts'
import type { Link, ProgramHandle } from './link.ts'
import { LinkSet } from './linkless.ts'
import { findBinary, openBinary } from './symbols.ts'
import { attachUprobe } from './uprobe.ts'
import { parseUsdtArguments, type UsdtArgument, type UsdtPlace, usdtMachine, usdtPlaces } from './usdt-notes.ts'

export interface UsdtOptions {
  /** Path, or a name that is searched. */
  readonly binary: string
  readonly provider: string
  readonly name: string
  /** Only this process; default all. */
  readonly pid?: number
  /** What bpf_usdt_cookie gives, or bpf_get_attach_cookie where the program has no argument maps. */
  readonly cookie?: bigint
  /**
   * The maps of libbpf's usdt.bpf.h, when the program reads its arguments with them: `__bpf_usdt_specs` and, on kernels
   * before 5.15, `__bpf_usdt_ip_to_spec_id`.
   */
  readonly specs?: UsdtSpecs
}

/** Which rows of a program's argument map are taken; one for all probes of an object. */
export class UsdtSpecs {
  readonly map: RawMap
  #rows = new Map<string, number>()
  #next = 0

  constructor(map: RawMap) {
    if (!SPEC_LAYOUTS.has(map.shape.valueSize))
      throw new UnsupportedError('usdt.specs', `${map.what}: its values are not those of a known usdt.bpf.h`)
    this.map = map
  }

  /** Writes the arguments of a place; places with the same arguments and cookie share a row. */
  take(text: string, args: readonly UsdtArgument[], cookie: bigint): number {
    const key = `${cookie}/${text}`
    const known = this.#rows.get(key)
    if (known !== undefined) return known
    const row = this.#next++
    if (row >= this.map.shape.maxEntries)
      throw new UsageError(
        'usdt.specs',
        `${this.map.what}: more than ${this.map.shape.maxEntries} different argument lists`,
      )
    const index = new Uint8Array(4)
    new DataView(index.buffer).setUint32(0, row, true)
    this.map.update(index, encodeSpec(args, cookie, this.map.shape.valueSize))
    this.#rows.set(key, row)
    return row
  }
}

const MAX_ARGUMENTS = 12
/** struct __bpf_usdt_spec by its size: the second layout came with index registers (libbpf 1.7). */
const SPEC_LAYOUTS = new Map([
  [208, { stride: 16, register: 12, index: undefined }],
  [304, { stride: 24, register: 14, index: 10 }],
])
const ARG_TYPES = { constant: 0, register: 1, memory: 2, indexed: 3 } as const

/** The row of `__bpf_usdt_specs` that says where arguments are. */
export function encodeSpec(args: readonly UsdtArgument[], cookie: bigint, valueSize: number): Uint8Array {
  const layout = SPEC_LAYOUTS.get(valueSize)
  if (layout === undefined) throw new UnsupportedError('usdt.specs', `no usdt.bpf.h has rows of ${valueSize} bytes`)
  if (args.length > MAX_ARGUMENTS)
    throw new UnsupportedError('usdt.argument', `a USDT probe with ${args.length} arguments: ${MAX_ARGUMENTS} at most`)
  const bytes = new Uint8Array(valueSize)
  const view = new DataView(bytes.buffer)
  args.forEach((arg, i) => {
    const at = i * layout.stride
    const index = arg.kind === 'memory' ? arg.index : undefined
    view.setUint8(at + 8, index === undefined ? ARG_TYPES[arg.kind] : ARG_TYPES.indexed)
    if (arg.kind === 'constant') view.setBigInt64(at, BigInt.asIntN(64, arg.value), true)
    else {
      if (arg.kind === 'memory') view.setBigInt64(at, arg.offset, true)
      view.setInt16(at + layout.register, arg.register, true)
    }
    if (index !== undefined) {
      if (layout.index === undefined)
        throw new UnsupportedError('usdt.argument', "this object's usdt.bpf.h has no index registers (libbpf 1.7)")
      view.setUint16(at + layout.index, index.register | (index.shift << 12), true)
    }
    view.setUint8(at + layout.register + 2, arg.signed ? 1 : 0)
    view.setUint8(at + layout.register + 3, 64 - arg.sizeBytes * 8)
  })
  view.setBigUint64(MAX_ARGUMENTS * layout.stride, BigInt.asUintN(64, cookie), true)
  view.setInt16(MAX_ARGUMENTS * layout.stride + 8, args.length, true)
  return bytes
}

/** The places of a probe in a binary. @throws UsageError `usdt.unknown` with the probes that it has */
export function findUsdt(binary: string, provider: string, name: string, pid?: number): UsdtPlace[] {
  const path = findBinary(binary, pid)
  const all = usdtPlaces(openBinary(path))
  const places = all.filter((place) => place.provider === provider && place.name === name)
  if (places.length === 0) {
    const others = [...new Set(all.map((place) => `${place.provider}:${place.name}`))]
    throw new UsageError('usdt.unknown', `${path} has no USDT probe ${provider}:${name}`, {
      details: others.length === 0 ? ['it has none at all'] : [`it has ${others.slice(0, 20).join(', ')}`],
    })
  }
  return places
}

/** Runs a program at every place of a USDT probe, with its semaphore counted up. Linux 4.20; arguments need cookies: 5.15. */
export function attachUsdt(program: ProgramHandle, options: UsdtOptions): LinkSet {
  const { provider, name, pid, specs, cookie } = options
  const binary = findBinary(options.binary, pid)
  const places = findUsdt(binary, provider, name, pid)
  const machine = usdtMachine(openBinary(binary))
  const links: Link[] = []
  try {
    for (const { offset, semaphoreOffset, argumentText } of places) {
      const row = specs?.take(argumentText, parseUsdtArguments(argumentText, machine), cookie ?? 0n)
      links.push(
        attachUprobe(program, {
          binary,
          offset,
          semaphoreOffset,
          pid,
          cookie: row === undefined ? cookie : BigInt(row),
        }),
      )
    }
  } catch (error) {
    for (const link of links) link.close()
    throw error
  }
  return new LinkSet(program.sys, `usdt ${binary}:${provider}:${name}`, links)
}
