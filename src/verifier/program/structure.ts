/**
 * What must hold before anything is simulated: subprogram boundaries, jumps inside them, known opcodes, 64-bit immediate
 * loads and the maps they name. In the order in which Linux 6.18 asks.
 */

import { MAP_TYPES } from '../../uapi/index.ts'
import { findExceptionCallback } from '../calls/exception-callback.ts'
import { KERNEL_OBJECT } from '../kernel/kernel-types.ts'
import { addKfunc } from '../kernel/kfunc-prototype.ts'
import { mapUseRefusal } from '../kernel/map-rules.ts'
import { E2BIG, EBUSY, EINVAL, ENOENT, type Env } from '../state/env.ts'
import { BTF_ID, MEM, PERCPU, RDONLY } from '../state/registers.ts'
import {
  CALL,
  EXIT,
  isKnownOpcode,
  isPseudoCall,
  isPseudoFunc,
  JA,
  JA32,
  jumpOffset,
  LD_IMM64,
  type ProgramMap,
  PSEUDO_BTF_ID,
  PSEUDO_FUNC,
  PSEUDO_KFUNC_CALL,
  PSEUDO_MAP_FD,
  PSEUDO_MAP_IDX,
  PSEUDO_MAP_IDX_VALUE,
  PSEUDO_MAP_VALUE,
  type Subprogram,
} from './program.ts'

const MAX_SUBPROGRAMS = 256
const MAX_VARIABLE_OFFSET = 1 << 29
const TAIL_CALL = 12

function newSubprogram(start: number): Subprogram {
  return {
    start,
    end: start,
    name: '',
    linkage: 'none',
    btfType: 0,
    stackDepth: 0,
    hasTailCall: false,
    hasLdAbs: false,
    changesPacket: false,
    mightSleep: false,
    isCallback: false,
    isAsyncCallback: false,
    isExceptionCallback: false,
    unreliable: false,
    called: false,
    walked: false,
    loadedAt: -1,
    verified: false,
    postorderStart: 0,
    postorderEnd: 0,
    exit: 0,
    fastcallOffset: 0,
    keepFastcallStack: false,
  }
}

function collectStarts(env: Env, starts: Set<number>): void {
  const code = env.code
  for (let i = 0; i < code.length; i++) {
    if (code.op[i] === CALL && code.src[i] === PSEUDO_KFUNC_CALL) {
      if (!env.gpl) env.reject('cannot call kernel function from non-GPL compatible program')
      if (code.imm[i] === 0 && code.off[i] === 0) continue
      addKfunc(env, i)
      continue
    }
    if (!isPseudoCall(code, i) && !isPseudoFunc(code, i)) continue
    const target = i + code.imm[i] + 1
    if (target >= code.length || target < 0) env.reject('call to invalid destination')
    addStart(env, starts, target)
  }
}

function addStart(env: Env, starts: Set<number>, start: number): void {
  if (starts.has(start)) return
  if (starts.size >= MAX_SUBPROGRAMS) env.reject('too many subprograms', E2BIG)
  starts.add(start)
}

/** Finds where subprograms start: at 0, at call targets, at function addresses. */
export function addSubprograms(env: Env): void {
  const code = env.code
  const starts = new Set<number>()
  starts.add(0)
  let thrown = 0
  try {
    collectStarts(env, starts)
    thrown = findExceptionCallback(env)
    if (thrown >= code.length) env.reject('call to invalid destination')
    if (thrown > 0) addStart(env, starts, thrown)
  } finally {
    // What was found so far counts in the statistics of a program that is refused here.
    env.subprograms = [...starts].sort((a, b) => a - b).map(newSubprogram)
  }
  for (const [index, subprogram] of env.subprograms.entries()) {
    subprogram.end = env.subprograms[index + 1]?.start ?? code.length
    env.subprogramAt[subprogram.start] = index
  }
  if (thrown > 0) {
    env.exceptionCallback = env.subprogramAt[thrown]
    const subprogram = env.subprograms[env.exceptionCallback]
    subprogram.isCallback = subprogram.isAsyncCallback = subprogram.isExceptionCallback = true
  }
  if (env.log.states) for (const [index, s] of env.subprograms.entries()) env.say(`func#${index} @${s.start}`)
}

