// Tools that draw histograms or name stacks, on the running kernel, on programs of the test's own.
import { execFileSync, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { Biolatency } from '../../programs/biolatency/index.ts'
import { Funclatency } from '../../programs/funclatency/index.ts'
import { drawHistogram, type StackRow } from '../../programs/lib/index.ts'
import { Memleak } from '../../programs/memleak/index.ts'
import { Offcputime } from '../../programs/offcputime/index.ts'
import { Profile } from '../../programs/profile/index.ts'
import { Runqlat } from '../../programs/runqlat/index.ts'
import { testWith } from '../requirements.ts'
import { compileC, ownFolder, waitingShell } from './own-tree.ts'

const total = (buckets: readonly { count: bigint }[]): number =>
  Number(buckets.reduce((sum, { count }) => sum + count, 0n))

const WORK = `
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static volatile unsigned long sink;
void tick(int i) { sink += i; }
void spin_inner(void) { for (int i = 0; i < 200000; i++) tick(i); }
void spin_outer(void) { spin_inner(); sink++; }
void nap(int ms) { struct timespec t = {0, ms * 1000000L}; nanosleep(&t, 0); sink++; }
void nap_outer(int ms) { nap(ms); sink++; }
int recurse(int n) { if (n == 0) { nap(1); return 1; } return recurse(n - 1) + 1; }
void *leak(int bytes) { void *p = malloc(bytes); sink += (unsigned long)p; return p; }
void *leak_aligned(void) { void *p = 0; sink += posix_memalign(&p, 64, 256); sink += (unsigned long)p; return p; }
void tidy(void) { void *p = malloc(300); p = realloc(p, 500); sink += (unsigned long)p; free(p); p = calloc(3, 100); sink += (unsigned long)p; free(p); }
int main(int argc, char **argv) {
  char go; if (read(0, &go, 1) != 1) return 1;
  if (argv[1][0] == 's') for (;;) { spin_outer(); }
  if (argv[1][0] == 'n') for (;;) nap_outer(3);
  if (argv[1][0] == 'f') { for (int i = 0; i < 50; i++) nap(2); for (int i = 0; i < 10; i++) recurse(5); }
  if (argv[1][0] == 'l') { for (int i = 0; i < 100; i++) { leak(1000); if (i % 2) leak_aligned(); tidy(); } sleep(60); }
  return 0;
}`

/** The program above doing one thing, waiting for its go. */
function work(folder: string, what: 'spin' | 'nap' | 'functions' | 'leak') {
  const file = compileC(folder, 'work', WORK)
  const child = spawn(file, [what], { stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = new Promise((resolve) => child.on('close', resolve))
  return {
    file,
    pid: child.pid as number,
    go: () => child.stdin.write('g'),
    ended,
    [Symbol.dispose]: () => {
      child.kill('SIGKILL')
    },
  }
}
const names = ({ user }: StackRow): string[] => (user ?? []).map(({ name }) => name)
const sumOf = (rows: readonly StackRow[]): number => Number(rows.reduce((sum, { value }) => sum + value, 0n))

describe('profile', () => {
  testWith('bpf', 'program:gcc')('finds the function that spins, under its callers', async () => {
    using folder = ownFolder()
    using child = work(folder.path, 'spin')
    using profile = new Profile({ pid: child.pid, frequency: 499, stacks: 'user' })
    child.go()
    await sleep(1500)
    profile.stop()
    const { rows } = profile.rows()
    const spinning = rows.filter((row) => names(row).join(' ').includes('spin_outer main'))
    expect(rows.every(({ pid, comm }) => pid === child.pid && comm === 'work')).toBe(true)
    expect(sumOf(rows)).toBeGreaterThan(20)
    expect(sumOf(spinning) / sumOf(rows)).toBeGreaterThan(0.8)
  })
})

testWith('bpf')('profile says which CPUs there are when one is not', () => {
  expect(() => new Profile({ cpu: 4000 })).toThrowError(
    expect.objectContaining({ code: 'tool.cpu', details: [expect.stringContaining('online are: 0')] }),
  )
})

describe('offcputime', () => {
  testWith('bpf', 'program:gcc')('says that a process sleeps, where, and for how long', async () => {
    using folder = ownFolder()
    using child = work(folder.path, 'nap')
    child.go()
    await sleep(50)
    using off = new Offcputime({ pid: child.pid })
    const start = Date.now()
    await sleep(1000)
    off.stop()
    const us = (Date.now() - start) * 1000
    const { rows } = off.rows()
    const napping = rows.filter((row) => names(row).join(' ').includes('nap_outer main'))
    expect(sumOf(napping)).toBeGreaterThan(us * 0.5)
    expect(sumOf(napping)).toBeLessThan(us * 1.1)
    expect(napping[0].kernel?.map(({ name }) => name).join(' ')).toMatch(/schedule.*nanosleep/)
  })
})

describe('funclatency', () => {
  testWith('bpf', 'program:gcc')('times each call; of calls within calls the outermost', async () => {
    using folder = ownFolder()
    using child = work(folder.path, 'functions')
    using naps = new Funclatency({ function: 'nap', pid: child.pid, unit: 'usecs' })
    using recursion = new Funclatency({ function: 'recurse', pid: child.pid, unit: 'usecs' })
    child.go()
    await child.ended
    expect(naps.totals().calls).toBe(60n)
    expect(recursion.totals().calls).toBe(10n)
    const [{ buckets }] = naps.take()
    expect(total(buckets)).toBe(60)
    // 50 naps of 2 ms, 10 of 1 ms
    expect(buckets.every(({ max, count }) => count === 0n || max >= 1000n)).toBe(true)
    expect(Number(recursion.totals().ns)).toBeGreaterThan(10 * 1e6)
  })

  testWith('bpf', 'program:gcc')('says which functions are alike when there is none of that name', () => {
    using folder = ownFolder()
    const file = compileC(folder.path, 'work', WORK)
    expect(() => new Funclatency({ binary: file, function: 'leak_' })).toThrowError(
      expect.objectContaining({ code: 'tool.function', details: [expect.stringContaining('leak_aligned')] }),
    )
    expect(() => new Funclatency({ binary: file, function: 'main', pid: 2 ** 30 })).toThrowError(
      expect.objectContaining({ code: 'tool.process', exitCode: 3 }),
    )
  })
})

describe('memleak', () => {
  testWith('bpf', 'program:gcc')('adds up what was not freed, by the functions that allocated it', async () => {
    using folder = ownFolder()
    using child = work(folder.path, 'leak')
    using memory = new Memleak({ pid: child.pid })
    child.go()
    let leaks = memory.leaks()
    for (let tries = 0; tries < 100 && leaks[0]?.allocations.length !== 100; tries++) {
      await sleep(50)
      leaks = memory.leaks()
    }
    const rows = leaks.map(({ bytes, allocations, stack }) => [
      stack[0]?.name,
      stack[1]?.name,
      Number(bytes),
      allocations.length,
    ])
    expect(rows).toEqual([
      ['leak', 'main', 100_000, 100],
      ['leak_aligned', 'main', 12_800, 50],
    ])
  })

  testWith('bpf', 'program:gcc')('looks at sizes in a range only', async () => {
    using folder = ownFolder()
    using child = work(folder.path, 'leak')
    using memory = new Memleak({ pid: child.pid, largest: 500n })
    child.go()
    let leaks = memory.leaks()
    for (let tries = 0; tries < 100 && leaks[0]?.allocations.length !== 50; tries++) {
      await sleep(50)
      leaks = memory.leaks()
    }
    expect(leaks.map(({ stack, bytes }) => [stack[0]?.name, Number(bytes)])).toEqual([['leak_aligned', 12_800]])
  })
})

describe('runqlat', () => {
  testWith('bpf')('counts how often one process waited for a CPU', async () => {
    using child = waitingShell('i=0; while [ $i -lt 20 ]; do sleep 0.005; i=$((i+1)); done')
    using latency = new Runqlat({ pid: child.pid, by: 'process' })
    await child.go()
    latency.stop()
    const found = latency.take()
    expect(found).toHaveLength(1)
    expect(found[0].label?.[0]).toBe('pid')
    expect(String(found[0].label?.[1]).split(' ')[0]).toBe(String(child.pid))
    // it waits for each of its 20 children at least once
    expect(total(found[0].buckets)).toBeGreaterThanOrEqual(20)
    expect(latency.take()).toEqual([])
  })
})

describe('biolatency', () => {
  testWith('bpf', 'program:dd')('counts the writes of a file on their disk', async () => {
    using folder = ownFolder()
    using latency = new Biolatency({ perDisk: true })
    const write = ['if=/dev/zero', `of=${folder.path}/file`, 'bs=4k', 'count=64', 'oflag=direct']
    execFileSync('dd', write, { stdio: 'ignore' })
    latency.stop()
    const found = latency.take()
    expect(found.length).toBeGreaterThanOrEqual(1)
    expect(Math.max(...found.map(({ buckets }) => total(buckets)))).toBeGreaterThanOrEqual(64)
    expect(found.every(({ label }) => label?.[0] === 'disk')).toBe(true)
  })

  testWith('bpf')('says which disks there are when one is not there', () => {
    expect(() => new Biolatency({ disk: 'nodisk7' })).toThrowError(
      expect.objectContaining({ code: 'tool.disk', details: [expect.stringContaining('there are: ')] }),
    )
  })
})

test('a histogram is drawn as bcc draws it', () => {
  const counts = [0n, 4n, 0n, 8n, 1n]
  const buckets = counts.map((count, i) => ({
    min: i === 0 ? 0n : 1n << BigInt(i),
    max: (2n << BigInt(i)) - 1n,
    count,
  }))
  expect(drawHistogram(buckets, 'usecs')).toEqual([
    '     usecs               : count     distribution',
    '         0 -> 1          : 0        |                                        |',
    '         2 -> 3          : 4        |********************                    |',
    '         4 -> 7          : 0        |                                        |',
    '         8 -> 15         : 8        |****************************************|',
    '        16 -> 31         : 1        |*****                                   |',
  ])
  expect(drawHistogram([], 'usecs')).toEqual([])
})
