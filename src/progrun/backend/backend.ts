import type { MapSpec, ProgramImage } from '../../spec/index.ts'
import type { ArrayImage } from './array-image.ts'

export type BackendKind = 'emulator' | 'kernel'

/** Something a program sent out. */
export interface HarnessEvent {
  readonly kind: 'ringbuf' | 'perf' | 'clone' | 'signal' | 'seq'
  /** The map's name, or the helper's where there is no map. */
  readonly map: string
  readonly data: Uint8Array
}

/** A run as bytes. */
export interface RawRun {
  readonly data?: Uint8Array
  readonly context?: Uint8Array
  readonly args?: readonly bigint[]
  /** Bytes of `data` that are metadata in front of the packet (XDP). */
  readonly metadataSize: number
  readonly repeat: number
  readonly cpu?: number
}

export interface RawResult {
  readonly backend: BackendKind
  /** r0 as an unsigned 32-bit number. */
  readonly retval: number
  /** Metadata and packet as they came out; undefined where the type gives none. */
  readonly data?: Uint8Array
  readonly context?: Uint8Array
  /** The context's fields after the run, of types without BPF_PROG_RUN: emulator only. */
  readonly fields?: Readonly<Record<string, number | bigint>>
  /** struct bpf_flow_keys that a flow dissector filled in. */
  readonly flowKeys?: Uint8Array
  /** Mean of a run. */
  readonly durationNs?: number
  /** Instructions executed, emulator only. */
  readonly instructions?: number
  readonly events: readonly HarnessEvent[]
  /** bpf_printk lines, emulator only. */
  readonly printk?: readonly string[]
  /** Where a redirect helper sent it, emulator only. */
  readonly redirect?: { readonly ifindex?: number; readonly map?: string; readonly key?: number }
}

/** An entry as bytes: one value, or one a CPU. */
export interface RawEntry {
  readonly key: Uint8Array
  readonly values: readonly Uint8Array[]
}

export interface BackendMap {
  readonly spec: MapSpec
  entries(): RawEntry[]
  /** All elements at once, of array maps. */
  image?(): ArrayImage | undefined
  get(key: Uint8Array): readonly Uint8Array[] | undefined
  /** @throws SystemError or InputError when it cannot be written */
  set(key: Uint8Array, value: Uint8Array | readonly Uint8Array[]): void
  delete(key: Uint8Array): boolean
  /** Queues and stacks: these values and no others, in the order in which they will be popped. */
  refill?(values: readonly Uint8Array[]): void
  /** Its first contents again, nothing else. */
  reset(): void
}

/** Where programs run. */
export interface Backend {
  readonly kind: BackendKind
  /** For failures and reports: `emulator`, `kernel 6.18.44`. */
  readonly label: string
  /** @throws UnsupportedError when this backend cannot run the program's type */
  run(program: number, input: RawRun): RawResult
  map(index: number): BackendMap
  close(): void
}

/** Programs that share maps: what a backend is opened with. Maps are the union by name, in order of first use. */
export interface Fleet {
  readonly images: readonly ProgramImage[]
  readonly maps: readonly MapSpec[]
  /** For each image: its own map index → index in `maps`. */
  readonly mapIndex: readonly (readonly number[])[]
}

export function fleetOf(images: readonly ProgramImage[]): Fleet {
  const maps: MapSpec[] = []
  const mapIndex = images.map((image) =>
    image.maps.map((spec) => {
      const known = maps.findIndex(({ name }) => name === spec.name)
      return known >= 0 ? known : maps.push(spec) - 1
    }),
  )
  return { images, maps, mapIndex }
}
