import { PROFILE_6_18, PROGRAM_FLAGS, PROGRAM_TYPES, type ProgramType } from '../../../../src/uapi/index.ts'
import { Code } from '../code.ts'
import type { Generated, Generator } from '../program.ts'
import type { Random } from '../random.ts'
import { SIZES } from '../writer.ts'

/** Every program type and attach type of the profile; a few accesses of its context and a return value. */
function generate(random: Random): Generated {
  const row = random.pick(PROFILE_6_18.programs)
  const context = PROFILE_6_18.contexts[row.context]
  const code = new Code()
  const careful = random.chance(0.75)
  const letters = context.offsets.join('')
  code.movReg(6, 1)
  for (let i = random.between(1, 4); i > 0; i--) {
    let offset = random.between(0, Math.min(context.size + 4, 260))
    let size = random.pick(SIZES)
    let write = random.chance(0.3)
    let signed = size < 8 && random.chance(0.1)
    if (careful)
      for (let tries = 0; tries < 60; tries++) {
        const at = context.repeats && offset >= 16 ? 8 + (offset % 8) : offset
        const [reads, writes, signedReads] = (PROFILE_6_18.accesses[letters[at] ?? '.'] ?? '- - -').split(' ')
        const word = (write ? writes : signed ? signedReads : reads).split(',')[SIZES.indexOf(size)]
        if (word !== undefined && word !== '-') break
        offset = random.between(0, Math.min(context.size, 260))
        size = random.pick(SIZES)
        write = random.chance(0.3)
        signed = size < 8 && random.chance(0.1)
      }
    const base = random.chance(0.7) ? 6 : 1
    if (write && random.chance(0.3)) code.storeImm(size, base, offset, random.edge())
    else if (write) {
      code.mov(2, random.edge())
      code.store(size, base, offset, 2)
    } else code.load(size, random.between(2, 5), base, offset, signed)
    if (random.chance(0.05)) code.alu(0, 6, random.between(0, 8))
  }
  const range = row.returns
  if (random.chance(0.3)) code.call(7)
  else
    code.mov(
      0,
      range === null
        ? random.edge()
        : random.between(range[0] - (careful ? 0 : 1), range[1] + (random.chance(0.9) ? 0 : 1)),
    )
  code.exit()
  return {
    type: PROGRAM_TYPES[row.type as ProgramType],
    attachType: row.attachType,
    flags: row.sleepable === true ? PROGRAM_FLAGS.sleepable : 0,
    license: 'GPL',
    slots: code.finish(),
    relocations: code.relocations,
  }
}

export const contextGenerator: Generator = { name: 'context', generate }
