import { HELPER_NAMES, HELPER_PROTOTYPES, type Profile, type ProfileProgram } from '../../uapi/index.ts'
import type { ArgumentType, HelperPrototype, ReturnType, TypeFlag } from '../prototype.ts'

/** `ARG_PTR_TO_MEM|MEM_FIXED_SIZE:8` or `ARG_PTR_TO_BTF_ID:task_struct` taken apart. */
function typeOf(word: string): { base: string; flags?: readonly TypeFlag[]; size?: number; btfType?: string } {
  const [names, detail] = word.split(':')
  const parts = names.split('|')
  const base = parts.find((part) => part.startsWith('ARG_') || part.startsWith('RET_')) ?? parts[0]
  const flags = parts.filter((part) => part !== base) as TypeFlag[]
  const number = detail === undefined ? Number.NaN : Number(detail)
  return {
    base,
    ...(flags.length === 0 ? {} : { flags }),
    ...(Number.isNaN(number) ? {} : { size: number }),
    ...(detail === undefined || !Number.isNaN(number) ? {} : { btfType: detail }),
  }
}

function prototypeOf(
  type: string,
  program: ProfileProgram | undefined,
  profile: Profile,
  id: number,
  name: string,
): HelperPrototype | undefined {
  const rows = HELPER_PROTOTYPES.prototypes[name]
  if (rows === undefined) return undefined
  const [returns, parameters, flags] = rows[HELPER_PROTOTYPES.choice[type]?.[name] ?? 0]
  const gplOnly = profile.gplOnly.includes(name) && program?.gplFree?.includes(name) !== true
  const prototype: HelperPrototype = {
    id,
    name,
    arguments: parameters === '' ? [] : parameters.split(' ').map((word) => typeOf(word) as ArgumentType),
    returns: typeOf(returns) as ReturnType,
    gplOnly,
    changesPacket: HELPER_PROTOTYPES.changesPacket.includes(name),
    mightSleep:
      flags.includes('might_sleep') ||
      (program?.sleepable === true && HELPER_PROTOTYPES.mightSleepWhenSleepable.includes(name)),
    packetAccess: flags.includes('pkt_access'),
    acquires: HELPER_PROTOTYPES.acquires.includes(name),
    fastcall: flags.includes('allow_fastcall'),
    ...(program?.conditional?.[name] === undefined ? {} : { allowed: false }),
  }
  return prototype
}

/** Prototypes by helper number for one recorded program; a hole where it cannot use the helper. */
export function helpersOfProgram(profile: Profile, program: ProfileProgram): readonly (HelperPrototype | undefined)[] {
  const available = new Set(profile.helperSets[program.helpers])
  return HELPER_NAMES.map((name, id) =>
    available.has(name) ? prototypeOf(program.type, program, profile, id, name) : undefined,
  )
}
