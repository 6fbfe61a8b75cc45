import type { SiteProgram } from './program.ts'

const here = 'LSM programs are refused by the policy of the machine that this was written on'
const hook = { type: 'lsm', attach: 'lsm_mac', notHere: here } as const
const member = { type: 'struct_ops' } as const

/** Programs whose target says what they may do. */
export const TARGETS: readonly SiteProgram[] = [
  {
    ...member,
    name: 'struct_ops without a licence for the kernel',
    license: 'Proprietary',
    target: 'tcp_congestion_ops.ssthresh',
    program: 'r0 = 2; exit',
    says: 'struct ops programs must have a GPL compatible license',
  },
  {
    ...member,
    name: 'a field of a TCP socket that programs do not set',
    target: 'tcp_congestion_ops.ssthresh',
    program: 'r1 = *(u64 *)(r1 + 0); *(u32 *)(r1 + 0) = 1; r0 = 2; exit',
    says: 'no write support to tcp_sock at off 0',
  },
  {
    ...member,
    name: 'a write through a pointer that was cast',
    target: 'tcp_congestion_ops.ssthresh',
    program:
      'r1 = *(u64 *)(r1 + 0); r2 = $tcp_sock; call bpf_rdonly_cast; *(u32 *)(r0 + $tcp_sock.snd_cwnd) = 1; r0 = 0; exit',
    says: 'only read is supported',
  },
  {
    ...member,
    name: 'a write to another object than the state of dummy operations',
    target: 'bpf_dummy_ops.test_1',
    program: 'r1 = 1; call bpf_task_from_pid; if r0 == 0 goto out; *(u32 *)(r0 + 0) = 1; out: r0 = 0; exit',
    says: 'only access to bpf_dummy_ops_state is supported',
  },
  {
    ...member,
    name: 'more than the state of dummy operations',
    target: 'bpf_dummy_ops.test_1',
    program: 'r1 = *(u64 *)(r1 + 0); if r1 == 0 goto out; *(u64 *)(r1 + 0) = 1; out: r0 = 0; exit',
    says: 'write access at off 0 with size 8',
  },
  {
    type: 'tracing',
    attach: 'trace_raw_tp',
    target: 'sched_switch',
    name: "a function's address where no function is traced",
    program: 'call bpf_get_func_ip; r0 = 0; exit',
    says: 'func bpf_get_func_ip#173 supported only for fentry/fexit/fmod_ret programs',
  },
  {
    type: 'tracing',
    attach: 'trace_raw_tp',
    target: 'sched_switch',
    name: 'the path of a file at a tracepoint',
    program: 'call bpf_d_path; r0 = 0; exit',
    says: 'helper call is not allowed in probe',
  },
  {
    type: 'tracing',
    attach: 'trace_iter',
    target: 'bpf_map_elem',
    name: 'a write to the key of a map that is listed',
    program: 'r1 = *(u64 *)(r1 + 16); if r1 == 0 goto out; *(u64 *)(r1 + 0) = 0; out: r0 = 0; exit',
    says: 'R1 cannot write into rdonly_buf',
  },
  {
    type: 'tracing',
    attach: 'trace_iter',
    target: 'bpf_map_elem',
    name: 'a write to the key of a map that is listed, by a helper',
    program:
      'r1 = *(u64 *)(r1 + 16); if r1 == 0 goto out; r2 = 8; r3 = 0; call bpf_probe_read_kernel; out: r0 = 0; exit',
    says: 'R1 type=rdonly_buf expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_',
  },
  {
    type: 'tracing',
    attach: 'trace_iter',
    target: 'bpf_map_elem',
    name: 'a value of a map that is listed, before its beginning',
    program: 'r1 = *(u64 *)(r1 + 24); if r1 == 0 goto out; r0 = *(u64 *)(r1 - 8); out: r0 = 0; exit',
    says: 'R1 invalid rdwr buffer access: off=-8, size=8',
  },
  {
    ...member,
    name: 'more of a TCP socket than its field',
    target: 'tcp_congestion_ops.ssthresh',
    program: 'r1 = *(u64 *)(r1 + 0); *(u64 *)(r1 + $tcp_sock.snd_cwnd) = 1; r0 = 2; exit',
    says: /^write access at off \d+ with size 8 beyond the member of tcp_sock ended at \d+$/,
  },
  {
    ...member,
    name: 'a write to another object than the socket',
    target: 'tcp_congestion_ops.ssthresh',
    program: 'r1 = 1; call bpf_task_from_pid; if r0 == 0 goto out; *(u32 *)(r0 + 0) = 1; out: r0 = 0; exit',
    says: 'only read is supported',
  },
  {
    ...hook,
    target: 'file_open',
    flags: ['sleepable'],
    name: 'the stack for the name of an attribute',
    program:
      'r1 = *(u64 *)(r1 + 0); *(u64 *)(r10 - 8) = 0; r2 = r10; r2 += -8; r3 = r10; r3 += -24; call bpf_get_file_xattr; r0 = 0; exit',
    says: "arg#1 doesn't point to a const string",
  },
  {
    ...hook,
    attach: 'lsm_cgroup',
    target: 'sk_clone_security',
    name: 'a result for a hook that gives none',
    program: 'r1 = 1; call bpf_set_retval; r0 = 1; exit',
    says: "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!",
  },
]
