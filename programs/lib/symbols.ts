import { readFileSync, statSync } from 'node:fs'
import { findFunctions } from 'typebpf/kernel'

/** One frame of a stack. */
export interface Frame {
  readonly address: bigint
  /** The function, `[unknown]` where nothing says it. */
  readonly name: string
  /** Bytes into the function. */
  readonly offset: number
  /** The binary or library; "[kernel]" or the kernel module. */
  readonly module: string
}

const unknown = (address: bigint, module = '[unknown]'): Frame => ({ address, name: '[unknown]', offset: 0, module })

/** The index of the last element that is not above `value`, -1 when all are. */
function lastAtMost(length: number, at: (index: number) => bigint | number, value: bigint | number): number {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (at(middle) <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}

interface KernelFunction {
  readonly address: bigint
  readonly name: string
  readonly module: string
}

let kernel: readonly KernelFunction[] | undefined

/** Functions of /proc/kallsyms by address; empty where it shows none (kptr_restrict, no CAP_SYSLOG). */
function kernelFunctions(): readonly KernelFunction[] {
  if (kernel !== undefined) return kernel
  const found: KernelFunction[] = []
  const text = readFileSync('/proc/kallsyms', 'latin1')
  for (const [, address, name, module] of text.matchAll(/^([0-9a-f]+) [tTwW] ([^\t\n]+)(?:\t\[([^\]\n]+)\])?$/gm)) {
    const at = BigInt(`0x${address}`)
    if (at !== 0n) found.push({ address: at, name, module: module ?? '[kernel]' })
  }
  found.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0))
  kernel = found
  return found
}

/** The kernel function at an address. */
export function kernelFrame(address: bigint): Frame {
  const functions = kernelFunctions()
  const index = lastAtMost(functions.length, (i) => functions[i].address, address)
  if (index < 0) return unknown(address, '[kernel]')
  const { name, module, address: start } = functions[index]
  return { address, name, offset: Number(address - start), module }
}

interface Region {
  readonly start: bigint
  readonly end: bigint
  readonly fileOffset: bigint
  readonly path: string
}
interface Place {
  readonly name: string
  /** File offset for binaries, address for generated code. */
  readonly start: number
  readonly size: number
}

/** Functions of one file by file offset, by the file itself: many processes run the same. */
const files = new Map<string, readonly Place[]>()

function functionsOf(path: string): readonly Place[] {
  let file: string
  try {
    const { dev, ino, mtimeMs } = statSync(path)
    file = `${dev}:${ino}:${mtimeMs}`
  } catch {
    return []
  }
  let places = files.get(file)
  if (places === undefined) {
    try {
      const all = findFunctions(path, () => true).map(({ name, offset, size }) => ({ name, start: offset, size }))
      places = all.sort((a, b) => a.start - b.start || b.size - a.size)
    } catch {
      // gone meanwhile, not readable or no ELF file: its frames have no names
      places = []
    }
    files.set(file, places)
  }
  return places
}

function placeAt(places: readonly Place[], at: number): Place | undefined {
  // aliases and nested symbols: the nearest one before that still reaches
  for (let index = lastAtMost(places.length, (i) => places[i].start, at); index >= 0; index--) {
    const place = places[index]
    if (at < place.start + Math.max(place.size, 1)) return place
    if (at - place.start > 0x10_0000) return undefined
  }
  return undefined
}

/** Names for the user-space addresses of one process. */
export class ProcessSymbols {
  readonly #pid: number
  readonly #regions: readonly Region[]
  readonly #files = new Map<string, readonly Place[]>()
  #generated: readonly Place[] | undefined

  constructor(pid: number) {
    this.#pid = pid
    this.#regions = readRegions(pid)
  }

  /** False when the process has no memory (any more). */
  get isMapped(): boolean {
    return this.#regions.length > 0
  }

  frame(address: bigint): Frame {
    const index = lastAtMost(this.#regions.length, (i) => this.#regions[i].start, address)
    const region = this.#regions[index]
    if (region === undefined || address >= region.end) return unknown(address)
    if (!region.path.startsWith('/')) return this.#generatedFrame(address, region)
    const at = Number(address - region.start + region.fileOffset)
    const place = placeAt(this.#functionsIn(region), at)
    if (place === undefined) return unknown(address, region.path)
    return { address, name: place.name, offset: at - place.start, module: region.path }
  }

  /** As the process sees the file; where that is no longer there, as this process does. */
  #functionsIn({ path }: Region): readonly Place[] {
    let places = this.#files.get(path)
    if (places === undefined) {
      const own = functionsOf(`/proc/${this.#pid}/root${path}`)
      places = own.length > 0 ? own : functionsOf(path)
      this.#files.set(path, places)
    }
    return places
  }

  /** Code that a runtime made: it may have written /tmp/perf-PID.map (node --perf-basic-prof, Java agents). */
  #generatedFrame(address: bigint, region: Region): Frame {
    this.#generated ??= readPerfMap(this.#pid)
    const at = Number(address)
    const place = placeAt(this.#generated, at)
    if (place === undefined) return unknown(address, region.path === '' ? '[anon]' : region.path)
    return { address, name: place.name, offset: at - place.start, module: `perf-${this.#pid}.map` }
  }
}

function readRegions(pid: number): Region[] {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/maps`, 'utf8')
  } catch {
    return []
  }
  const lines = text.matchAll(/^([0-9a-f]+)-([0-9a-f]+) \S*x\S* ([0-9a-f]+) \S+ \d+ *(.*)$/gm)
  return [...lines].map(([, start, end, offset, path]) => ({
    start: BigInt(`0x${start}`),
    end: BigInt(`0x${end}`),
    fileOffset: BigInt(`0x${offset}`),
    path: path.replace(/ \(deleted\)$/, ''),
  }))
}

function readPerfMap(pid: number): Place[] {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/root/tmp/perf-${pid}.map`, 'utf8')
  } catch {
    return []
  }
  const places = [...text.matchAll(/^([0-9a-f]+) ([0-9a-f]+) (.+)$/gm)].map(([, start, size, name]) => ({
    name,
    start: Number.parseInt(start, 16),
    size: Number.parseInt(size, 16),
  }))
  return places.sort((a, b) => a.start - b.start)
}

/** Names for stacks of several processes; each process's map is read once. */
export class Symbols {
  readonly #processes = new Map<number, ProcessSymbols>()

  /** Reads the maps of all known processes again: libraries come, programs start others. Of those that ended the last map stays. */
  refresh(): void {
    for (const pid of this.#processes.keys()) {
      const now = new ProcessSymbols(pid)
      if (now.isMapped) this.#processes.set(pid, now)
    }
  }
  /** Reads a process's map now, while it is there. */
  remember(pid: number): ProcessSymbols {
    let process = this.#processes.get(pid)
    if (process === undefined) {
      process = new ProcessSymbols(pid)
      this.#processes.set(pid, process)
    }
    return process
  }
  user(pid: number, addresses: readonly bigint[]): Frame[] {
    const process = this.remember(pid)
    return addresses.map((address) => process.frame(address))
  }
  kernel(addresses: readonly bigint[]): Frame[] {
    return addresses.map(kernelFrame)
  }
}
