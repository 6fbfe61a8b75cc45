import type { SleepableCalls } from './tracing.ts'

// What a program's options take away from its body, or add: a licence that is not GPL-compatible, an old target, sleeping.
// The same rules stand in the build, for what types cannot see (methods of maps, options that are no literals).

type GplCompatible = 'GPL' | 'GPL v2' | 'GPL and additional rights' | 'Dual BSD/GPL' | 'Dual MIT/GPL' | 'Dual MPL/GPL'

/** Methods over helpers that the kernel gives to GPL-compatible programs only. */
type GplMethods =
  | 'printk'
  | 'print'
  | 'readKernel'
  | 'readUser'
  | 'readKernelText'
  | 'readUserText'
  | 'dynamicText'
  | 'stack'
  | 'task'
  | 'functionAddress'
  | 'fibLookup'

/** The first Linux of methods that a target may be too old for. */
interface Since {
  adjustMeta: '4.15'
  adjustTail: '4.18'
  fibLookup: '4.18'
  packetCgroupId: '4.18'
  stack: '4.18'
  withTcpSocket: '4.20'
  withUdpSocket: '4.20'
  lock: '5.1'
  markCongestion: '5.1'
  while: '5.3'
  sendSignal: '5.3'
  readKernel: '5.5'
  readUser: '5.5'
  readKernelText: '5.5'
  readUserText: '5.5'
  assign: '5.7'
  ktimeBootNs: '5.8'
  redirectPeer: '5.10'
  redirectNeigh: '5.10'
  task: '5.11'
  attachCookie: '5.15'
  functionAddress: '5.15'
  loop: '5.17'
  totalLength: '5.18'
  setDepartureTime: '5.18'
}
// biome-ignore format: a list of releases
type Releases = [
  '4.4', '4.5', '4.6', '4.7', '4.8', '4.9', '4.10', '4.11', '4.12', '4.13', '4.14', '4.15', '4.16', '4.17', '4.18', '4.19', '4.20',
  '5.0', '5.1', '5.2', '5.3', '5.4', '5.5', '5.6', '5.7', '5.8', '5.9', '5.10', '5.11', '5.12', '5.13', '5.14', '5.15', '5.16', '5.17', '5.18', '5.19',
]
/** The releases behind one; none for releases newer than the list. */
type After<T, L extends readonly string[] = Releases> = L extends readonly [
  infer H,
  ...infer R extends readonly string[],
]
  ? H extends T
    ? R[number]
    : After<T, R>
  : never
type Newer<T> = string extends T ? never : { [K in keyof Since]: Since[K] extends After<T> ? K : never }[keyof Since]

type Hidden<O> =
  | (O extends { readonly license: infer L extends string }
      ? string extends L
        ? never
        : L extends GplCompatible
          ? never
          : GplMethods
      : never)
  | (O extends { readonly target: infer T extends string } ? Newer<T> : never)

/** The body of a program as its options leave it. */
export type Gated<B, O> = ([Hidden<O>] extends [never] ? B : Omit<B, Hidden<O>>) &
  (O extends { readonly sleepable: true } ? SleepableCalls : unknown)

/** Options as given, those that are not there being errors (a type parameter takes any further ones). */
export type Only<O, Known> = O & { readonly [K in Exclude<keyof O, keyof Known>]: never }
