import {
  type Fields,
  type GlobalData,
  type Globals,
  type Js,
  layoutOf,
  type StructType,
  SystemError,
  type Type,
  UsageError,
} from 'typebpf'
import {
  type AttachOptions,
  attachProgram,
  BpfMap,
  findTracefs,
  kernelBtf,
  kernelVersionCode,
  type Link,
  type LoadedObject,
  loadObject,
  type ProgramHandle,
  RingBuffer,
  readPrivileges,
  realSys,
  runningKernel,
  type Sys,
} from 'typebpf/kernel'
import type { Layout } from 'typebpf/layout'
import { collectObject, type MapSpec, type ObjectSpec, type ProgramSpec } from 'typebpf/spec'
import { builtObject } from './built-object.ts'
import { noTracepoint, refused } from './refused.ts'

/** A map of the builder, as user space needs it. */
interface DefinedMap<K extends Type, V extends Type> {
  readonly spec: MapSpec
  readonly keyType: K
  readonly valueType: V
}
interface DefinedRing<T extends Type> {
  readonly spec: MapSpec
  readonly recordType: T
}
type Capability = 'bpf' | 'perfmon' | 'net_admin' | 'sys_admin'

export interface SessionOptions {
  /** Names the object in errors. */
  readonly name: string
  /** Values of constants, each made by {@link constants}. */
  readonly constants?: readonly Constants[]
  /** Capabilities that are looked for before anything is loaded. Default: those of tracing. */
  readonly needs?: readonly Capability[]
  /** Only these programs. */
  readonly programs?: readonly string[]
  /** Programs that are left away where the kernel does not have their tracepoint (`open` on arm64). */
  readonly optional?: readonly string[]
  /** Passed on to every attachment: the interface, the cgroup, the process. */
  readonly attach?: AttachOptions
  /** False: nothing is attached; the caller attaches {@link Session.program}s and keeps their links by {@link Session.keep}. */
  readonly attachAll?: boolean
  /** Sizes of maps by name, instead of what the program says. */
  readonly maxEntries?: Readonly<Record<string, number>>
}

export interface Constants {
  readonly map: string
  readonly bytes: Uint8Array
}

/** Values for the constants that a program declares with `config(…)`; those that are absent keep their first value. */
export function constants<F extends Fields>(
  definition: Globals<F, 'read'>,
  values: Partial<Js<StructType<F>>>,
): Constants {
  const { type, spec } = definition as unknown as GlobalData<F>
  const layout = layoutOf(type) as Layout<Js<StructType<F>>>
  const bytes = Uint8Array.from(spec.contents?.[0]?.[1] ?? new Uint8Array(layout.size))
  const view = new DataView(bytes.buffer)
  const said = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
  layout.write(view, 0, { ...layout.read(view, 0, 'little'), ...said }, 'little', spec.name)
  return { map: spec.name, bytes }
}

function configured(object: ObjectSpec, options: SessionOptions): ObjectSpec {
  const maps = object.maps.map((spec): MapSpec => {
    const found = options.constants?.find(({ map }) => map === spec.name)
    const maxEntries = options.maxEntries?.[spec.name]
    return {
      ...spec,
      ...(found === undefined ? {} : { contents: [[new Uint8Array(4), found.bytes] as const] }),
      ...(maxEntries === undefined ? {} : { maxEntries }),
    }
  })
  return { ...object, maps }
}

/** Whether CO-RE has something to look up: only then is the kernel's BTF read. */
function usesKernelTypes({ programs, functions, externs }: ObjectSpec): boolean {
  return (
    externs.length > 0 ||
    [...programs, ...functions].some(({ instructions }) => instructions.some(({ core }) => core !== undefined))
  )
}

/** @throws SystemError `tool.platform`, `tool.privilege` */
function requirePrivileges(name: string, needs: readonly Capability[]): void {
  if (process.platform !== 'linux')
    throw new SystemError('tool.platform', `${name} needs Linux, this is ${process.platform}`)
  const { capabilities } = readPrivileges()
  const missing = needs.filter((need) => !capabilities.has(need) && !capabilities.has('sys_admin'))
  if (missing.length === 0) return
  const names = missing.map((it) => `CAP_${it.toUpperCase()}`)
  throw new SystemError('tool.privilege', `${name} needs ${names.join(' and ')}`, { details: ['run it with sudo'] })
}

/**
 * Programs of one module at work: loaded, attached, their maps open. Closing it detaches all and frees all; `using` does
 * that on every way out.
 */
export class Session implements Disposable {
  readonly sys: Sys
  readonly loaded: LoadedObject
  /** Where tracefs is, for what else a tool reads there. */
  readonly tracefs: string
  readonly #links: Link[] = []
  readonly #closers: (() => void)[] = []
  #closed = false

