import { config, type Int, i32, map, struct, type TracingBody, u32, u64, uprobe, uretprobe } from 'typebpf'

/** Sizes that count, in bytes; every `sample`th allocation counts. */
export const only = config(
  'only',
  { smallest: u64, largest: u64, sample: u32 },
  { largest: 0xffff_ffff_ffff_ffffn, sample: 1 },
)

export const Allocation = struct('allocation', { size: u64, timeNs: u64, stack: i32 })
const Call = struct('call', { size: u64, result: u64 })

export const stacks = map.stackTraces('stacks', { maxEntries: 16_384 })
/** Calls that have begun, by thread. */
const calls = map.hash('calls', { key: u32, value: Call, maxEntries: 10_240 })
/** What is allocated and not freed, by address. */
export const allocations = map.hash('allocations', {
  key: u64,
  value: Allocation,
  maxEntries: 1_000_000,
  flags: ['no_prealloc'],
})

/** The library is chosen when a program is attached. */
const at = { binary: 'libc', function: 'malloc' } as const

/** Notes how much a call wants; `result`: where it will write the address, 0 when it returns it. */
function wants(b: TracingBody<unknown>, size: Int<'u64'>, result: Int<'u64'> | 0): void {
  b.if(
    size.lt(only.smallest).or(() => size.gt(only.largest)),
    () => b.return(0),
  )
  b.if(
    only.sample.gt(1).and(() => b.random().mod(only.sample).ne(0)),
    () => b.return(0),
  )
  calls.set(b.tid(), { size, result })
}

export const malloc = uprobe('malloc', at, (b) => {
  wants(b, b.arg(0), 0)
  return 0
})
export const calloc = uprobe('calloc', at, (b) => {
  wants(b, b.arg(0).mul(b.arg(1)), 0)
  return 0
})
export const realloc = uprobe('realloc', at, (b) => {
  allocations.delete(b.arg(0))
  wants(b, b.arg(1), 0)
  return 0
})
/** memalign, aligned_alloc: the size is the second argument. */
export const memalign = uprobe('memalign', at, (b) => {
  wants(b, b.arg(1), 0)
  return 0
})
export const posixMemalign = uprobe('posix_memalign', at, (b) => {
  wants(b, b.arg(2), b.arg(0))
  return 0
})

/** Any of them returns. */
export const allocated = uretprobe('allocated', at, (b) => {
  const call = calls.lookup(b.tid()).orReturn(0)
  const size = b.let(u64, call.size)
  const address = b.let(u64, b.result())
  b.if(call.result.ne(0), () => {
    b.readUser(u64, call.result).match(
      (written) => address.set(written),
      () => address.set(0),
    )
  })
  calls.delete(b.tid())
  b.if(address.get().ne(0), () => {
    const stack = stacks.capture(b, { user: true }).to(i32)
    allocations.set(address.get(), { size: size.get(), timeNs: b.ktimeNs(), stack })
  })
  return 0
})

export const free = uprobe('free', at, (b) => {
  allocations.delete(b.arg(0))
  return 0
})
