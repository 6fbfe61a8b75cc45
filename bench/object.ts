import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Btf, dumpC } from '../src/btf/index.ts'
import { readObject } from '../src/elf/index.ts'
import { linkProgram } from '../src/spec/index.ts'
import { type Figure, interleaved, median } from './figure.ts'

const KERNEL = '/sys/kernel/btf/vmlinux'
const CORPORA = process.env['TYPEBPF_CORPORA'] ?? new URL('../../shared/corpora', import.meta.url).pathname
const RUNS = 9
const WARM_UP = 20
const area = 'object'
const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` }

const has = (program: string): boolean => {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { env, stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

async function kernelBtf(): Promise<Figure[]> {
  if (!existsSync(KERNEL)) return []
  const bytes = readFileSync(KERNEL)
  const [open] = await interleaved(RUNS, [() => new Btf(bytes).find('task_struct', 'struct')])
  const find: Figure = {
    area,
    name: 'open vmlinux BTF and find task_struct',
    value: open,
    unit: 'ms',
    goal: 'under 30 ms',
    met: open < 30,
  }
  const ours = (): number => dumpC(new Btf(readFileSync(KERNEL))).length
  const name = 'C header of vmlinux (ours in this process, bpftool a process)'
  const goal = 'at most 2 times bpftool'
  if (!has('bpftool')) {
    const [value] = await interleaved(RUNS, [ours])
    return [find, { area, name, value, unit: 'ms', peer: 'bpftool (not installed)', goal }]
  }
  const peer = (): unknown =>
    execFileSync('bpftool', ['btf', 'dump', 'file', KERNEL, 'format', 'c'], { env, maxBuffer: 1 << 28 })
  const [value, peerValue] = await interleaved(RUNS, [ours, peer])
  const ratio = value / peerValue
  return [find, { area, name, value, unit: 'ms', peer: 'bpftool', peerValue, ratio, goal, met: ratio <= 2 }]
}

/** libbpf's time for opening: a small C program, compiled here when a compiler and libbpf are there. */
function buildPeer(folder: string): string | undefined {
  try {
    const program = join(folder, 'peer')
    execFileSync('cc', ['-O2', '-o', program, join(import.meta.dirname, 'object-peer.c'), '-lbpf'], { stdio: 'ignore' })
    return program
  } catch {
    return undefined
  }
}

function openAll(path: string, kernel: Btf | undefined): number {
  const object = readObject(readFileSync(path), { what: path })
  let slots = 0
  for (const { name } of object.programs) slots += linkProgram(object, name, { kernelBtf: kernel }).insns.length / 8
  return slots
}

async function objects(): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'typebpf-'))
  try {
    const peer = buildPeer(folder)
    const kernel = existsSync(KERNEL) ? new Btf(readFileSync(KERNEL)) : undefined
    const figures: Figure[] = []
    const list = [
      [join(CORPORA, 'objects/ebpf-samples/cilium-core/bpf_sock.o'), 'a BTF object, bpf_sock.o'],
      [
        join(CORPORA, 'objects/ebpf-samples/cilium/bpf_xdp_snat_linux_v1.o'),
        'a legacy object, bpf_xdp_snat_linux_v1.o',
      ],
    ] as const
    for (const [path, label] of list) {
      if (!existsSync(path)) continue
      const tasks: (() => unknown)[] = [
        () => readObject(readFileSync(path), { what: path }),
        () => openAll(path, kernel),
      ]
      const times: number[] = []
      if (peer !== undefined)
        tasks.push(() => {
          try {
            const out = execFileSync(peer, [path, '1'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
            times.push(Number(out))
          } catch {
            // libbpf refuses the object
          }
        })
      // the first open of a process also compiles this code: a figure of its own
      const begin = performance.now()
      tasks[0]()
      const first = performance.now() - begin
      for (let i = 0; i < WARM_UP; i++) for (const task of tasks.slice(0, 2)) task()
      const [open, relocate] = await interleaved(RUNS, tasks)
      const peerValue = times.length > 0 ? median(times) : undefined
      const peerName =
        peer === undefined
          ? 'libbpf (not installed)'
          : peerValue === undefined
            ? 'libbpf (refuses it)'
            : 'libbpf bpf_object__open'
      const add = (name: string, value: number): void => {
        figures.push({
          area,
          name,
          value,
          unit: 'ms',
          peer: peerName,
          ...(peerValue === undefined ? {} : { peerValue, ratio: value / peerValue }),
        })
      }
      add(`open ${label}, the first time in this process`, first)
      add(`open ${label}`, open)
      add(`open, link and relocate every program of ${label}`, relocate)
    }
    return figures
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Reading BTF and objects, against bpftool and libbpf. */
export async function figures(): Promise<Figure[]> {
  return [...(await kernelBtf()), ...(await objects())]
}
