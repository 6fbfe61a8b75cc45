/** Program flags of BPF_PROG_LOAD (BPF_F_*), by their lower-case names. */
export const PROGRAM_FLAGS = {
  strict_alignment: 1 << 0,
  any_alignment: 1 << 1,
  test_rnd_hi32: 1 << 2,
  test_state_freq: 1 << 3,
  sleepable: 1 << 4,
  xdp_has_frags: 1 << 5,
  xdp_dev_bound_only: 1 << 6,
  test_reg_invariants: 1 << 7,
} as const
export type ProgramFlag = keyof typeof PROGRAM_FLAGS

/** Map flags of BPF_MAP_CREATE (BPF_F_*), by their lower-case names. */
export const MAP_FLAGS = {
  no_prealloc: 1 << 0,
  no_common_lru: 1 << 1,
  numa_node: 1 << 2,
  rdonly: 1 << 3,
  wronly: 1 << 4,
  stack_build_id: 1 << 5,
  zero_seed: 1 << 6,
  rdonly_prog: 1 << 7,
  wronly_prog: 1 << 8,
  clone: 1 << 9,
  mmapable: 1 << 10,
  preserve_elems: 1 << 11,
  inner_map: 1 << 12,
  link: 1 << 13,
  path_fd: 1 << 14,
  vtype_btf_obj_fd: 1 << 15,
  token_fd: 1 << 16,
  segv_on_fault: 1 << 17,
  no_user_conv: 1 << 18,
  rb_overwrite: 1 << 19,
} as const
export type MapFlag = keyof typeof MAP_FLAGS

/** Flags of BPF_MAP_UPDATE_ELEM. */
export const UPDATE_FLAGS = { any: 0, noexist: 1, exist: 2, lock: 4 } as const
