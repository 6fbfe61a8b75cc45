import {
  HELPER_NAMES,
  HELPER_PROTOTYPES,
  type Profile,
  type ProfileProgram,
  type ProfileTargets,
} from '../../uapi/index.ts'
import type { ArgumentType, HelperPrototype, ReturnType, TypeFlag } from '../kernel/prototype.ts'
import {
  CGROUP_HELPERS,
  HELPERS_OF_SLEEPABLE_HOOKS,
  LSM_HELPERS,
  SOCKOPT_HELPERS,
  TRAMPOLINE_HELPERS,
  TRAMPOLINE_ONLY,
} from './lsm.ts'

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
  program: Pick<ProfileProgram, 'gplFree' | 'conditional' | 'sleepable'> | undefined,
  gplOnlyNames: readonly string[],
  id: number,
  name: string,
): HelperPrototype | undefined {
  const rows = HELPER_PROTOTYPES.prototypes[name]
  if (rows === undefined) return undefined
  const [returns, parameters, flags] = rows[HELPER_PROTOTYPES.choice[type]?.[name] ?? 0]
  const gplOnly = gplOnlyNames.includes(name) && program?.gplFree?.includes(name) !== true
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
    available.has(name) ? prototypeOf(program.type, program, profile.gplOnly, id, name) : undefined,
  )
}

/** What tracing programs on functions call besides what those on tracepoints do (tracing_prog_func_proto). */
const OF_FUNCTIONS = ['get_func_arg', 'get_func_arg_cnt', 'get_func_ret']
/** What the traced function decides. */
const OF_SOME_FUNCTIONS = { sk_storage_get: '', sk_storage_delete: '', d_path: '' }
const SLEEPABLE_ONLY = ['copy_from_user', 'copy_from_user_task']

/** Prototypes for a program with an attach target, by the recorded kind of target; undefined for one that is not known. */
export function helpersOfTarget(
  targets: ProfileTargets,
  key: string,
): readonly (HelperPrototype | undefined)[] | undefined {
  const sleepable = key.endsWith('-sleepable')
  const bare = sleepable ? key.slice(0, -'-sleepable'.length) : key
  const isFunction = /^tracing-(fentry|fexit|modify_return)$/.test(bare)
  const row = targets.programs[isFunction ? 'tracing-raw_tp' : key] ?? targets.programs[bare]
  if (row === undefined) return undefined
  const available = new Set(targets.helperSets[row.helpers])
  if (isFunction) {
    for (const name of OF_FUNCTIONS) available.add(name)
    if (sleepable) for (const name of SLEEPABLE_ONLY) available.add(name)
  }
  const conditional = isFunction ? { ...row.conditional, ...OF_SOME_FUNCTIONS } : row.conditional
  const gplOnly = targets.helperSets[row.gplOnly]
  // Iterators over sockets take the socket where others take their context: the signature of struct_ops.
  const type = (name: string) => (key.startsWith('tracing') && !name.endsWith('etsockopt') ? 'tracing' : 'struct_ops')
  return HELPER_NAMES.map((name, id) =>
    available.has(name) ? prototypeOf(type(name), { conditional, sleepable }, gplOnly, id, name) : undefined,
  )
}

/** Prototypes for LSM programs, by the key of their hook (program/lsm-target.ts). */
export function helpersOfLsm(targets: ProfileTargets, key: string): readonly (HelperPrototype | undefined)[] {
  const [, kind, ...marks] = key.split('-')
  const row = targets.programs['tracing-raw_tp']
  const available = new Set([...targets.helperSets[row.helpers], ...LSM_HELPERS])
  if (kind === 'mac') for (const name of TRAMPOLINE_HELPERS) available.add(name)
  else available.delete(TRAMPOLINE_ONLY)
  if (kind === 'cgroup' || kind === 'sockopt') for (const name of CGROUP_HELPERS) available.add(name)
  if (kind === 'sockopt') for (const name of SOCKOPT_HELPERS) available.add(name)
  const refused = marks.includes('atomic') ? HELPERS_OF_SLEEPABLE_HOOKS : []
  const conditional = Object.fromEntries(refused.map((name) => [name, 'helper call is not allowed in probe']))
  const program = { conditional, sleepable: marks.includes('sleepable') }
  const gplOnly = targets.helperSets[row.gplOnly]
  return HELPER_NAMES.map((name, id) =>
    available.has(name) ? prototypeOf('lsm', program, gplOnly, id, name) : undefined,
  )
}
