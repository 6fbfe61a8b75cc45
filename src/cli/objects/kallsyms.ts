import { readFileSync } from 'node:fs'

/** Kernel symbols by address, from /proc/kallsyms; empty where addresses are hidden (kptr_restrict). */
export interface KernelSymbols {
  /** Address of `__bpf_call_base`, 0n when hidden: helpers are called at this plus the instruction's imm. */
  readonly callBase: bigint
  readonly nameAt: (address: bigint) => string | undefined
  /** The name and the module that it is in. */
  readonly symbolAt: (address: bigint) => KernelSymbol | undefined
}

export interface KernelSymbol {
  readonly name: string
  readonly module?: string
}

/** Nothing is named. */
export const NO_SYMBOLS: KernelSymbols = { callBase: 0n, nameAt: () => undefined, symbolAt: () => undefined }

/** Reads the symbols that a program dump can name: the kernel's own, its modules' and the jited programs. */
export function kernelSymbols(): KernelSymbols {
  let text: string
  try {
    text = readFileSync('/proc/kallsyms', 'latin1')
  } catch {
    return NO_SYMBOLS
  }
  const base = /^([0-9a-f]+) \S __bpf_call_base\b/m.exec(text)?.[1]
  const callBase = BigInt(`0x${base ?? '0'}`)
  if (callBase === 0n) return NO_SYMBOLS
  const found = new Map<bigint, KernelSymbol | undefined>()
  const symbolAt = (address: bigint): KernelSymbol | undefined => {
    if (!found.has(address)) {
      // one search in the text is cheaper than a table of all 150,000 symbols
      const at = text.indexOf(`\n${address.toString(16).padStart(16, '0')} `)
      const line = at < 0 ? undefined : text.slice(at + 1, text.indexOf('\n', at + 1))
      const match = line === undefined ? null : /^\S+ \S (\S+)(?:\s+\[(.*)\])?/.exec(line)
      found.set(
        address,
        match === null ? undefined : { name: match[1], ...(match[2] !== undefined && { module: match[2] }) },
      )
    }
    return found.get(address)
  }
  return { callBase, symbolAt, nameAt: (address) => symbolAt(address)?.name }
}
