import { type AttachType, attachTypeName } from './attach-types.ts'
import { HELPER_NAMES } from './helper-names.ts'

/**
 * The first kernels of helpers, attach types and kernel functions. Sources: the release notes and headers of each release
 * (include/uapi/linux/bpf.h grows at its end, so that the last helper of a release says the range).
 */

/** The last helper number of each release that brought some, oldest first. */
const LAST_HELPER: readonly (readonly [kernel: string, helper: string])[] = [
  ['3.19', 'map_delete_elem'],
  ['4.1', 'l4_csum_replace'],
  ['4.2', 'get_current_comm'],
  ['4.3', 'perf_event_read'],
  ['4.4', 'perf_event_output'],
  ['4.5', 'skb_load_bytes'],
  ['4.6', 'skb_set_tunnel_opt'],
  ['4.8', 'probe_write_user'],
  ['4.9', 'set_hash_invalid'],
  ['4.10', 'xdp_adjust_head'],
  ['4.11', 'probe_read_str'],
  ['4.12', 'get_socket_uid'],
  ['4.13', 'skb_adjust_room'],
  ['4.14', 'sock_map_update'],
  ['4.15', 'getsockopt'],
  ['4.16', 'sock_ops_cb_flags_set'],
  ['4.17', 'bind'],
  ['4.18', 'get_current_cgroup_id'],
  ['4.19', 'skb_ancestor_cgroup_id'],
  ['4.20', 'msg_push_data'],
  ['5.0', 'rc_pointer_rel'],
  ['5.1', 'get_listener_sock'],
  ['5.2', 'sk_storage_delete'],
  ['5.3', 'send_signal'],
  ['5.4', 'tcp_gen_syncookie'],
  ['5.5', 'probe_read_kernel_str'],
  ['5.6', 'jiffies64'],
  ['5.7', 'sk_assign'],
  ['5.8', 'csum_level'],
  ['5.9', 'get_task_stack'],
  ['5.10', 'redirect_peer'],
  ['5.11', 'sock_from_file'],
  ['5.12', 'check_mtu'],
  ['5.13', 'snprintf'],
  ['5.14', 'sys_close'],
  ['5.15', 'task_pt_regs'],
  ['5.16', 'kallsyms_lookup_name'],
  ['5.17', 'get_func_arg_cnt'],
  ['5.18', 'ima_file_hash'],
  ['5.19', 'dynptr_data'],
  ['6.0', 'tcp_raw_check_syncookie_ipv6'],
  ['6.1', 'user_ringbuf_drain'],
  ['6.2', 'cgrp_storage_delete'],
]

/** The first kernel with a helper, undefined for numbers that no kernel has. */
export function helperSince(number: number): string | undefined {
  if (number < 1 || number >= HELPER_NAMES.length) return undefined
  return LAST_HELPER.find(([, last]) => number <= HELPER_NAMES.indexOf(last))?.[0]
}

/**
 * First kernels of attach types that BPF_PROG_LOAD must know. Types that loaders leave out for older kernels (`xdp`) or that
 * are as old as their program type are not here.
 */
