// Many frames through a program that runs between network namespaces, counted where they leave and where they arrive.
import { layoutOf } from 'typebpf'
import {
  attachTcx,
  attachXdp,
  BpfMap,
  GlobalVariables,
  type LoadedObject,
  loadObject,
  realSys,
  testRun,
} from 'typebpf/kernel'
import { collectObject } from 'typebpf/spec'
import type { End } from './netns.ts'
import * as traffic from './traffic.bpf.ts'

const LIVE_FRAMES = 2
/**
 * Frames of one call. A veth queues 256: the kernel makes 64 at a time and lets the other end work them off in between, which is
 * what keeps a faster sender from losing any.
 */
const AT_ONCE = 4096
const FRAME_BYTES = 64

export interface Arrived {
  readonly frames: number
  /** The sum of the frames' numbers: what is doubled or lost changes it. */
  readonly numbers: bigint
  readonly wrong: number
}

/** One program of traffic.bpf.ts at one end of a veth pair. */
export class Station implements Disposable {
  readonly #loaded: LoadedObject
  readonly #fd: number
  readonly #variables: GlobalVariables
  readonly #end: End
  readonly #close: (() => void)[] = []

  constructor(program: 'send' | 'answer' | 'receive' | 'count', end: End) {
    const sys = realSys()
    this.#end = end
    this.#loaded = loadObject(sys, collectObject(traffic, { name: 'traffic' }), { programs: [program] })
    const { result } = this.#loaded.programs[0]
    if (result.program === undefined) throw new Error(`${program}: ${result.message}`)
    const live = result.program
    this.#fd = live.fd
    this.#variables = new GlobalVariables(this.#loaded)
    if (program !== 'send') {
      const link = end.netns.run(() =>
        program === 'count'
          ? attachTcx(live, { interface: end.name, direction: 'ingress' })
          : attachXdp(live, { interface: end.name, mode: 'native' }),
      )
      this.#close.push(() => link.close())
    }
  }
  /** Sets what the programs of this station call `expected` or `sending`. */
  set(values: Readonly<Record<string, unknown>>): void {
    for (const [name, value] of Object.entries(values)) this.#variables.set(name, value)
  }
  arrived(): Arrived {
    const map = this.#loaded.maps.get('seen')
    if (map === undefined) throw new Error('this station counts nothing')
    const seen = new BpfMap(map, { key: layoutOf(traffic.seen.keyType), value: layoutOf(traffic.Seen) }).get(0)
    return { frames: Number(seen?.frames), numbers: seen?.numbers ?? 0n, wrong: Number(seen?.wrong) }
  }
  frame(bytes: Uint8Array): void {
    if (bytes.length !== FRAME_BYTES) throw new Error(`a frame of ${bytes.length} bytes`)
    this.#loaded.maps.get('template')?.update(new Uint8Array(4), bytes)
  }
  /** Sends `count` frames out of this end. */
  send(count: number): void {
    const context = new Uint8Array(24)
    const view = new DataView(context.buffer)
    view.setUint32(4, FRAME_BYTES, true)
    view.setUint32(12, this.#end.ifindex, true)
    this.#end.netns.run(() =>
      testRun(realSys(), this.#fd, {
        data: new Uint8Array(FRAME_BYTES),
        context,
        repeat: count,
        batchSize: Math.min(count, 64),
        flags: LIVE_FRAMES,
        dataOutSize: 0,
        contextOutSize: 0,
      }),
    )
  }
  [Symbol.dispose](): void {
    for (const action of this.#close.splice(0)) action()
    this.#variables[Symbol.dispose]()
    this.#loaded.close()
  }
}

/**
 * Sends `frames` frames, never more than one call ahead of `done` (how many have come to their end).
 * @throws Error when nothing comes to its end for ten seconds
 */
export function pump(sender: Station, frames: number, done: () => number): void {
  const before = done()
  for (let sent = 0; sent < frames; ) {
    const count = Math.min(AT_ONCE, frames - sent)
    sender.send(count)
    sent += count
    const deadline = Date.now() + 10_000
    while (done() - before < sent) {
      if (Date.now() > deadline) throw new Error(`${sent - (done() - before)} of ${sent} frames did not arrive`)
      Atomics.wait(PAUSE, 0, 0, 0.05)
    }
  }
}
const PAUSE = new Int32Array(new SharedArrayBuffer(4))

/** The sum of the numbers from `first` on of `count` frames. */
export function numbersFrom(first: number, count: number): bigint {
  return (BigInt(count) * BigInt(2 * first + count - 1)) / 2n
}
