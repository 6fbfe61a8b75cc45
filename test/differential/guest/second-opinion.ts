/**
 * The running kernel on a program about which the guest and the model differ: point releases differ from one another, and the
 * model follows one of them.
 */
import { release } from 'node:os'
import type { Btf, BtfKind } from '../../../src/btf/index.ts'
import type { ProgramImage } from '../../../src/spec/index.ts'
import { createJudge, type Judgement } from '../../../src/syscall/index.ts'
import { kernelBtf } from '../../../src/syscall/prog/kernel-btf.ts'

const CALL = 0x85
const CALL_KERNEL = 2
const LD_IMM64 = 0x18
const LD_KERNEL_VARIABLE = 3

/** The same thing's id in another kernel's types, undefined where it has none. */
function idIn(from: Btf, to: Btf, id: number): number | undefined {
  if (!from.has(id)) return undefined
  const kind: BtfKind = from.kind(id)
  return to.idByName(from.name(id), kind)
}

/** A program for one kernel made one for another: ids of its functions, variables and targets. */
export function translated(image: ProgramImage, from: Btf, to: Btf): ProgramImage | undefined {
  const insns = Uint8Array.from(image.insns)
  const view = new DataView(insns.buffer)
  for (let at = 0; at < insns.length; at += 8) {
    const source = insns[at + 1] >> 4
    const named =
      (insns[at] === CALL && source === CALL_KERNEL && view.getInt16(at + 2, true) === 0) ||
      (insns[at] === LD_IMM64 && source === LD_KERNEL_VARIABLE)
    if (named) {
      const id = idIn(from, to, view.getInt32(at + 4, true))
      if (id === undefined) return undefined
      view.setInt32(at + 4, id, true)
    }
    if (insns[at] === LD_IMM64) at += 8
  }
  const attachBtfId = image.attachBtfId === undefined ? undefined : idIn(from, to, image.attachBtfId)
  const program = image.attachTo?.program === undefined ? undefined : translated(image.attachTo.program, from, to)
  if ((attachBtfId === undefined) !== (image.attachBtfId === undefined)) return undefined
  if ((program === undefined) !== (image.attachTo?.program === undefined)) return undefined
  return {
    ...image,
    insns,
    ...(attachBtfId === undefined ? {} : { attachBtfId }),
    ...(image.attachTo === undefined || program === undefined ? {} : { attachTo: { ...image.attachTo, program } }),
  }
}

export interface SecondOpinion {
  /** The running kernel's release. */
  readonly release: string
  /** Its answer, undefined where it cannot or must not be asked. Only what the model has looked at before may be asked. */
  judge(image: ProgramImage): Judgement | undefined
}

/**
 * @param guest the types that programs are made for
 * @param modelled how the release of a kernel begins that the model answers for
 * @returns undefined where the running kernel is another one
 */
export function secondOpinion(guest: Btf, modelled: string): SecondOpinion | undefined {
  const own = kernelBtf()
  if (own === undefined || !release().startsWith(modelled)) return undefined
  const judge = createJudge()
  return {
    release: release(),
    judge(image) {
      try {
        const program = translated(image, guest, own)
        const judgement = program === undefined ? undefined : judge.judge(program)
        return judgement?.verdict === 'denied' ? undefined : judgement
      } catch {
        // a map or target that cannot be made here
        return undefined
      }
    },
  }
}
