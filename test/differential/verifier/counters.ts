/** Counters that a campaign keeps for each generator and adds up at its end. */

/** Those of every campaign that asks a kernel and the model. */
export const JUDGED = [
  'programs',
  'accepts',
  'rejects',
  'invalid',
  'wrongAccepts',
  'wrongRejects',
  'crashes',
  'unsupported',
  'kernelBugs',
  'bothReject',
  'reasonEqual',
  'bothAccept',
  'processedEqual',
  'modelUs',
] as const

export function zeroes<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>
}

/** Sums over all reports, as whole numbers, in the order of the names. */
export function totals<Name extends string>(
  reports: readonly Readonly<Record<NoInfer<Name>, number>>[],
  names: readonly Name[],
): Record<Name, number> {
  const sum = (name: Name): number => Math.round(reports.reduce((total, report) => total + report[name], 0))
  return Object.fromEntries(names.map((name) => [name, sum(name)])) as Record<Name, number>
}
