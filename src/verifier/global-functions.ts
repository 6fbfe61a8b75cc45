/** Global functions: arguments by their BTF, verified on their own. */
import type { Env } from './env.ts'
import type { StackLiveness } from './stack-liveness.ts'

/** The caller's registers fit the function's declared arguments. */
export function checkGlobalArguments(env: Env, _liveness: StackLiveness, _index: number): void {
  env.unmodelled('global functions')
}

/** Registers of a global function that is verified on its own. */
export function prepareGlobal(env: Env, _index: number): void {
  env.unmodelled('global functions')
}
