/**
 * Where a program attaches, as data: what a section name or the builder says, what a link of the kernel layer takes.
 * Names, paths and numbers only, no file descriptors. Interfaces are named by their name or index.
 */
export type AttachSpec =
  | { readonly kind: 'kprobe'; readonly function: string; readonly offset?: number; readonly retprobe?: boolean }
  /** kprobe.multi (Linux 5.18), with `session` kprobe.session (6.10). `*` and `?` are wildcards. */
  | { readonly kind: 'kprobe_multi'; readonly pattern: string; readonly retprobe?: boolean; readonly session?: boolean }
  | { readonly kind: 'ksyscall'; readonly syscall: string; readonly retprobe?: boolean }
  | {
      readonly kind: 'uprobe'
      /** A binary's path or a library's name. */
      readonly binary: string
      readonly function?: string
      /** Bytes after the function, or a file offset when there is no function. */
      readonly offset?: number
      readonly retprobe?: boolean
      readonly pid?: number
    }
  | {
      readonly kind: 'uprobe_multi'
      readonly binary: string
      readonly pattern: string
      readonly retprobe?: boolean
      readonly session?: boolean
      readonly pid?: number
    }
  | {
      readonly kind: 'usdt'
      readonly binary: string
      readonly provider: string
      readonly name: string
      readonly pid?: number
    }
  | { readonly kind: 'tracepoint'; readonly category: string; readonly name: string }
  | { readonly kind: 'raw_tracepoint'; readonly name: string }
  /** fentry, fexit, fmod_ret, fsession, tp_btf, lsm: the attach type of the program says which; the target is `attachTo`. */
  | { readonly kind: 'tracing'; readonly target: string; readonly module?: string }
  | { readonly kind: 'lsm_cgroup'; readonly hook: string; readonly cgroup?: string }
  | { readonly kind: 'iter'; readonly target: string }
  | { readonly kind: 'freplace'; readonly function: string; readonly program?: string }
  | { readonly kind: 'xdp'; readonly interface?: string | number; readonly mode?: 'generic' | 'native' | 'offload' }
  | { readonly kind: 'tcx'; readonly direction: 'ingress' | 'egress'; readonly interface?: string | number }
  | {
      readonly kind: 'tc'
      readonly direction: 'ingress' | 'egress'
      readonly interface?: string | number
      readonly priority?: number
      readonly handle?: number
    }
  | { readonly kind: 'netkit'; readonly end: 'primary' | 'peer'; readonly interface?: string | number }
  | { readonly kind: 'cgroup'; readonly cgroup?: string }
  | { readonly kind: 'netns'; readonly netns?: string }
  | {
      readonly kind: 'netfilter'
      readonly family: 'ipv4' | 'ipv6'
      readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting'
      readonly priority: number
      readonly defrag?: boolean
    }
  | { readonly kind: 'sockmap'; readonly map: string }
  | { readonly kind: 'struct_ops'; readonly type: string; readonly member: string }
  | {
      readonly kind: 'perf_event'
      /** PERF_TYPE_* and its config. */
      readonly type: number
      readonly config: bigint
      readonly period?: bigint
      readonly frequency?: bigint
      readonly cpu?: number
      readonly pid?: number
    }
  | { readonly kind: 'socket'; readonly reuseport?: boolean }
