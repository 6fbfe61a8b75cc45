/**
 * Flags of the kernel's functions that programs may call (kfuncs) in Linux 6.18: which flag each of the kernel's
 * BTF_ID_FLAGS rows carries. Prototypes come from the kernel's BTF, availability from the recorded profile.
 */
export const ACQUIRE = 1 << 0
export const RELEASE = 1 << 1
export const RET_NULL = 1 << 2
export const TRUSTED_ARGS = 1 << 4
export const SLEEPABLE = 1 << 5
export const DESTRUCTIVE = 1 << 6
export const RCU = 1 << 7
export const ITER_NEW = 1 << 8
export const ITER_NEXT = 1 << 9
export const ITER_DESTROY = 1 << 10
export const RCU_PROTECTED = 1 << 11
export const FASTCALL = 1 << 12
export const ARENA = 1 << 13
/** Not a flag of the kernel: what this function does is not modelled. */
export const UNMODELLED = 1 << 20

const NAMED: Readonly<Record<string, number>> = {
  acquire: ACQUIRE,
  release: RELEASE,
  ret_null: RET_NULL,
  trusted: TRUSTED_ARGS,
  sleepable: SLEEPABLE,
  destructive: DESTRUCTIVE,
  rcu: RCU,
  new: ITER_NEW,
  next: ITER_NEXT,
  destroy: ITER_DESTROY,
  rcu_protected: RCU_PROTECTED,
  fastcall: FASTCALL,
  unmodelled: UNMODELLED,
}

