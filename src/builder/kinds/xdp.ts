import { ATTACH_TYPES, PROGRAM_TYPES } from '../../uapi/index.ts'
import { type FunctionContext, here } from '../context.ts'
import type { Operand } from '../ir/ops.ts'
import { u32 } from '../types/types.ts'
import { Int } from '../values/int.ts'
import { Body } from './body.ts'
import { Packet } from './packet.ts'
import { BpfProgram, type ProgramOptions, ReturnCode } from './program.ts'

export type XdpCode = ReturnCode<'xdp'>
const ABORTED = new ReturnCode<'xdp'>('ABORTED', 0)
const DROP = new ReturnCode<'xdp'>('DROP', 1)
const PASS = new ReturnCode<'xdp'>('PASS', 2)
const TX = new ReturnCode<'xdp'>('TX', 3)
const REDIRECT = new ReturnCode<'xdp'>('REDIRECT', 4)

/** struct xdp_md (include/uapi/linux/bpf.h): offsets in bytes. */
const MD = { data: 0, dataEnd: 4, dataMeta: 8, ingressIfindex: 12, rxQueueIndex: 16, egressIfindex: 20 } as const

/** What an XDP program works with. */
export class XdpBody extends Body<XdpCode | Int<'u32'>> {
  /** An error: the packet is dropped and a tracepoint fires. */
  readonly ABORTED: XdpCode = ABORTED
  readonly DROP: XdpCode = DROP
  readonly PASS: XdpCode = PASS
  /** Out again where it came in. */
  readonly TX: XdpCode = TX
  /** As a redirect helper said. */
  readonly REDIRECT: XdpCode = REDIRECT
  readonly packet: Packet<'write'>
  readonly #context: Operand

  constructor(fn: FunctionContext, context: Operand) {
    super()
    this.#context = context
    this.packet = new Packet(fn, context, MD)
  }
  #field(offset: number): Int<'u32'> {
    const fn = here('a context field')
    return new Int(u32, fn.emitter.load('ctx', 4, this.#context, offset), fn)
  }
  /** The interface the packet came in on. */
  get ingressIfindex(): Int<'u32'> {
    return this.#field(MD.ingressIfindex)
  }
  get rxQueueIndex(): Int<'u32'> {
    return this.#field(MD.rxQueueIndex)
  }
}

export interface XdpOptions extends ProgramOptions {
  /** The program takes packets in several buffers (Linux 5.18). */
  readonly frags?: boolean
}

/** A program that sees each packet as the driver receives it: `xdp('name', (b) => { …; return b.PASS })`. */
export function xdp(name: string, build: (b: XdpBody) => XdpCode | Int<'u32'>): BpfProgram<'xdp'>
export function xdp(name: string, options: XdpOptions, build: (b: XdpBody) => XdpCode | Int<'u32'>): BpfProgram<'xdp'>
export function xdp(
  name: string,
  optionsOrBuild: XdpOptions | ((b: XdpBody) => XdpCode | Int<'u32'>),
  last?: (b: XdpBody) => XdpCode | Int<'u32'>,
): BpfProgram<'xdp'> {
  const options = typeof optionsOrBuild === 'function' ? {} : optionsOrBuild
  const build = typeof optionsOrBuild === 'function' ? optionsOrBuild : last!
  return new BpfProgram(
    name,
    {
      section: options.frags ? 'xdp.frags' : 'xdp',
      type: PROGRAM_TYPES.xdp,
      attachType: ATTACH_TYPES.xdp,
      flags: options.frags ? ['xdp_has_frags'] : [],
      contextType: 'xdp_md',
      attach: { kind: 'xdp' },
      options,
    },
    (fn, context) => build(new XdpBody(fn, context)),
  )
}