/** Jumps stay inside their subprogram, which ends with exit or a jump (check_subprogs). */
export function checkSubprograms(env: Env): void {
  const code = env.code
  let current = 0
  for (let i = 0; i < code.length; i++) {
    const op = code.op[i]
    const subprogram = env.subprograms[current]
    if (op === CALL && code.src[i] === 0 && code.imm[i] === TAIL_CALL) subprogram.hasTailCall = true
    if ((op & 7) === 0 && ((op & 0xe0) === 0x20 || (op & 0xe0) === 0x40)) subprogram.hasLdAbs = true
    const cls = op & 7
    const kind = op & 0xf0
    if ((cls === 5 || cls === 6) && kind !== 0x90 && kind !== 0x80) {
      const target = i + jumpOffset(code, i) + 1
      if (target < subprogram.start || target >= subprogram.end)
        env.reject(`jump out of range from insn ${i} to ${target}`)
    }
    if (op === EXIT) subprogram.exit = i
    if (i === subprogram.end - 1) {
      if (op !== EXIT && op !== JA32 && op !== JA) env.reject('last insn is not an exit or jmp')
      current++
    }
  }
}

/** Reserved fields of 64-bit immediate loads, and the maps behind them (resolve_pseudo_ldimm64). */
export function resolveImmediates(env: Env): void {
  const code = env.code
  const byInsn = new Map(env.image.relocations.map((r) => [r.insn, r]))
  const used = new Set<ProgramMap>()
  for (let i = 0; i < code.length; i++) {
    const op = code.op[i]
    if ((op & 7) === 1 && (((op & 0xe0) !== 0x60 && (op & 0xe0) !== 0x80) || code.imm[i] !== 0))
      env.reject('BPF_LDX uses reserved fields')
    if (op !== LD_IMM64) {
      if (!isKnownOpcode(op)) env.reject(`unknown opcode ${op.toString(16).padStart(2, '0')}`)
      continue
    }
    if (
      i === code.length - 1 ||
      code.op[i + 1] !== 0 ||
      code.dst[i + 1] !== 0 ||
      code.src[i + 1] !== 0 ||
      code.off[i + 1] !== 0
    )
      env.reject('invalid bpf_ld_imm64 insn')
    resolveImmediate(env, i, byInsn, used)
    i++
  }
}

function resolveImmediate(
  env: Env,
  i: number,
  byInsn: ReadonlyMap<number, { readonly map: number; readonly kind: 'fd' | 'value'; readonly offset?: number }>,
  used: Set<ProgramMap>,
): void {
  const code = env.code
  const relocation = byInsn.get(i)
  if (relocation !== undefined && code.src[i] === 0)
    code.src[i] = relocation.kind === 'fd' ? PSEUDO_MAP_FD : PSEUDO_MAP_VALUE
  const src = code.src[i]
  if (src === 0 || src === PSEUDO_FUNC) return
  if (src === PSEUDO_BTF_ID) {
    resolveVariable(env, i)
    return
  }
  const isValue = src === PSEUDO_MAP_VALUE || src === PSEUDO_MAP_IDX_VALUE
  if (relocation !== undefined) code.imm[i + 1] = relocation.kind === 'value' ? (relocation.offset ?? 0) : 0
  const offset = code.imm[i + 1]
  if (!isValue && ((src !== PSEUDO_MAP_FD && src !== PSEUDO_MAP_IDX) || code.imm[i + 1] !== 0))
    env.reject('unrecognized bpf_ld_imm64 insn')
  if (src === PSEUDO_MAP_IDX || src === PSEUDO_MAP_IDX_VALUE) env.reject('fd_idx without fd_array is invalid')
  if (relocation === undefined) env.reject(`fd ${code.imm[i]} is not pointing to valid bpf_map`)
  const map = env.maps[relocation.map]
  if (map === undefined) env.reject(`fd ${code.imm[i]} is not pointing to valid bpf_map`)
  if (!used.has(map) && used.size >= MAX_USED_MAPS)
    env.reject(`The total number of maps per program has reached the limit of ${MAX_USED_MAPS}`, E2BIG)
  used.add(map)
  const refusal = mapUseRefusal(
    map,
    env.target?.program?.replaces === true ? { ...env.facts, type: env.image.type } : env.facts,
  )
  if (refusal !== undefined) env.reject(refusal, EINVAL)
  if (map.type === MAP_ARENA) {
    if (env.arena !== undefined && env.arena !== map) env.reject('Only one arena per program', EBUSY)
    env.arena = map
  }
  if (isValue) {
    if (offset >>> 0 >= MAX_VARIABLE_OFFSET) env.reject(`direct value offset of ${offset >>> 0} is not allowed`)
    if (map.type !== MAP_ARRAY && map.type !== MAP_ARENA && map.type !== MAP_INSN_ARRAY)
      env.reject('no direct value access support for this map type')
    if (!hasValueAt(map, offset >>> 0))
      env.reject(`invalid access to map value pointer, value_size=${map.valueSize} off=${offset >>> 0}`)
  }
  if (map.type === MAP_CGROUP_STORAGE || map.type === MAP_PERCPU_CGROUP_STORAGE) {
    if (env.mapOf.some((other) => other !== undefined && other !== map && other.type === map.type))
      env.reject('only one cgroup storage of each type is allowed', EBUSY)
  }
  env.mapOf[i] = map
  env.mapOffset[i] = isValue ? offset : 0
}

