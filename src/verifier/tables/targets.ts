/** Facts of attach targets that BTF does not tell (kernel/bpf/*_iter.c, net/*; kernel/bpf/verifier.c of Linux 6.18). */

/**
 * What each argument of an iterator's context is: `-` what its type says, else flags before the pointer it points to.
 * The first, struct bpf_iter_meta, is left out.
 */
export const ITERATORS: Readonly<Record<string, readonly string[]>> = {
  bpf_link: ['ptr_or_null'],
  bpf_map: ['trusted_ptr_or_null'],
  bpf_map_elem: ['trusted_ptr', 'rdonly_buf_or_null', 'buf_or_null'],
  bpf_prog: ['ptr_or_null'],
  bpf_sk_storage_map: ['trusted_ptr', 'ptr_or_null', 'buf_or_null'],
  cgroup: ['trusted_ptr_or_null'],
  dmabuf: ['ptr_or_null'],
  ipv6_route: ['ptr_or_null'],
  kmem_cache: ['trusted_ptr_or_null'],
  ksym: ['ptr_or_null'],
  netlink: ['ptr_or_null'],
  sockmap: ['trusted_ptr', 'rdonly_buf_or_null', 'ptr_or_null'],
  task: ['trusted_ptr_or_null'],
  task_file: ['ptr_or_null', '-', 'ptr_or_null'],
  task_vma: ['ptr_or_null', 'ptr_or_null'],
  tcp: ['trusted_ptr_or_null', '-'],
  udp: ['trusted_ptr_or_null', '-', '-'],
  unix: ['ptr_or_null', '-'],
}

/** Functions that no tracing program is attached to (btf_id_deny); each exists only in kernels that deny it. */
export const DENIED_TARGETS: ReadonlySet<string> = new Set([
  'migrate_disable',
  'migrate_enable',
  '___migrate_enable',
  'rcu_read_unlock_strict',
  'preempt_count_add',
  'preempt_count_sub',
  '__rcu_read_lock',
  '__rcu_read_unlock',
])

/** Functions that never return: only their beginning can be traced (noreturn_deny). */
export const NORETURN_TARGETS: ReadonlySet<string> = new Set([
  '__ia32_sys_exit',
  '__ia32_sys_exit_group',
  '__kunit_abort',
  'kunit_try_catch_throw',
  '__module_put_and_kthread_exit',
  '__x64_sys_exit',
  '__x64_sys_exit_group',
  'do_exit',
  'do_group_exit',
  'kthread_complete_and_exit',
  'kthread_exit',
  'make_task_dead',
])

/** Functions whose result programs may replace by a list of their own (net/bpf/test_run.c, net/socket.c). */
export const MODIFIABLE_FUNCTIONS: ReadonlySet<string> = new Set([
  'bpf_fentry_test1',
  'bpf_modify_return_test',
  'bpf_modify_return_test2',
  'bpf_modify_return_test_tp',
  'update_socket_protocol',
])
/** Of these, the one that may sleep. */
export const SLEEPABLE_FUNCTIONS: ReadonlySet<string> = new Set(['bpf_fentry_test1'])

/** Functions whose tracing programs may ask for paths (btf_allowlist_d_path). */
export const D_PATH_TARGETS: ReadonlySet<string> = new Set([
  'security_file_permission',
  'security_inode_getattr',
  'security_file_open',
  'security_path_truncate',
  'vfs_truncate',
  'vfs_fallocate',
  'dentry_open',
  'vfs_getattr',
  'filp_close',
])

/** System calls take injected errors: they may be traced by programs that sleep, and their result replaced. */
export const ERROR_INJECTION_PREFIX = '__x64_sys_'

/**
 * Tracepoints that later kernels know to have null arguments and that the recorded kernel was built without: what 6.18
 * says of them is not known.
 */
export const UNRECORDED_TRACEPOINTS =
  /^(afs|cachefiles|netfs|rxrpc|xs_|xprt_|tegra|mr_|amdgpu|nfs|pnfs|coda|cfg80211|rdev|wiphy|spufs|kvm|dpu|binder|btree|hfi1|iptfs|amdtp|host1x|xchk)/
