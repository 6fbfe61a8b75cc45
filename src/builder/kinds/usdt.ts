import { here } from '../context.ts'
import { constant } from '../ir/ops.ts'
import { map } from '../maps/index.ts'
import type { IntName } from '../types/forms.ts'
import { array, bool, type IntType, i8, i16, struct, u32, u64 } from '../types/types.ts'
import { convert, Int } from '../values/int.ts'
import { CONTEXT } from '../values/place.ts'
import { define } from './define.ts'
import type { Gated, Only } from './gates.ts'
import type { BpfProgram, ProgramOptions } from './program.ts'
import type { Sleepable } from './trace.ts'
import { ProbeBody } from './tracing.ts'

/** How an argument is found, as loaders of USDT probes write it (the maps of libbpf's usdt.bpf.h). */
const Argument = struct('__bpf_usdt_arg_spec', { offset: u64, type: u32, register: i16, signed: bool, shift: i8 })
const ARGUMENTS = 12
const Spec = struct('__bpf_usdt_spec', { args: array(Argument, ARGUMENTS), cookie: u64, count: i16 })
const TYPE = { constant: 0, register: 1, memory: 2 } as const

/** One map for all probes of an object: the loader fills it when it attaches them. */
const specs = map.array('__bpf_usdt_specs', { value: Spec, maxEntries: 256 })

/** A static probe of a program: its arguments are where the compiler left them. */
export class UsdtBody extends ProbeBody {
  /** An argument of the probe (0 to 11); 0 when it cannot be read. */
  override arg<N extends IntName = 'u64'>(index: number, type?: IntType<N>): Int<N> {
    const fn = here('b.arg')
    const { emitter } = fn
    const wide = this.let(u64, 0)
    specs.lookup(this.attachCookie().to(u32)).match((spec) => {
      const how = spec.args.at(index)
      this.if(
        how.type.eq(TYPE.constant),
        () => wide.set(how.offset),
        () => {
          const registers = emitter.alu(
            'add',
            64,
            this[CONTEXT](),
            convert(emitter, 'i16', 'i64', how.register.operand),
          )
          this.readKernel(u64, new Int(u64, registers, fn)).match((value) => {
            wide.set(value)
            this.if(how.type.eq(TYPE.memory), () => {
              this.readUser(u64, value.add(how.offset)).match((there) => wide.set(there))
            })
          })
        },
      )
      const count = emitter.alu('and', 64, convert(emitter, 'i8', 'i64', how.shift.operand), constant(63))
      const raised = emitter.alu('lsh', 64, wide.get().operand, count)
      this.if(
        how.signed,
        () => wide.set(new Int(u64, emitter.alu('arsh', 64, raised, count), fn)),
        () => wide.set(new Int(u64, emitter.alu('rsh', 64, raised, count), fn)),
      )
    })
    const wanted = (type ?? u64) as IntType<N>
    return new Int(wanted, convert(emitter, 'u64', wanted.id, wide.get().operand), fn)
  }
  /** The number that the attachment gave. */
  cookie(): Int<'u64'> {
    const fn = here('b.cookie')
    const found = this.let(u64, 0)
    specs.lookup(this.attachCookie().to(u32)).match((spec) => found.set(spec.cookie))
    return new Int(u64, found.get().operand, fn)
  }
}

/** A static probe (USDT) of a program or library: `usdt('q', { binary: '/usr/bin/postgres', provider: 'postgresql', probe: 'query__start' }, …)`. Linux 5.15. */
export function usdt<
  const O extends ProgramOptions &
    Sleepable & { readonly binary: string; readonly provider: string; readonly probe: string; readonly pid?: number },
>(
  name: string,
  options: Only<
    O,
    ProgramOptions &
      Sleepable & { readonly binary: string; readonly provider: string; readonly probe: string; readonly pid?: number }
  >,
  build: (b: Gated<UsdtBody, O>) => number | Int<'u32'>,
): BpfProgram<'usdt'> {
  const { binary, provider, probe, pid, sleepable } = options
  return define(
    {
      kind: 'usdt',
      type: 'kprobe',
      section: `usdt${sleepable ? '.s' : ''}/${binary}:${provider}:${probe}`,
      ...(sleepable ? { flags: ['sleepable'] as const } : {}),
      contextType: 'pt_regs',
      attach: { kind: 'usdt', binary, provider, name: probe, ...(pid === undefined ? {} : { pid }) },
      since: [5, 15],
      body: () => new UsdtBody(),
    },
    name,
    options,
    build,
  )
}