  /**
   * @param module the namespace of a `.bpf.ts` module, or several programs
   * @throws SystemError `tool.privilege`, `tool.tracepoint`, `tool.refused` with what is missing and what to do
   */
  constructor(module: object, options: SessionOptions) {
    requirePrivileges(options.name, options.needs ?? ['bpf', 'perfmon'])
    this.sys = realSys()
    const object = configured(
      builtObject(options.name, module) ?? collectObject(module, { name: options.name }),
      options,
    )
    const usesTracefs = object.programs.some(({ attach }) => attach?.kind === 'tracepoint')
    this.tracefs = usesTracefs ? findTracefs(this.sys, options.attach?.tracefs) : ''
    const needsTypes = usesKernelTypes(object)
    if (needsTypes && kernelBtf() === undefined)
      throw new SystemError(
        'tool.btf',
        `${options.name} needs the types of the running kernel, it does not show them`,
        {
          details: ['/sys/kernel/btf/vmlinux comes with CONFIG_DEBUG_INFO_BTF=y'],
        },
      )
    this.loaded = loadObject(this.sys, object, {
      programs: options.programs,
      // the kernel's BTF is only read where a program asks for its types
      kernel: needsTypes ? runningKernel() : { kernelVersion: kernelVersionCode() },
    })
    try {
      for (const { spec, result, error } of this.loaded.programs) {
        if (result.program === undefined) throw refused(options.name, { object, spec, result, error })
        if (options.attachAll !== false && spec.attach !== undefined) this.#attach(result.program, spec, options)
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  #attach(program: ProgramHandle, spec: ProgramSpec, options: SessionOptions): void {
    try {
      this.#links.push(attachProgram(program, spec, { tracefs: this.tracefs, ...options.attach }))
    } catch (cause) {
      if (!(cause instanceof UsageError) || cause.code !== 'link.tracepoint') throw cause
      if (options.optional?.includes(spec.name)) return
      throw noTracepoint(options.name, spec, cause)
    }
  }

  /** A loaded program, to attach it by hand. @throws UsageError `tool.program` */
  program(definition: { readonly name: string }): ProgramHandle {
    const found = this.loaded.programs.find(({ spec }) => spec.name === definition.name)?.result.program
    if (found === undefined) throw new UsageError('tool.program', `${definition.name} is not loaded`)
    return found
  }
  /** Ties an attachment to the session. */
  keep<L extends Link>(link: L): L {
    this.#links.push(link)
    return link
  }
  /** Runs when the session closes, after everything is detached. */
  onClose(action: () => void): void {
    this.#closers.push(action)
  }
  get attached(): number {
    return this.#links.filter((link) => !link.closed).length
  }

  /** A map with the types of its definition. */
  map<K extends Type, V extends Type>(definition: DefinedMap<K, V>): BpfMap<Js<K>, Js<V>> {
    return new BpfMap(this.#raw(definition.spec.name), {
      key: layoutOf(definition.keyType) as Layout<Js<K>>,
      value: layoutOf(definition.valueType) as Layout<Js<V>>,
    })
  }
  /** The value of variables that programs declare with `globals(…)`. */
  globals<F extends Fields>(definition: Globals<F, 'shared'>): Js<StructType<F>> {
    const { type, spec } = definition as unknown as GlobalData<F>
    const raw = this.#raw(spec.name)
    const bytes = raw.lookup(new Uint8Array(4)) ?? new Uint8Array(type.size)
    const layout = layoutOf(type) as Layout<Js<StructType<F>>>
    return layout.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, 'little')
  }
  /** The addresses of a stack, innermost first. */
  stack(definition: { readonly name: string }, id: number): bigint[] {
    const key = new Uint8Array(4)
    new DataView(key.buffer).setUint32(0, id, true)
    const bytes = this.#raw(definition.name).lookup(key)
    if (bytes === undefined) return []
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const addresses: bigint[] = []
    for (let at = 0; at + 8 <= bytes.byteLength; at += 8) {
      const address = view.getBigUint64(at, true)
      if (address === 0n) break
      addresses.push(address)
    }
    return addresses
  }
  #raw(name: string) {
    const raw = this.loaded.maps.get(name)
    if (raw === undefined) throw new UsageError('tool.map', `no loaded program uses the map ${name}`)
    return raw
  }

  /**
   * Records of a ring as they come; of those that programs sent shortened the rest is zero. When `signal` aborts everything
   * is detached first; what is in the ring then is still given, so nothing that happened before is lost.
   */
  async *events<T extends Type>(definition: DefinedRing<T>, signal?: AbortSignal): AsyncGenerator<Js<T>> {
    const layout = layoutOf(definition.recordType) as Layout<Js<T>>
    const ring = new RingBuffer(this.#raw(definition.spec.name), layout, { zeroFill: true })
    this.#closers.unshift(() => ring.close())
    if (signal?.aborted !== true) yield* ring.events({ signal })
    this.detach()
    yield* ring.drain()
    ring.close()
  }

  /** Detaches every program; maps stay readable. */
  detach(): void {
    for (const link of this.#links.splice(0).reverse()) link.close()
  }
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.detach()
    for (const action of this.#closers.splice(0)) action()
    this.loaded.close()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}
