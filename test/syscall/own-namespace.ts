import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { realSys, type Sys } from '../../src/syscall/index.ts'

const CLONE_NEWNS = 0x0002_0000
const CLONE_NEWNET = 0x4000_0000
const MS_REC_PRIVATE = 0x4000 | (1 << 18)
const FILE_SYSTEMS = ['tracefs', 'cgroup2', 'bpf'] as const

function text(sys: Sys, value: string) {
  const block = sys.alloc(value.length + 1)
  block.bytes.set(new TextEncoder().encode(value))
  return block
}

/** A network and a mount namespace of this process's own; they end with it. */
export interface OwnNamespace {
  /** Has tracefs, cgroup2 and bpf below it. */
  readonly folder: string
  close(): void
}

/**
 * Leaves the machine's network and mounts: loopback and a veth pair `left` and `right`, private tracefs, cgroup2 and bpffs.
 * Needs root and ip(8).
 */
export function enterOwnNamespace(): OwnNamespace {
  const sys = realSys()
  const must = (result: number): void => {
    if (result !== 0) throw new Error(`a namespace of our own: errno ${-result}`)
  }
  must(sys.call('unshare', CLONE_NEWNET | CLONE_NEWNS))
  using root = text(sys, '/')
  must(sys.call('mount', 0, root.address, 0, MS_REC_PRIVATE, 0))
  const folder = mkdtempSync(`${tmpdir()}/typebpf-links-`)
  for (const type of FILE_SYSTEMS) {
    mkdirSync(`${folder}/${type}`)
    using source = text(sys, 'none')
    using path = text(sys, `${folder}/${type}`)
    using name = text(sys, type)
    must(sys.call('mount', source.address, path.address, name.address, 0, 0))
  }
  execFileSync('ip', ['link', 'set', 'lo', 'up'])
  execFileSync('ip', ['link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right'])
  for (const name of ['left', 'right']) execFileSync('ip', ['link', 'set', name, 'up'])
  return {
    folder,
    close() {
      for (const type of FILE_SYSTEMS) execFileSync('umount', ['-l', `${folder}/${type}`])
      rmSync(folder, { recursive: true })
    },
  }
}

/** Sends datagrams to this namespace's own loopback. */
export function sendDatagrams(count: number, port = 9999): void {
  const sys = realSys()
  const socket = sys.call('socket', 2, 2, 0)
  using to = sys.alloc(16)
  to.view.setUint16(0, 2, true)
  to.view.setUint16(2, port)
  to.view.setUint32(4, 0x7f000001)
  using data = sys.alloc(64)
  for (let i = 0; i < count; i++) sys.call('sendto', socket, data.address, 64, 0, to.address, 16)
  sys.call('close', socket)
}
