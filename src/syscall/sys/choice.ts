import { UsageError } from '../../errors/index.ts'

/**
 * The value of a word in a table. What does not come from TypeScript may be any word: a wrong one must not count as zero.
 * @throws UsageError `option.unknown` with the words that there are
 */
export function choice<Table extends Readonly<Record<string, unknown>>>(
  table: Table,
  word: keyof Table & string,
  what: string,
): Table[keyof Table] {
  if (!Object.hasOwn(table, word))
    throw new UsageError(
      'option.unknown',
      `${what}: ${JSON.stringify(word)} is none of ${Object.keys(table).join(', ')}`,
    )
  return table[word]
}
