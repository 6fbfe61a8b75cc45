import { UsageError } from 'typebpf'
import type { Output } from './output.ts'
import { requireProcess, userId } from './processes.ts'

/** One option of a tool's command line: `['-p, --pid <pid>', 'only this process']`; `<…>` takes a value. */
export type ToolOption = readonly [flags: string, description: string]

/** A tool as the command line runs it: what it takes and how it runs. Libraries call the tool's own function instead. */
export interface Tool {
  /** Positional arguments, `[interval]` optional, `<function>` needed, `[command...]` the rest. */
  readonly arguments?: readonly (readonly [name: string, description: string])[]
  readonly options: readonly ToolOption[]
  /** Lines of the help. */
  readonly examples?: readonly string[]
  /** Runs until `signal` aborts (Ctrl-C, the end of a duration) or there is nothing left to do; frees all it made. */
  run(context: ToolContext): Promise<void>
}

export interface ToolContext {
  readonly args: Arguments
  readonly out: Output
  readonly signal: AbortSignal
}

/** A row of the list of tools; its module is loaded only when the tool runs. */
export interface ToolRow {
  readonly name: string
  /** What it shows: events as they happen, counts and histograms, stacks; or that it acts on packets and connections. */
  readonly topic: 'events' | 'counts' | 'stacks' | 'network'
  readonly summary: string
  /** The oldest Linux that it runs on. */
  readonly kernel: `${number}.${number}`
  readonly load: () => Promise<{ readonly tool: Tool }>
}

const longName = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

/** What the command line said. Names are those of the long options and of the positional arguments. */
export class Arguments {
  readonly #values: Readonly<Record<string, unknown>>

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values
  }

  flag(name: string): boolean {
    return this.#values[name] === true
  }
  /** Which of these is there, undefined when none is. @throws UsageError `usage.contradiction` when several are */
  oneOf<const N extends string>(...names: readonly N[]): N | undefined {
    const said = names.filter((name) => this.#values[name] !== undefined)
    if (said.length > 1)
      throw new UsageError('usage.contradiction', `${said.map(longName).join(' and ')} contradict each other`, {
        details: ['say one of them'],
      })
    return said[0]
  }
  text(name: string): string | undefined {
    const value = this.#values[name]
    return typeof value === 'string' ? value : undefined
  }
  /** A variadic argument. */
  list(name: string): readonly string[] {
    const value = this.#values[name]
    return Array.isArray(value) ? value.map(String) : []
  }
  /** A whole number. @throws UsageError `usage.number` */
  integer(name: string, limits: { readonly min?: number; readonly max?: number } = {}): number | undefined {
    const value = this.number(name, limits)
    if (value !== undefined && !Number.isInteger(value)) throw this.#wrong(name, 'a whole number')
    return value
  }
  /** The id of a process or thread that is there. @throws UsageError `usage.number`; SystemError `tool.process` */
  process(name: string): number | undefined {
    const id = this.integer(name, { min: 1, max: 0x7fff_ffff })
    requireProcess(id)
    return id
  }
  /** The number of a user, by number or name. @throws UsageError `usage.user` */
  user(name: string): number | undefined {
    const text = this.text(name)
    return text === undefined ? undefined : userId(text)
  }
  /** Ports of one number or several: `80`, `80,443`. @throws UsageError `usage.number` */
  ports(name: string): readonly number[] {
    const ports = (this.text(name)?.split(',') ?? []).map(Number)
    if (ports.some((port) => !Number.isInteger(port) || port < 1 || port > 65_535))
      throw this.#wrong(name, 'ports from 1 to 65535, with commas between them')
    return ports
  }
  /** @throws UsageError `usage.number` */
  number(name: string, limits: { readonly min?: number; readonly max?: number } = {}): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const { min = 0, max = 0xffff_ffff } = limits
    const value = Number(text)
    if (text.trim() === '' || !(value >= min && value <= max)) throw this.#wrong(name, `a number from ${min} to ${max}`)
    return value
  }
  /** One of several words. @throws UsageError `usage.choice` */
  choice<const C extends string>(name: string, choices: readonly C[]): C | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const found = choices.find((choice) => choice === text)
    if (found === undefined)
      throw new UsageError('usage.choice', `${name}: ${JSON.stringify(text)}`, {
        details: [`possible are: ${choices.join(', ')}`],
      })
    return found
  }
  #wrong(name: string, expected: string): UsageError {
    return new UsageError('usage.number', `${name} takes ${expected}, not ${JSON.stringify(this.text(name))}`)
  }
}
