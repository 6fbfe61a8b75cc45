import type { Instruction } from '../asm/index.ts'
import { Btf, typesCompatible } from '../btf/index.ts'
import { InputError } from '../errors/index.ts'
import { CLASS, JMP, PSEUDO_CALL, PSEUDO_LD } from '../uapi/index.ts'
import type { ObjectSpec } from './object.ts'

/** A kfunc or typed kernel variable by BTF id. */
export interface KernelSymbol {
  readonly btfId: number
  /** The kernel module that has it; absent: vmlinux. */
  readonly module?: string
}

export interface LinkProgramOptions {
  /** The target kernel's BTF: CO-RE is applied and kfuncs and typed kernel variables are found in it. */
  readonly kernelBtf?: Btf
  /** BTF of modules (split over `kernelBtf`) by name. */
  readonly moduleBtfs?: ReadonlyMap<string, Btf>
  /** Addresses of kernel symbols (/proc/kallsyms) for externs without a type. */
  readonly kernelSymbol?: (name: string) => bigint | undefined
  /** A value of the kernel's configuration as its text ("y", "m", "100", "\"text\""); undefined: not set. */
  readonly kernelConfig?: (name: string) => string | undefined
  /** LINUX_KERNEL_VERSION: major << 16 | minor << 8 | patch. */
  readonly kernelVersion?: number
}

const CALL = CLASS.jmp | JMP.call

/** A call of a weak kfunc that the kernel does not have: the verifier refuses it where it can be reached. */
const MISSING_KFUNC = 2002000000

/** A kfunc call with the id that the kernel knows it by. @throws InputError `link.extern`, `link.kfunc` */
export function linkKfunc(
  instruction: Instruction,
  name: string,
  weak: boolean,
  object: ObjectSpec,
  options: LinkProgramOptions,
  modules: string[],
  programName: string,
): Instruction {
  if (instruction.opcode !== CALL) return instruction
  const extern = object.externs.findIndex((candidate) => candidate.name === name)
  if (extern >= 0 && object.externs[extern].typeId === undefined && object.btf !== undefined)
    throw new InputError(
      'link.extern',
      `${programName} calls ${name}, which neither the object nor the kernel's declarations define`,
    )
  if (options.kernelBtf === undefined)
    return { ...instruction, src: PSEUDO_CALL.kfunc, imm: Math.max(instruction.imm, 0), offset: 0 }
  const there = findKernelSymbol(stripFlavour(name), 'func', options)
  const wrong = there === undefined ? undefined : mismatch(object, object.externs[extern]?.typeId, there, options)
  if (wrong !== undefined && !weak)
    throw new InputError(
      'link.kfunc',
      `${programName} calls the kernel function ${name}, which has another prototype on this kernel: ${wrong}`,
    )
  const found = wrong === undefined ? there : undefined
  if (found === undefined) {
    if (!weak)
      throw new InputError(
        'link.kfunc',
        `${programName} calls the kernel function ${name}, which this kernel does not have`,
      )
    return { ...instruction, src: 0, offset: 0, imm: MISSING_KFUNC + Math.max(0, extern) }
  }
  let offset = 0
  if (found.module !== undefined) {
    if (!modules.includes(found.module)) modules.push(found.module)
    offset = modules.indexOf(found.module) + 1
  }
  return { ...instruction, src: PSEUDO_CALL.kfunc, imm: found.btfId, offset }
}

/** The address or id of a kernel variable or function. @throws InputError `link.ksym` */
export function linkKsym(
  instruction: Instruction,
  name: string,
  weak: boolean,
  typed: boolean,
  object: ObjectSpec,
  options: LinkProgramOptions,
  programName: string,
): Instruction {
  const missing = (): Instruction => {
    if (!weak)
      throw new InputError(
        'link.ksym',
        `${programName} uses the kernel symbol ${name}, which this kernel does not have`,
      )
    return { ...instruction, src: 0, imm: 0, imm64: 0n }
  }
  if (typed) {
    if (options.kernelBtf === undefined) return instruction
    const bare = stripFlavour(name)
    const found = findKernelSymbol(bare, 'var', options) ?? findKernelSymbol(bare, 'func', options)
    const typeId = object.externs.find((candidate) => candidate.name === name)?.typeId
    const wrong = found === undefined ? undefined : mismatch(object, typeId, found, options)
    if (wrong !== undefined && !weak)
      throw new InputError(
        'link.ksym',
        `${programName} uses the kernel symbol ${name}, which has another type on this kernel: ${wrong}`,
      )
    return found === undefined || wrong !== undefined
      ? missing()
      : { ...instruction, src: PSEUDO_LD.btfId, imm: found.btfId, imm64: BigInt(found.btfId) }
  }
  if (options.kernelSymbol === undefined) return { ...instruction, src: 0, imm: 0, imm64: 0n }
  const address = options.kernelSymbol(name)
  return address === undefined
    ? missing()
    : { ...instruction, src: 0, imm: Number(BigInt.asIntN(32, address)), imm64: address }
}

/**
 * How the declaration of a kernel function or variable in the object differs from the kernel's, undefined when they fit
 * each other by CO-RE's rules (integers of any size, any pointers).
 */
function mismatch(
  object: ObjectSpec,
  declaredId: number | undefined,
  found: KernelSymbol,
  { kernelBtf, moduleBtfs }: LinkProgramOptions,
): string | undefined {
  const kernel = found.module === undefined ? kernelBtf : moduleBtfs?.get(found.module)
  if (kernel === undefined || object.btf === undefined || declaredId === undefined || declaredId === 0) return undefined
  const local = localBtf(object.btf, object.name)
  const typeOf = (btf: Btf, id: number): number => {
    const type = btf.type(id)
    return btf.skipModifiers(type.kind === 'func' || type.kind === 'var' ? type.type : id)
  }
  const [own, theirs] = [typeOf(local, declaredId), typeOf(kernel, found.btfId)]
  if (typesCompatible(local, own, kernel, theirs)) return undefined
  return `${local.describe(own)} here, ${kernel.describe(theirs)} there`
}

/** One reader an object. */
const localBtfs = new WeakMap<Uint8Array, Btf>()

export function localBtf(bytes: Uint8Array, name: string): Btf {
  let btf = localBtfs.get(bytes)
  if (btf === undefined) localBtfs.set(bytes, (btf = new Btf(bytes, { what: `${name}: BTF` })))
  return btf
}

/** "name___suffix" stands for "name", for externs as for CO-RE types. */
export function stripFlavour(name: string): string {
  const at = name.indexOf('___', 1)
  return at > 0 ? name.slice(0, at) : name
}

/** A function or variable of the kernel or of one of its modules, by name. */
export function findKernelSymbol(
  name: string,
  kind: 'func' | 'var',
  options: LinkProgramOptions,
): KernelSymbol | undefined {
  const btfId = options.kernelBtf?.idByName(name, kind)
  if (btfId !== undefined) return { btfId }
  for (const [module, btf] of options.moduleBtfs ?? []) {
    const id = btf.idsByName(name, kind).find((candidate) => candidate >= btf.firstId)
    if (id !== undefined) return { btfId: id, module }
  }
  return undefined
}
