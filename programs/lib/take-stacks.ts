import type { Session } from './session.ts'
import type { StackRow } from './stacks.ts'
import type { Symbols } from './symbols.ts'

/** A stack id is not negative; -1 stands for "not asked", -EFAULT for "there is none". */
const EFAULT = -14

export interface StackIds {
  readonly pid: number
  readonly comm: string
  readonly user: number
  readonly kernel: number
  readonly value: bigint
}

/** Reads the stacks of counted entries and names their frames. `lostStacks`: the map had no room for so many. */
export function takeStacks(
  session: Session,
  stacks: { readonly name: string },
  symbols: Symbols,
  entries: readonly StackIds[],
): { readonly rows: StackRow[]; readonly lostStacks: number } {
  let lostStacks = 0
  symbols.refresh()
  const addresses = (id: number): readonly bigint[] | undefined => {
    if (id >= 0) return session.stack(stacks, id)
    if (id !== -1 && id !== EFAULT) lostStacks++
    return undefined
  }
  const rows = entries.map(({ pid, comm, user, kernel, value }): StackRow => {
    const userAddresses = addresses(user)
    const kernelAddresses = addresses(kernel)
    return {
      pid,
      comm,
      value,
      ...(userAddresses === undefined ? {} : { user: symbols.user(pid, userAddresses) }),
      ...(kernelAddresses === undefined ? {} : { kernel: symbols.kernel(kernelAddresses) }),
    }
  })
  return { rows, lostStacks }
}
