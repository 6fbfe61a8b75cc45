import type { HelperArguments } from './calls/mock.ts'

/** The task that runs "current" programs. */
export interface TaskIdentity {
  readonly pid: number
  readonly tgid: number
  readonly comm: string
  readonly uid: number
  readonly gid: number
  readonly cgroupId: bigint
}

/** A route that bpf_fib_lookup finds: the first one whose prefix holds the destination wins, so list the longest first. */
export interface FibRoute {
  /** "10.0.0.0/8" or "2001:db8::/32". */
  readonly prefix: string
  readonly ifindex: number
  /** Six bytes each. */
  readonly smac: Uint8Array
  readonly dmac: Uint8Array
  readonly mtu?: number
  /** A BPF_FIB_LKUP_RET_* to answer instead of success. */
  readonly result?: number
}

export type Mock = (call: HelperArguments) => bigint | number

/** Everything outside the program that its result may depend on; all of it chosen by the test, so runs repeat exactly. */
export class Environment {
  /** CPUs that per-CPU maps have room for, and the one the program runs on. */
  readonly cpus: number
  cpu = 0
  numaNode = 0
  /** Nanoseconds of CLOCK_MONOTONIC; bpf_ktime_get_boot_ns is the same, real time adds `epochNs`. */
  nowNs = 1_000_000_000n
  epochNs = 1_700_000_000_000_000_000n
  jiffiesHz = 250n
  task: TaskIdentity = { pid: 1000, tgid: 1000, comm: 'test', uid: 0, gid: 0, cgroupId: 1n }
  /** Ancestors of the task's cgroup, root first; the last is its own. */
  cgroupAncestors: bigint[] = [1n]
  routes: FibRoute[] = []
  /** Return addresses that bpf_get_stackid and bpf_get_stack find, the innermost first. */
  kernelStack: bigint[] = []
  userStack: bigint[] = []
  /** Arguments of the traced function, for bpf_get_func_arg: the return value stands behind them in the context. */
  argumentCount = 0
  /** The file that a cgroup/sysctl program is asked about; `newValue` when it is written. */
  sysctl: { name: string; value: string; newValue?: string } = { name: 'net/ipv4/ip_forward', value: '0\n' }
  /** By helper or kfunc name without `bpf_` in front; called instead of the emulator's own. */
  readonly mocks = new Map<string, Mock>()
  /** Calls so far by name, mocked or not. */
  readonly calls = new Map<string, number>()
  #seed: bigint

  constructor(options: { cpus?: number; cpu?: number; seed?: number } = {}) {
    this.cpus = Math.max(1, Math.min(256, options.cpus ?? 1))
    this.cpu = Math.min(options.cpu ?? 0, this.cpus - 1)
    this.#seed = BigInt(options.seed ?? 1)
  }

  /** The next 64 random bits (splitmix64): the same seed gives the same run. */
  random(): bigint {
    this.#seed = BigInt.asUintN(64, this.#seed + 0x9e3779b97f4a7c15n)
    let z = this.#seed
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n)
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn)
    return z ^ (z >> 31n)
  }
}
