import { readdirSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { gunzipSync } from 'node:zlib'
import type { Btf } from '../../btf/index.ts'
import type { LinkProgramOptions } from '../../spec/index.ts'
import { kernelBtf } from '../prog/kernel-btf.ts'

function moduleBtfs(): ReadonlyMap<string, Btf> {
  const modules = new Map<string, Btf>()
  let names: string[] = []
  try {
    names = readdirSync('/sys/kernel/btf').filter((name) => name !== 'vmlinux')
  } catch {
    // a kernel without BTF has no folder either
  }
  for (const name of names) {
    const btf = kernelBtf(name)
    if (btf !== undefined) modules.set(name, btf)
  }
  return modules
}

/** Addresses of /proc/kallsyms; zero where kptr_restrict hides them, which counts as unknown. */
function readSymbols(): ReadonlyMap<string, bigint> {
  const symbols = new Map<string, bigint>()
  try {
    for (const line of readFileSync('/proc/kallsyms', 'latin1').split('\n')) {
      const [address, , name] = line.split(/[ \t]/)
      if (name !== undefined && !symbols.has(name) && !/^0+$/.test(address)) symbols.set(name, BigInt(`0x${address}`))
    }
  } catch {
    // not readable: no symbol is known
  }
  return symbols
}

/** CONFIG_ lines of /proc/config.gz or /boot/config-RELEASE. */
function readConfig(): ReadonlyMap<string, string> {
  const texts = [
    () => gunzipSync(readFileSync('/proc/config.gz')).toString('latin1'),
    () => readFileSync(`/boot/config-${release()}`, 'latin1'),
  ]
  for (const read of texts) {
    try {
      return new Map(
        [...read().matchAll(/^(CONFIG_\w+)=(.*)$/gm)].map(([, name, value]): [string, string] => [name, value]),
      )
    } catch {
      // the next place
    }
  }
  return new Map()
}

/** What libbpf finds out itself: names that stand beside the configuration's. */
function readAbility(name: string, config: () => ReadonlyMap<string, string>): string | undefined {
  if (name === 'LINUX_HAS_BPF_COOKIE') {
    const helpers = kernelBtf()?.find('bpf_func_id', 'enum')
    const has = helpers?.kind === 'enum' && helpers.values.some((row) => row.name === 'BPF_FUNC_get_attach_cookie')
    return has ? 'y' : 'n'
  }
  if (name === 'LINUX_HAS_SYSCALL_WRAPPER') {
    // Where the configuration cannot be read: these architectures wrap since before the oldest kernel of this project.
    const wrapped = ['x64', 'arm64', 's390x', 'riscv64'].includes(process.arch)
    return config().get('CONFIG_ARCH_HAS_SYSCALL_WRAPPER') ?? (wrapped ? 'y' : 'n')
  }
  return undefined
}

/** LINUX_KERNEL_VERSION of a release such as "6.18.44-generic": a third number past 255 counts as 255. */
export function kernelVersionCode(text: string = release()): number {
  const match = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(text)
  if (match === null) return 0
  return Number(match[1]) * 65536 + Number(match[2]) * 256 + Math.min(Number(match[3] ?? 0), 255)
}

let options: LinkProgramOptions | undefined

/** The running kernel as linking needs it: its BTF, modules, symbols, configuration and version; read when asked for. */
export function runningKernel(): LinkProgramOptions {
  if (options === undefined) {
    let symbols: ReadonlyMap<string, bigint> | undefined
    let config: ReadonlyMap<string, string> | undefined
    const modules = moduleBtfs()
    options = {
      kernelBtf: kernelBtf(),
      ...(modules.size === 0 ? {} : { moduleBtfs: modules }),
      kernelSymbol: (name) => {
        symbols ??= readSymbols()
        return symbols.get(name)
      },
      kernelConfig: (name) => {
        const all = (): ReadonlyMap<string, string> => {
          config ??= readConfig()
          return config
        }
        return readAbility(name, all) ?? all().get(name)
      },
      kernelVersion: kernelVersionCode(),
    }
  }
  return options
}
