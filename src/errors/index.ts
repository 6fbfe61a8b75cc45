/**
 * The error family. Everything that TypeBPF throws on purpose is a {@link BpfError}: a short message, a literal code,
 * optional details, the cause. A command line turns it into one readable line and an exit code.
 */
export interface BpfErrorOptions {
  /** The error underneath. */
  readonly cause?: unknown
  /** Lines that say more: where, what was expected, what to do. */
  readonly details?: readonly string[]
}

/** Exit codes of the command line (docs/contracts.md). */
export const EXIT = { ok: 0, no: 1, usage: 2, system: 3 } as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

export class BpfError extends Error {
  override readonly name: string = 'BpfError'
  /** A literal, stable identifier such as `elf.truncated` or `sys.eperm`. */
  readonly code: string
  readonly details: readonly string[]
  /** What a command ends with when this error stops it. */
  readonly exitCode: ExitCode = EXIT.usage

  constructor(code: string, message: string, options: BpfErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details ?? []
  }

  /** This error or the first cause beneath it for which `match` holds. */
  walk(match: (error: unknown) => boolean): unknown {
    let current: unknown = this
    for (let depth = 0; depth < 32 && current !== undefined; depth++) {
      if (match(current)) return current
      current = current instanceof Error ? current.cause : undefined
    }
    return undefined
  }
}

/** Bytes or text from outside do not have the form they must have. */
export class InputError extends BpfError {
  override readonly name: string = 'InputError'
}

/** The caller asked for something that does not exist or does not fit (an option, a program's name). */
export class UsageError extends BpfError {
  override readonly name: string = 'UsageError'
}

/** The answer is no: rejected, different, not found. */
export class NegativeError extends BpfError {
  override readonly name: string = 'NegativeError'
  override readonly exitCode: ExitCode = EXIT.no
}

/** The system refused: privilege, a missing feature, a failed system call. */
export class SystemError extends BpfError {
  override readonly name: string = 'SystemError'
  override readonly exitCode: ExitCode = EXIT.system
  /** The errno, positive; 0 when no system call failed. */
  readonly errno: number

  constructor(code: string, message: string, options: BpfErrorOptions & { readonly errno?: number } = {}) {
    super(code, message, options)
    this.errno = options.errno ?? 0
  }
}

/** TypeBPF itself does not do this (yet); `what` names it. */
export class UnsupportedError extends BpfError {
  override readonly name: string = 'UnsupportedError'
  override readonly exitCode: ExitCode = EXIT.no
}
