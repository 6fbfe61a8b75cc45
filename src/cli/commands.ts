import type { Command } from 'commander'

/** A subcommand: its file is loaded only when it is the one that runs. */
export interface CommandRow {
  readonly name: string
  readonly summary: string
  /** The module's `register` adds the command (and its subcommands) to the program. */
  readonly load: () => Promise<{ register(program: Command): void }>
}

/** All subcommands, in the order of `--help`. */
export const COMMANDS: readonly CommandRow[] = []