/** Bytes of a page of an arena. */
const PAGE = 4096

/** Programs may load the address `offset` bytes into the map's one value, or into an arena. */
function hasValueAt(map: ProgramMap, offset: number): boolean {
  if (map.type === MAP_ARENA) return offset <= map.maxEntries * PAGE
  return map.type === MAP_ARRAY && map.maxEntries === 1 && offset < map.valueSize
}

/** The address of a variable or function of the kernel (check_pseudo_btf_id). */
function resolveVariable(env: Env, i: number): void {
  const id = env.code.imm[i]
  if (env.code.imm[i + 1] !== 0) env.unmodelled('variables of kernel modules')
  const types = env.typesOf(KERNEL_OBJECT)
  if (types === undefined) env.unmodelled("variables of the kernel without the kernel's BTF")
  const { btf } = types
  const type = id === 0 || (id > 0 && btf.has(id)) ? btf.type(id) : undefined
  if (type === undefined) env.reject(`ldimm64 insn specifies invalid btf_id ${id}.`, ENOENT)
  if (type.kind === 'func') {
    env.variables.set(i, { type: MEM | RDONLY, size: 0, id: 0 })
    return
  }
  if (type?.kind !== 'var') env.reject(`pseudo btf_id ${id} in ldimm64 isn't KIND_VAR or KIND_FUNC`, EINVAL)
  if (env.facts.symbolsOfVariables !== true)
    env.unmodelled(`the address of the kernel's variable ${type.name}: only kernels with CONFIG_KALLSYMS_ALL know it`)
  const section = btf.find('.data..percpu', 'datasec')
  const percpu = section?.kind === 'datasec' && section.entries.some((entry) => entry.type === id)
  const target = btf.skipModifiers(type.type)
  if (percpu) env.variables.set(i, { type: BTF_ID | PERCPU, size: 0, id: type.type })
  else if (types.isStruct(target)) env.variables.set(i, { type: BTF_ID, size: 0, id: type.type })
  else {
    const size = btf.sizeOf(target)
    if (size === undefined)
      env.reject(`ldimm64 unable to resolve the size of type '${types.name(target)}': -22`, EINVAL)
    env.variables.set(i, { type: MEM | RDONLY, size, id: 0 })
  }
}

const MAX_USED_MAPS = 64
const MAP_ARRAY = MAP_TYPES.array
const MAP_CGROUP_STORAGE = MAP_TYPES.cgroup_storage
const MAP_PERCPU_CGROUP_STORAGE = MAP_TYPES.percpu_cgroup_storage
const MAP_ARENA = MAP_TYPES.arena
const MAP_INSN_ARRAY = MAP_TYPES.insn_array