/** Flags, then the functions that carry exactly these. */
const ROWS: readonly (readonly [flags: string, names: string])[] = [
  [
    '',
    'bpf_rcu_read_lock bpf_rcu_read_unlock bpf_preempt_disable bpf_preempt_enable bpf_local_irq_save ' +
      'bpf_local_irq_restore bpf_dynptr_adjust bpf_dynptr_is_null bpf_dynptr_is_rdonly bpf_dynptr_size ' +
      'bpf_dynptr_clone bpf_dynptr_copy bpf_dynptr_memset bpf_dynptr_from_xdp ' +
      'bpf_modify_return_test_tp bpf_get_kmem_cache bpf_probe_read_user_dynptr bpf_probe_read_kernel_dynptr ' +
      'bpf_probe_read_user_str_dynptr bpf_probe_read_kernel_str_dynptr bpf_strcmp bpf_strcasecmp bpf_strchr ' +
      'bpf_strchrnul bpf_strnchr bpf_strrchr bpf_strlen bpf_strnlen bpf_strspn bpf_strcspn bpf_strstr bpf_strnstr ' +
      'bpf_sock_addr_set_sun_path tcp_reno_ssthresh ' +
      'tcp_reno_cong_avoid tcp_reno_undo_cwnd tcp_slow_start tcp_cong_avoid_ai cubictcp_init ' +
      'cubictcp_recalc_ssthresh cubictcp_cong_avoid cubictcp_state cubictcp_cwnd_event cubictcp_acked bbr_init ' +
      'bbr_main bbr_sndbuf_expand bbr_undo_cwnd bbr_cwnd_event bbr_ssthresh bbr_min_tso_segs bbr_set_state',
  ],
  ['', 'bpf_throw bpf_wq_init bpf_wq_set_callback_impl bpf_wq_start bpf_xdp_pull_data css_rstat_updated'],
  ['sleepable', 'css_rstat_flush'],
  ['sleepable trusted', 'bpf_arena_alloc_pages bpf_arena_free_pages bpf_arena_reserve_pages'],
  [
    'trusted',
    'bpf_sock_destroy bpf_sk_assign_tcp_reqsk bpf_sock_ops_enable_tx_tstamp bpf_ct_set_timeout bpf_ct_change_timeout bpf_ct_set_status bpf_ct_change_status bpf_ct_set_nat_info',
  ],
  ['acquire ret_null', 'bpf_xdp_ct_alloc bpf_xdp_ct_lookup bpf_skb_ct_alloc bpf_skb_ct_lookup bpf_xdp_get_xfrm_state'],
  ['acquire ret_null release', 'bpf_ct_insert_entry'],
  ['release', 'bpf_ct_release bpf_xdp_xfrm_state_release'],
  ['acquire ret_null sleepable', 'bpf_crypto_ctx_create'],
  ['', 'bpf_list_push_front_impl bpf_list_push_back_impl bpf_rbtree_add_impl'],
  [
    'acquire ret_null',
    'bpf_obj_new_impl bpf_percpu_obj_new_impl bpf_list_pop_front bpf_list_pop_back bpf_rbtree_remove',
  ],
  ['acquire ret_null rcu', 'bpf_refcount_acquire_impl'],
  ['release', 'bpf_obj_drop_impl bpf_percpu_obj_drop_impl'],
  ['release', 'bpf_kfunc_call_test_release bpf_kfunc_call_memb_release'],
  ['ret_null', 'bpf_res_spin_lock bpf_res_spin_lock_irqsave'],
  ['', 'bpf_res_spin_unlock bpf_res_spin_unlock_irqrestore'],
  ['ret_null', 'bpf_list_front bpf_list_back bpf_rbtree_first bpf_rbtree_root bpf_rbtree_left bpf_rbtree_right'],
  ['fastcall', 'bpf_cast_to_kern_ctx bpf_rdonly_cast'],
  ['ret_null', 'bpf_dynptr_slice bpf_dynptr_slice_rdwr'],
  [
    'trusted',
    'bpf_dynptr_from_skb bpf_dynptr_from_skb_meta bpf_path_d_path bpf_map_sum_elem_count bpf_send_signal_task',
  ],
  ['trusted acquire', 'bpf_cpumask_acquire'],
  [
    'acquire ret_null',
    'bpf_cpumask_create bpf_task_from_pid bpf_task_from_vpid bpf_cgroup_from_id bpf_lookup_system_key',
  ],
  ['acquire ret_null sleepable', 'bpf_lookup_user_key'],
  [
    'acquire ret_null rcu',
    'bpf_task_acquire bpf_cgroup_acquire bpf_cgroup_ancestor bpf_task_get_cgroup1 bpf_crypto_ctx_acquire',
  ],
  [
    'release',
    'bpf_cpumask_release bpf_task_release bpf_cgroup_release bpf_key_put bpf_put_file bpf_crypto_ctx_release',
  ],
  ['acquire ret_null trusted', 'bpf_get_task_exe_file'],
  [
    'rcu',
    'bpf_cpumask_first bpf_cpumask_first_zero bpf_cpumask_first_and bpf_cpumask_set_cpu bpf_cpumask_clear_cpu ' +
      'bpf_cpumask_test_cpu bpf_cpumask_test_and_set_cpu bpf_cpumask_test_and_clear_cpu bpf_cpumask_setall ' +
      'bpf_cpumask_clear bpf_cpumask_and bpf_cpumask_or bpf_cpumask_xor bpf_cpumask_equal bpf_cpumask_intersects ' +
      'bpf_cpumask_subset bpf_cpumask_empty bpf_cpumask_full bpf_cpumask_copy bpf_cpumask_any_distribute ' +
      'bpf_cpumask_any_and_distribute bpf_cpumask_weight bpf_cpumask_populate bpf_task_under_cgroup ' +
      'bpf_cgroup_read_xattr bpf_crypto_decrypt bpf_crypto_encrypt',
  ],
  ['new', 'bpf_iter_num_new bpf_iter_bits_new'],
  [
    'next ret_null',
    'bpf_iter_num_next bpf_iter_bits_next bpf_iter_task_vma_next bpf_iter_css_task_next bpf_iter_css_next bpf_iter_task_next',
  ],
  [
    'destroy',
    'bpf_iter_num_destroy bpf_iter_bits_destroy bpf_iter_task_vma_destroy bpf_iter_css_task_destroy bpf_iter_css_destroy bpf_iter_task_destroy',
  ],
  ['new rcu', 'bpf_iter_task_vma_new'],
  ['new trusted', 'bpf_iter_css_task_new'],
  ['new trusted rcu_protected', 'bpf_iter_css_new bpf_iter_task_new'],
  ['new sleepable', 'bpf_iter_kmem_cache_new bpf_iter_dmabuf_new'],
  ['next ret_null sleepable', 'bpf_iter_kmem_cache_next bpf_iter_dmabuf_next'],
  ['destroy sleepable', 'bpf_iter_kmem_cache_destroy bpf_iter_dmabuf_destroy'],
  [
    'sleepable',
    'bpf_verify_pkcs7_signature bpf_copy_from_user_str bpf_copy_from_user_task_str bpf_copy_from_user_dynptr bpf_copy_from_user_str_dynptr',
  ],
  [
    'sleepable trusted',
    'bpf_get_dentry_xattr bpf_get_file_xattr bpf_set_dentry_xattr bpf_remove_dentry_xattr bpf_copy_from_user_task_dynptr bpf_copy_from_user_task_str_dynptr',
  ],
]

const FLAGS = new Map<string, number>(
  ROWS.flatMap(([flags, names]) => {
    const bits = flags.split(' ').reduce((sum, name) => sum | (NAMED[name] ?? 0), 0)
    return names.split(' ').map((name): [string, number] => [name, bits])
  }),
)

/** Functions that move the packet. */
export const CHANGES_PACKET: ReadonlySet<string> = new Set(['bpf_xdp_pull_data'])

/** Flags of a kernel function by name, undefined where they are not recorded. */
export function kfuncFlags(name: string): number | undefined {
  return FLAGS.get(name)
}
