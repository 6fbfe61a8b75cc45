import type { Int } from './int.ts'
import type { BytesView } from './views.ts'

/** The conversions of a format string as a tuple of what they print. */
type Conversions<S extends string> = S extends `${string}%${infer Rest}`
  ? Rest extends `%${infer After}`
    ? Conversions<After>
    : Rest extends `ll${Letter}${infer After}`
      ? [Int<'u64'> | Int<'i64'>, ...Conversions<After>]
      : Rest extends `l${Letter}${infer After}`
        ? [Int<'u64'> | Int<'i64'>, ...Conversions<After>]
        : Rest extends `${Letter}${infer After}`
          ? [Small, ...Conversions<After>]
          : Rest extends `s${infer After}`
            ? [BytesView, ...Conversions<After>]
            : [never]
  : []
type Letter = 'd' | 'u' | 'x' | 'i'
type Small = Int<'u8'> | Int<'u16'> | Int<'u32'> | Int<'i8'> | Int<'i16'> | Int<'i32'>

/** What `b.print` of iterators takes: one value a conversion, texts too, twelve at most. */
export type PrintArguments<S extends string> = string extends S
  ? (Int<'u64'> | Int<'i64'> | Small | BytesView)[]
  : Conversions<S> extends infer C extends readonly unknown[]
    ? C['length'] extends 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12
      ? C
      : never
    : never

/** What `b.printk` takes after a format: one value a conversion, 64-bit ones with `l` or `ll`, three at most. */
export type FormatArguments<S extends string> = string extends S
  ? (Int<'u64'> | Int<'i64'> | Small)[]
  : Conversions<S> extends infer C extends readonly unknown[]
    ? C['length'] extends 0 | 1 | 2 | 3
      ? BytesView extends C[number]
        ? never
        : C
      : never
    : never
