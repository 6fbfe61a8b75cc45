/** Flags of sections without interrupts, which live on the stack (process_irq_flag of Linux 6.18). */

import { checkMemory } from '../memory/memory.ts'
import {
  allBytes,
  anyByte,
  clearSlots,
  firstSlot,
  OUT_OF_RANGE,
  objectFrame,
  readSlots,
} from '../memory/stack-objects.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { markKnown } from '../scalars/bounds.ts'
import { EACCES, type Env } from '../state/env.ts'
import { acquireIrq, releaseIrq } from '../state/references.ts'
import * as R from '../state/registers.ts'
import { slotBase } from '../state/state.ts'

/** Who turned interrupts off: only its counterpart may turn them on. */
const NATIVE = 0
const OF_LOCK = 1
const OWNERS = ['native', 'lock']

export function checkIrqFlag(env: Env, liveness: StackLiveness, register: number, name: string): void {
  const save = name === 'bpf_local_irq_save' || name === 'bpf_res_spin_lock_irqsave'
  const owner = name.startsWith('bpf_res_spin_') ? OF_LOCK : NATIVE
  const first = firstSlot(env, register, 'irq_flag', 1)
  if (save) {
    const free = first === OUT_OF_RANGE || (first >= 0 && !anyByte(objectFrame(env, register), first, 1, R.IRQ_SLOT))
    if (!free) env.reject(`expected uninitialized irq flag as arg#${register - 1}`)
    checkMemory(env, liveness, register, 0, 8, true, -1, false, false)
    const slot = firstSlot(env, register, 'irq_flag', 1)
    const frame = objectFrame(env, register)
    const b = slotBase(slot)
    const id = acquireIrq(env, env.insn)
    markKnown(frame.m, b, 0, 0)
    frame.m[b + R.TYPE] = R.STACK
    frame.m[b + R.FRAME] = 0
    frame.m[b + R.REF] = id
    frame.m[b + R.AUX] = owner
    frame.types.fill(R.IRQ_SLOT, slot * 8, slot * 8 + 8)
    env.scratchSlot(slot)
    liveness.markWrite(frame.index, slot)
    return
  }
  const frame = objectFrame(env, register)
  const id = first < 0 ? 0 : frame.m[slotBase(first) + R.REF]
  if (first < 0 || id === 0 || !allBytes(frame, first, 1, R.IRQ_SLOT))
    env.reject(`expected an initialized irq flag as arg#${register - 1}`)
  readSlots(env, liveness, frame, first, 1)
  const made = frame.m[slotBase(first) + R.AUX]
  if (made !== owner)
    env.reject(`irq flag acquired by ${OWNERS[made]} kfuncs cannot be restored with ${OWNERS[owner]} kfuncs`)
  if (!releaseIrq(env.state, id)) {
    const wanted = env.state.irqId
    const insn = env.state.references.find((r) => r.id === wanted)?.insn ?? 0
    env.reject(`cannot restore irq state out of order, expected id=${wanted} acquired at insn_idx=${insn}`, EACCES)
  }
  clearSlots(env, liveness, frame, first, 1)
}
