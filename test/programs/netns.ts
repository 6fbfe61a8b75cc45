// Network namespaces, veth pairs and their ends, made by a test for itself and taken away again.
import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { interfaceIndex, realSys } from 'typebpf/kernel'

const CLONE_NEWNET = 0x4000_0000
const SIOCETHTOOL = 0x8946
let made = 0

export const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' })

/** A namespace of its own; everything in it goes with it. */
export class Netns implements Disposable {
  readonly name = `typebpf-${process.pid}-${made++}`
  readonly #fd: number
  constructor() {
    ip('netns', 'add', this.name)
    ip('-n', this.name, 'link', 'set', 'lo', 'up')
    this.#fd = openSync(`/run/netns/${this.name}`, 'r')
  }
  /** What `action` does, this process's main thread does inside; programs that it starts run inside as well. */
  run<T>(action: () => T): T {
    const sys = realSys()
    const home = openSync('/proc/self/ns/net', 'r')
    try {
      if (sys.call('setns', this.#fd, CLONE_NEWNET) < 0) throw new Error(`cannot enter ${this.name}`)
      try {
        return action()
      } finally {
        sys.call('setns', home, CLONE_NEWNET)
      }
    } finally {
      closeSync(home)
    }
  }
  /** `ip -n NAME …` */
  ip(...args: readonly string[]): string {
    return ip('-n', this.name, ...args)
  }
  [Symbol.dispose](): void {
    closeSync(this.#fd)
    ip('netns', 'del', this.name)
  }
}

export interface End {
  readonly netns: Netns
  readonly name: string
  readonly mac: string
  readonly ifindex: number
}

/** Joins two namespaces; both ends are up. */
export function veth(a: Netns, nameA: string, b: Netns, nameB: string): readonly [End, End] {
  ip('link', 'add', 'name', nameA, 'netns', a.name, 'type', 'veth', 'peer', 'name', nameB, 'netns', b.name)
  const ends = (
    [
      [a, nameA],
      [b, nameB],
    ] as const
  ).map(([netns, name]): End => {
    // its own packets (neighbour discovery) would be counted with the test's
    netns.run(() => execFileSync('sh', ['-c', `echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`]))
    netns.ip('link', 'set', name, 'up')
    const mac = /link\/ether (\S+)/.exec(netns.ip('link', 'show', name))?.[1] ?? ''
    return { netns, name, mac, ifindex: netns.run(() => interfaceIndex(realSys(), name)) }
  })
  return [ends[0], ends[1]]
}

/** What `ethtool -K` sets (include/uapi/linux/ethtool.h). */
const OFFLOADS = { tx: 0x17, gro: 0x2c } as const

/** `ethtool -K NAME tx on|off`, or `gro`. */
export function offload({ netns, name }: End, which: keyof typeof OFFLOADS, on: boolean): void {
  const sys = realSys()
  netns.run(() => {
    const socket = sys.call('socket', 2, 2, 0)
    using value = sys.alloc(8)
    using request = sys.alloc(40)
    value.view.setUint32(0, OFFLOADS[which], true)
    value.view.setUint32(4, on ? 1 : 0, true)
    request.bytes.set(new TextEncoder().encode(name))
    request.view.setBigUint64(16, BigInt(value.address), true)
    const result = sys.call('ioctl', socket, SIOCETHTOOL, request.address)
    sys.call('close', socket)
    if (result < 0) throw new Error(`ethtool on ${name}: ${result}`)
  })
}