const ATTACH_TYPES_SINCE: { readonly [T in AttachType]?: string } = {
  cgroup_inet4_connect: '4.17',
  cgroup_inet6_connect: '4.17',
  cgroup_inet4_post_bind: '4.17',
  cgroup_inet6_post_bind: '4.17',
  cgroup_udp4_sendmsg: '4.18',
  cgroup_udp6_sendmsg: '4.18',
  cgroup_udp4_recvmsg: '5.2',
  cgroup_udp6_recvmsg: '5.2',
  trace_raw_tp: '5.5',
  trace_fentry: '5.5',
  trace_fexit: '5.5',
  modify_return: '5.7',
  trace_iter: '5.8',
  cgroup_inet4_getpeername: '5.8',
  cgroup_inet6_getpeername: '5.8',
  cgroup_inet4_getsockname: '5.8',
  cgroup_inet6_getsockname: '5.8',
  xdp_devmap: '5.8',
  xdp_cpumap: '5.9',
  cgroup_inet_sock_release: '5.9',
  sk_skb_verdict: '5.13',
  sk_reuseport_select_or_migrate: '5.14',
  trace_kprobe_multi: '5.18',
  lsm_cgroup: '6.0',
  tcx_ingress: '6.6',
  tcx_egress: '6.6',
  trace_uprobe_multi: '6.6',
  cgroup_unix_connect: '6.7',
  cgroup_unix_sendmsg: '6.7',
  cgroup_unix_recvmsg: '6.7',
  cgroup_unix_getpeername: '6.7',
  cgroup_unix_getsockname: '6.7',
  netkit_primary: '6.7',
  netkit_peer: '6.7',
  trace_kprobe_session: '6.10',
  trace_uprobe_session: '6.13',
}

/** The first kernel that loads a program for an attach type; undefined: as old as the program type, or not known. */
export function attachTypeSince(number: number): string | undefined {
  const name = attachTypeName(number)
  return name === undefined ? undefined : ATTACH_TYPES_SINCE[name]
}

/** First kernels of kernel functions, by the beginning of the name; the longest that fits counts. */
const KFUNCS_SINCE: readonly (readonly [prefix: string, kernel: string])[] = [
  ['bpf_skb_ct_', '5.18'],
  ['bpf_xdp_ct_', '5.18'],
  ['bpf_ct_', '5.18'],
  ['bpf_key_put', '6.1'],
  ['bpf_lookup_user_key', '6.1'],
  ['bpf_obj_new_impl', '6.2'],
  ['bpf_obj_drop_impl', '6.2'],
  ['bpf_list_', '6.2'],
  ['bpf_rcu_read_', '6.2'],
  ['bpf_cast_to_kern_ctx', '6.2'],
  ['bpf_rdonly_cast', '6.2'],
  ['bpf_task_acquire', '6.2'],
  ['bpf_task_release', '6.2'],
  ['bpf_task_from_pid', '6.2'],
  ['bpf_cgroup_', '6.2'],
  ['bpf_cpumask_', '6.3'],
  ['bpf_rbtree_', '6.3'],
  ['bpf_xdp_metadata_', '6.3'],
  ['bpf_iter_num_', '6.4'],
  ['bpf_dynptr_', '6.4'],
  ['bpf_refcount_acquire_impl', '6.4'],
  ['bpf_dynptr_adjust', '6.5'],
  ['bpf_dynptr_size', '6.5'],
  ['bpf_dynptr_is_', '6.5'],
  ['bpf_dynptr_clone', '6.5'],
  ['bpf_sock_destroy', '6.5'],
  ['bpf_map_sum_elem_count', '6.6'],
  ['bpf_throw', '6.7'],
  ['bpf_iter_task_', '6.7'],
  ['bpf_iter_css_', '6.7'],
  ['bpf_percpu_obj_', '6.7'],
  ['bpf_get_file_xattr', '6.8'],
  ['bpf_get_fsverity_digest', '6.8'],
  ['bpf_arena_', '6.9'],
  ['bpf_preempt_', '6.10'],
  ['bpf_wq_', '6.10'],
  ['bpf_crypto_', '6.10'],
  ['bpf_iter_bits_', '6.11'],
  ['bpf_copy_from_user_str', '6.12'],
  ['bpf_iter_kmem_cache_', '6.13'],
  ['bpf_local_irq_', '6.14'],
  ['bpf_res_spin_', '6.15'],
]

/** The first kernel with a kernel function, 5.13 (the first with any) when the table does not know it. */
export function kfuncSince(name: string): string {
  let best: readonly [string, string] = ['', '5.13']
  for (const row of KFUNCS_SINCE) if (name.startsWith(row[0]) && row[0].length > best[0].length) best = row
  return best[1]
}
