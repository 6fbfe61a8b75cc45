/** Programs of real objects, changed in one or two places. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { Btf } from '../../../../src/btf/index.ts'
import { readObject } from '../../../../src/elf/index.ts'
import { linkProgram, type ProgramImage } from '../../../../src/spec/index.ts'
import { ATTACH_TYPES, MAP_TYPES, PROGRAM_FLAGS, PROGRAM_TYPES } from '../../../../src/uapi/index.ts'
import { decodeSlots, encodeSlots, type Slot } from '../../verifier/code.ts'
import { damage } from '../../verifier/generators/damage.ts'
import type { Random } from '../../verifier/random.ts'
import { GuestError } from '../tools.ts'
import type { Kernel, Probe, ProbeFamily } from './site.ts'

/** Larger programs cost the guest too much time. */
const LARGEST_BYTES = 8 * 1500

/** Maps that user space sizes before it loads: the least that the kernel makes. */
const SIZED: Readonly<Partial<Record<number, number>>> = {
  [MAP_TYPES.hash]: 1,
  [MAP_TYPES.array]: 1,
  [MAP_TYPES.percpu_hash]: 1,
  [MAP_TYPES.percpu_array]: 1,
  [MAP_TYPES.lru_hash]: 1,
  [MAP_TYPES.bloom_filter]: 1,
  [MAP_TYPES.perf_event_array]: 1,
  [MAP_TYPES.ringbuf]: 4096,
}

function sized(image: ProgramImage): ProgramImage {
  const maps = image.maps.map((map) =>
    map.maxEntries === 0 && SIZED[map.type] !== undefined ? { ...map, maxEntries: SIZED[map.type] ?? 0 } : map,
  )
  return { ...image, maps }
}

const LD_IMM64 = 0x18
/** Pseudo sources that make the immediate a map's descriptor. */
const MAP_REFERENCES: readonly number[] = [1, 2]
/** No process has so many files open. */
const NO_DESCRIPTOR = 0x0fffffff

interface Real {
  readonly what: string
  readonly image: ProgramImage
}

/** Maps that a request cannot describe. */
function describable({ maps }: ProgramImage): boolean {
  return maps.every(
    ({ type, slots, inner }) =>
      type !== MAP_TYPES.struct_ops &&
      (slots?.length ?? 0) === 0 &&
      (inner !== undefined || (type !== MAP_TYPES.array_of_maps && type !== MAP_TYPES.hash_of_maps)),
  )
}

function functionNames({ btf, funcInfo }: ProgramImage): string[] {
  if (btf === undefined || funcInfo === undefined) return []
  const types = new Btf(btf)
  const view = new DataView(funcInfo.buffer, funcInfo.byteOffset, funcInfo.byteLength)
  return Array.from({ length: funcInfo.length / 8 }, (_, i) => types.name(view.getUint32(i * 8 + 4, true)))
}

/** Every program of the folder's objects that can be linked for this kernel. */
function readPrograms(folder: string, { btf }: Kernel): Real[] {
  let files: string[]
  try {
    files = readdirSync(folder).filter((name) => name.endsWith('.o'))
  } catch (error) {
    throw new GuestError(`--objects: ${error instanceof Error ? error.message : String(error)}`)
  }
  const found: Real[] = []
  for (const file of files.sort())
    try {
      const object = readObject(readFileSync(join(folder, file)), { what: file })
      for (const { name } of object.programs)
        try {
          const image = sized(linkProgram(object, name, { kernelBtf: btf }))
          if (image.insns.length <= LARGEST_BYTES && describable(image))
            found.push({ what: `${basename(file)}:${name}`, image })
        } catch {
          // what is made for another kernel
        }
    } catch {
      // no object, or one that this reader refuses: the object campaign's business
    }
  return found
}

const ON_PROGRAMS: readonly number[] = [ATTACH_TYPES.trace_fentry, ATTACH_TYPES.trace_fexit, ATTACH_TYPES.modify_return]

/** Programs that want another program's function get one of those that have it; undefined where none does. */
function aimed(
  real: Real,
  { btf }: Kernel,
  byFunction: ReadonlyMap<string, readonly Real[]>,
  random: Random,
): Real | undefined {
  const { image } = real
  const name = image.attachTo?.name
  const wants =
    image.type === PROGRAM_TYPES.ext ||
    (image.type === PROGRAM_TYPES.tracing &&
      ON_PROGRAMS.includes(image.expectedAttachType) &&
      name !== undefined &&
      btf.idByName(name, 'func') === undefined)
  if (!wants || name === undefined) return wants ? undefined : real
  const targets = byFunction.get(name) ?? []
  if (targets.length === 0) return undefined
  const target = random.pick(targets)
  return { what: `${real.what} on ${target.what}`, image: { ...image, attachTo: { name, program: target.image } } }
}

function mutated(image: ProgramImage, random: Random, hooks: readonly string[]): ProgramImage {
  const { slots, relocations } = damage(random, {
    type: image.type,
    attachType: image.expectedAttachType,
    flags: image.flags,
    license: image.license,
    slots: decodeSlots(image.insns),
    relocations: image.relocations,
  })
  // a map reference that has lost its relocation means whatever the asking process has open
  const referred = new Set(relocations.map(({ insn }) => insn))
  const closed = slots.map((slot, at): Slot => {
    const [opcode, dst, src, offset] = slot
    return opcode === LD_IMM64 && MAP_REFERENCES.includes(src) && !referred.has(at)
      ? [opcode, dst, src, offset, NO_DESCRIPTOR]
      : slot
  })
  // lines move with the instructions, and records that no longer fit are all that the kernel would speak of
  const moved = slots.length * 8 !== image.insns.length
  let changed: ProgramImage = {
    ...image,
    insns: encodeSlots(closed),
    relocations,
    ...(moved ? { lineInfo: undefined } : {}),
  }
  if (image.type === PROGRAM_TYPES.lsm && random.chance(0.25)) {
    const { attachBtfId: _, ...without } = changed
    changed = { ...without, attachTo: { name: random.pick(hooks) } }
  }
  if (random.chance(0.08)) changed = { ...changed, flags: changed.flags ^ PROGRAM_FLAGS.sleepable }
  if (image.type === PROGRAM_TYPES.lsm && random.chance(0.08))
    changed = { ...changed, expectedAttachType: random.pick([ATTACH_TYPES.lsm_mac, ATTACH_TYPES.lsm_cgroup]) }
  return changed
}

/**
 * @param folder of objects (.o)
 * @throws GuestError where it cannot be read or has no program that links
 */
export function objectFamily(folder: string, kernel: Kernel): ProbeFamily {
  const programs = readPrograms(folder, kernel)
  if (programs.length === 0) throw new GuestError(`--objects: no program in ${folder}/*.o links for this kernel`)
  const byFunction = new Map<string, Real[]>()
  for (const real of programs)
    if (real.image.type !== PROGRAM_TYPES.ext && real.image.attachTo === undefined)
      for (const name of functionNames(real.image)) byFunction.set(name, [...(byFunction.get(name) ?? []), real])
  const hooks = kernel.btf.idsWithNameStart('bpf_lsm_').map((id) => kernel.btf.name(id).slice('bpf_lsm_'.length))
  return {
    name: 'real-objects',
    generate(random, index): Probe {
      for (let at = index; at < index + programs.length; at++) {
        const real = aimed(programs[at % programs.length], kernel, byFunction, random)
        if (real === undefined) continue
        return random.chance(0.05) ? real : { what: `${real.what} changed`, image: mutated(real.image, random, hooks) }
      }
      return programs[0]
    },
  }
}
