import { type FunctionContext, here } from '../context.ts'
import { constant } from '../ir/ops.ts'
import { type KernelFields, type KernelStruct, type TrustedView, trustedAt } from '../kernel.ts'
import { text, u32, u64 } from '../types/types.ts'
import { Int } from '../values/int.ts'
import { placeOf } from '../values/place.ts'
import { type BytesView, view } from '../values/views.ts'
import { Body } from './body.ts'
import { helper } from './helper-calls.ts'

const COMM = text(16)

/** What programs have that run on behalf of a task: who it is. */
export abstract class TaskBody<R> extends Body<R> {
  /** tgid << 32 | pid of the current task (in kernel words; user space says process and thread). */
  pidTgid(): Int<'u64'> {
    const fn = here('b.pidTgid')
    const known = fn.emitter.known('pid_tgid')
    const raw = known ?? fn.emitter.call(helper('get_current_pid_tgid'), [], { pure: true })
    fn.emitter.remember('pid_tgid', raw)
    return new Int(u64, raw, fn)
  }
  /** The process's id (the kernel's tgid). */
  pid(): Int<'u32'> {
    const fn = here('b.pid')
    return new Int(u32, fn.emitter.alu('rsh', 64, this.pidTgid().operand, constant(32)), fn)
  }
  /** The thread's id (the kernel's pid). */
  tid(): Int<'u32'> {
    const fn = here('b.tid')
    return new Int(u32, fn.emitter.zext(32, this.pidTgid().operand), fn)
  }
  uid(): Int<'u32'> {
    const fn = here('b.uid')
    return new Int(u32, fn.emitter.zext(32, this.#uidGid()), fn)
  }
  gid(): Int<'u32'> {
    const fn = here('b.gid')
    return new Int(u32, fn.emitter.alu('rsh', 64, this.#uidGid(), constant(32)), fn)
  }
  #uidGid() {
    const fn = here('b.uid')
    const known = fn.emitter.known('uid_gid')
    const raw = known ?? fn.emitter.call(helper('get_current_uid_gid'), [], { pure: true })
    fn.emitter.remember('uid_gid', raw)
    return raw
  }
  /** The name of the current task: into a text field (16 bytes hold every name), or as a value of its own. */
  comm(): BytesView<16, 'read'>
  comm(into: BytesView<number, 'shared'>): void
  comm(given?: BytesView<number, 'shared'>): BytesView<16, 'read'> | undefined {
    const fn = here('b.comm')
    const into = given ?? this.#name(fn)
    const place = placeOf(into)
    fn.emitter.call(helper('get_current_comm'), [fn.emitter.address(place.base, place.offset), constant(into.length)], {
      result: false,
      fills: { base: place.base, offset: place.offset, size: into.length },
    })
    fn.emitter.touch(place.region)
    return given === undefined ? (into as BytesView<number> as BytesView<16, 'read'>) : undefined
  }
  #name(fn: FunctionContext): BytesView<16, 'shared'> {
    const slot = fn.emitter.slot(16, 8, 'the task')
    const base = { kind: 'frame', slot, offset: 0 } as const
    return view<typeof COMM, 'shared'>(COMM, { fn, region: `stack${slot.id}`, base, offset: 0, access: 'shared' })
  }
  /** The current task as a pointer that the verifier knows: its members are plain loads. Linux 5.11, GPL. */
  task<F extends KernelFields>(type: KernelStruct<F>): TrustedView<KernelStruct<F>> {
    const fn = here('b.task')
    const known = fn.emitter.known('current_task_btf')
    const raw = known ?? fn.emitter.call(helper('get_current_task_btf'), [], { pure: true })
    fn.emitter.remember('current_task_btf', raw)
    return trustedAt(fn, type, raw)
  }
  /** The cgroup's id of the current task (cgroup v2). */
  cgroupId(): Int<'u64'> {
    const fn = here('b.cgroupId')
    return new Int(u64, fn.emitter.call(helper('get_current_cgroup_id'), [], { pure: true }), fn)
  }
}
