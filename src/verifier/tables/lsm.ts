/**
 * What the kernel knows of each hook of the LSM besides its prototype (kernel/bpf/bpf_lsm.c). Sleepable, disabled, bool and
 * untrusted hooks as Linux 6.18 answers for each of them. Names without `bpf_lsm_`.
 */

const words = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/).filter((word) => word !== ''))

/** Functions of the kernel that begin like a hook and are none. */
export const NO_HOOKS = words(
  'find_cgroup_shim func_proto get_retval_range has_d_inode_locked init is_sleepable_hook is_trusted verify_prog',
)

/** Hooks that programs may not be attached to. */
export const DISABLED_HOOKS = words(
  `vm_enough_memory inode_need_killpriv inode_getsecurity inode_listsecurity inode_copy_up_xattr getselfattr getprocattr
  setprocattr key_getsecurity audit_rule_match ismaclabel`,
)

/** Hooks that the first point releases of 6.18 (6.18.15) take programs for and later kernels do not. */
export const DISABLED_BY_RELEASE = words('xfrm_decode_session')

/** Hooks that are called where sleeping is allowed. */
export const SLEEPABLE_HOOKS = words(
  `bpf bpf_map bpf_map_create bpf_map_free bpf_prog bpf_prog_free bpf_prog_load bpf_token_capable bpf_token_cmd
  bpf_token_create bpf_token_free bprm_check_security bprm_committed_creds bprm_committing_creds bprm_creds_for_exec
  bprm_creds_from_file capget capset cred_prepare file_ioctl file_lock file_open file_post_open file_receive inode_create
  inode_free_security inode_getattr inode_getxattr inode_mknod inode_need_killpriv inode_post_removexattr
  inode_post_setxattr inode_readlink inode_removexattr inode_rename inode_rmdir inode_setattr inode_setxattr
  inode_symlink inode_unlink kernel_module_request kernel_read_file kernfs_init_security mmap_file netlink_send
  path_chmod path_chown path_link path_mkdir path_notify path_rename path_rmdir path_symlink path_truncate path_unlink
  release_secctx sb_alloc_security sb_eat_lsm_opts sb_kern_mount sb_mount sb_remount sb_set_mnt_opts sb_show_options
  sb_statfs sb_umount settime socket_accept socket_bind socket_connect socket_create socket_getpeername
  socket_getpeersec_dgram socket_getsockname socket_getsockopt socket_listen socket_post_create socket_recvmsg
  socket_sendmsg socket_shutdown socket_socketpair syslog task_alloc task_prctl task_setscheduler userns_create`,
)

/** Hooks that the first point releases of 6.18 (6.18.15) take for sleepable and later kernels do not. */
export const SLEEPABLE_BY_RELEASE = words('inet_conn_established task_to_inode')

/** Hooks whose arguments are on their way in or out: pointers there are not trusted. */
export const UNTRUSTED_HOOKS = words(
  'bpf_map_free bpf_prog_free file_alloc_security file_free_security sk_alloc_security sk_free_security task_free',
)

/** Hooks that answer 0 or 1. */
export const BOOL_HOOKS = words('xfrm_state_pol_flow_match audit_rule_known inode_xattr_skipcap')

/** Hooks where programs of a cgroup may ask for and set options of the socket. */
export const SOCKOPT_HOOKS = words(
  'sock_graft inet_csk_clone inet_conn_established socket_post_create socket_socketpair',
)

/** What LSM programs call besides what tracing programs do (bpf_lsm_func_proto). */
export const LSM_HELPERS = [
  'bprm_opts_set',
  'ima_inode_hash',
  'ima_file_hash',
  'inode_storage_get',
  'inode_storage_delete',
  'sk_storage_get',
  'sk_storage_delete',
  'spin_lock',
  'spin_unlock',
] as const

/** Where a trampoline calls the program (BPF_LSM_MAC). */
export const TRAMPOLINE_HELPERS = ['get_func_arg', 'get_func_arg_cnt', 'get_func_ret'] as const
/** What only a trampoline knows. */
export const TRAMPOLINE_ONLY = 'get_attach_cookie'
/** Programs of a cgroup (BPF_LSM_CGROUP). */
export const CGROUP_HELPERS = ['get_local_storage', 'get_retval', 'set_retval'] as const
export const SOCKOPT_HELPERS = ['setsockopt', 'getsockopt'] as const

/** Helpers that LSM programs may call only in hooks that may sleep. */
export const HELPERS_OF_SLEEPABLE_HOOKS = ['d_path', 'ima_inode_hash', 'ima_file_hash'] as const

/** Kernel functions for LSM programs alone (fs/bpf_fs_kfuncs.c and its like). */
export const LSM_KFUNCS = words(
  `bpf_get_task_exe_file bpf_put_file bpf_path_d_path bpf_get_file_xattr bpf_get_dentry_xattr bpf_set_dentry_xattr
  bpf_remove_dentry_xattr bpf_get_fsverity_digest bpf_verify_pkcs7_signature`,
)
