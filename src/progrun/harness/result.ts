import { decode } from '../../layout/index.ts'
import type { ProgramType } from '../../uapi/index.ts'
import type { HarnessEvent, RawResult } from '../backend/backend.ts'
import { type DecodedLayer, decodePacket } from '../packets/index.ts'
import { RUN_SHAPES } from './shapes.ts'
import { type VerdictName, verdictName } from './verdicts.ts'

/** What one run gave. With two backends it is what both agreed on; `runs` has each. */
export class RunResult<K extends ProgramType = ProgramType> {
  readonly program: string
  readonly type: K
  /** `emulator`, `kernel 6.18.44`, or both joined by ` + `. */
  readonly backend: string
  /** r0 as a signed 32-bit number. */
  readonly returnValue: number
  /** Its name, where the type has names: `XDP_DROP`. */
  readonly verdict: VerdictName<K> | undefined
  /** The packet that came out, without metadata. */
  readonly packet: Uint8Array | undefined
  /** The metadata in front of it (XDP). */
  readonly metadata: Uint8Array | undefined
  /** Mean of a run in nanoseconds: the kernel's own measure where it ran there. */
  readonly durationNs: number | undefined
  /** Executed instructions, when the emulator ran. */
  readonly instructions: number | undefined
  /** struct bpf_flow_keys that a flow dissector filled in. */
  readonly flowKeys: Uint8Array | undefined
  readonly events: readonly HarnessEvent[]
  /** bpf_printk lines, when the emulator ran. */
  readonly printk: readonly string[]
  readonly redirect: RawResult['redirect']
  readonly runs: readonly RawResult[]
  readonly #context: Uint8Array | undefined

  constructor(program: string, type: K, label: string, runs: readonly RawResult[], metadataSize: number) {
    const [first] = runs
    this.program = program
    this.type = type
    this.backend = label
    this.runs = runs
    this.returnValue = first.retval | 0
    this.verdict = verdictName(type, this.returnValue) as VerdictName<K> | undefined
    const meta = type === 'xdp' ? metadataOut(first, metadataSize) : 0
    this.metadata = first.data === undefined || type !== 'xdp' ? undefined : first.data.subarray(0, meta)
    this.packet = first.data?.subarray(meta)
    const kernel = runs.find(({ backend }) => backend === 'kernel')
    const emulator = runs.find(({ backend }) => backend === 'emulator')
    this.durationNs = (kernel ?? first).durationNs
    this.instructions = emulator?.instructions
    this.flowKeys = first.flowKeys
    this.events = first.events
    this.printk = emulator?.printk ?? []
    this.redirect = emulator?.redirect
    this.#context = first.context
  }

  /** The headers of the packet that came out. */
  get layers(): DecodedLayer[] {
    return this.packet === undefined ? [] : decodePacket(this.packet)
  }

  /**
   * The context as it came out, by field: of test runs where one went in, of types without BPF_PROG_RUN from the emulator
   * (`reply` of sock_ops, the address that a cgroup program wrote). Undefined where the type gives none back.
   */
  get ctx(): Readonly<Record<string, unknown>> | undefined {
    const [{ fields }] = this.runs
    if (fields !== undefined) return fields
    const layout = RUN_SHAPES[this.type]?.context
    if (layout === undefined || this.#context === undefined || this.#context.length < layout.size) return undefined
    return decode(layout, this.#context) as Record<string, unknown>
  }
}

/** Bytes of metadata in front of the packet that came out: the context tells it when one was given. */
function metadataOut(result: RawResult, given: number): number {
  if (result.context === undefined || result.context.length < 4) return given
  return new DataView(result.context.buffer, result.context.byteOffset).getUint32(0, true)
}
