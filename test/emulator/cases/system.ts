import { mapSpec } from '../images.ts'
import type { Case } from './assemble.ts'

/** A call without arguments whose answer the test's world decides. */
const plain = (name: string, answer: number | bigint, rest: Partial<Case> = {}): Case => ({
  calls: name,
  type: 'raw_tracepoint',
  text: `call ${name}\nexit`,
  run: {},
  answer,
  own: true,
  ...rest,
})
const TEXT = 'r1 = 0x00646c726f77 ll\n*(u64 *)(r10 - 16) = r1'

const read = (name: string, wrong: number): Case => ({
  calls: name,
  type: 'raw_tracepoint',
  run: {},
  // own stack, then an address where nothing is: the buffer is zeroed
  text: `*(u64 *)(r10 - 8) = 5\n*(u64 *)(r10 - 16) = 0\nfp r1 -16\nr2 = 8\nfp r3 -8\ncall ${name}\nr6 = *(u64 *)(r10 - 16)\nr6 += r0\nfp r1 -16\nr2 = 8\nr3 = 0\ncall ${name}
    r1 = *(u64 *)(r10 - 16)\nr0 += r1\nr0 += r6\nexit`,
  answer: 5 + wrong,
})
const readUser = (name: string): Case => ({
  calls: name,
  type: name === 'copy_from_user' ? 'syscall' : 'raw_tracepoint',
  run: {},
  text: `*(u64 *)(r10 - 16) = 7\nfp r1 -16\nr2 = 8\nr3 = 0\ncall ${name}\nr1 = *(u64 *)(r10 - 16)\nr0 += r1\nexit`,
  answer: -14,
})
const readText = (name: string, rest: Partial<Case> = {}): Case => ({
  calls: name,
  type: 'raw_tracepoint',
  run: {},
  text: `${TEXT}\n*(u64 *)(r10 - 8) = 0\nfp r1 -8\nr2 = 4\nfp r3 -16\ncall ${name}\nr6 = *(u32 *)(r10 - 8)\nr6 -= 0x00726f77\nr6 += r0\nfp r1 -8\nr2 = 8\nfp r3 -16\ncall ${name}\nr0 <<= 8\nr0 += r6\nexit`,
  answer: 0x604,
  ...rest,
})
const format = (text: string): string => {
  const bytes = new TextEncoder().encode(`${text}\0`.padEnd(16, '\0'))
  const words = new BigUint64Array(bytes.buffer.slice(0, 16))
  return [...words].map((word, i) => `r1 = ${word} ll\n*(u64 *)(r10 - ${16 - 8 * i}) = r1`).join('\n')
}

const NUMBERS = (name: string, text: string, flags: number, answer: number): Case => ({
  calls: name,
  type: 'xdp',
  // the texts stand in a read-only array
  maps: [
    mapSpec('array', {
      valueSize: 8,
      maxEntries: 1,
      contents: [[new Uint8Array(4), new TextEncoder().encode(text.padEnd(8, '\0'))]],
    }),
  ],
  text: `*(u32 *)(r10 - 4) = 0\nmap r1\nfp r2 -4\ncall map_lookup_elem\nif r0 == 0 goto out\nr1 = r0\nr2 = 8\nr3 = ${flags}\n*(u64 *)(r10 - 16) = 0\nfp r4 -16\ncall ${name}\nr1 = *(u64 *)(r10 - 16)\nr0 <<= 32\nr0 s>>= 32\nr0 *= 1000\nr0 += r1\nout:\nexit`,
  answer,
})

/** Clock, chance, task, texts, memory, events. */
export const SYSTEM_CASES: readonly Case[] = [
  plain('ktime_get_ns', 1_000_000_000),
  plain('ktime_get_boot_ns', 1_000_000_000),
  plain('ktime_get_coarse_ns', 1_000_000_000, { type: 'xdp' }),
  plain('ktime_get_tai_ns', 1_700_000_038_000_000_000n),
  plain('jiffies64', 250),
  plain('get_prandom_u32', 0, { text: 'call get_prandom_u32\nr0 >>= 32\nexit' }),
  plain('get_smp_processor_id', 0),
  plain('get_numa_node_id', 0),
  plain('get_current_pid_tgid', (1000n << 32n) | 1000n),
  plain('get_current_uid_gid', 0, { text: 'call get_current_uid_gid\nexit' }),
  plain('get_current_cgroup_id', 1),
  plain('get_current_ancestor_cgroup_id', 1, { text: 'r1 = 0\ncall get_current_ancestor_cgroup_id\nexit' }),
  plain('get_current_task', 0),
  plain('get_current_task_btf', 0),
  plain('get_func_ip', 0, { type: 'kprobe' }),
  plain('get_attach_cookie', 0, { type: 'kprobe' }),
  plain('get_cgroup_classid', 0, { type: 'sched_cls', run: { packet: new Uint8Array(60) } }),
  plain('get_netns_cookie', 1, { type: 'cgroup_sock' }),
  plain('get_retval set_retval', -5, {
    type: 'cgroup_sockopt',
    text: 'r1 = -5\ncall set_retval\ncall get_retval\nexit',
  }),
  plain('get_func_arg_cnt get_func_arg get_func_ret', 2 + 6 + 9, {
    type: 'tracing',
    run: { ctx: { arg0: 5, arg1: 6, arg2: 9 } },
    before: (emulator) => {
      emulator.environment.argumentCount = 2
    },
    text: 'r6 = r1\ncall get_func_arg_cnt\nr7 = r0\nr1 = r6\nr2 = 1\nfp r3 -8\ncall get_func_arg\nr1 = *(u64 *)(r10 - 8)\nr7 += r1\nr1 = r6\nfp r2 -8\ncall get_func_ret\nr0 = *(u64 *)(r10 - 8)\nr0 += r7\nexit',
  }),
  plain('get_current_comm', 0x7473_6574, {
    text: 'fp r1 -16\nr2 = 16\ncall get_current_comm\nr0 = *(u64 *)(r10 - 16)\nexit',
  }),
  plain('get_ns_current_pid_tgid', (1000n << 32n) | 1000n, {
    text: 'r1 = 0\nr2 = 0\nfp r3 -8\nr4 = 8\ncall get_ns_current_pid_tgid\nr0 = *(u64 *)(r10 - 8)\nexit',
  }),
  plain('current_task_under_cgroup', -11, {
    own: false,
    maps: [mapSpec('cgroup_array', { valueSize: 4 })],
    text: 'map r1\nr2 = 0\ncall current_task_under_cgroup\nexit',
  }),
  read('probe_read', -14),
  // what is no kernel address is refused before it is read
  read('probe_read_kernel', -34),
  readUser('probe_read_user'),
  readUser('copy_from_user'),
  readText('probe_read_str'),
  readText('probe_read_kernel_str'),
  {
    calls: 'probe_read_user_str',
    type: 'raw_tracepoint',
    run: {},
    text: 'fp r1 -16\nr2 = 8\nr3 = 0\ncall probe_read_user_str\nexit',
    answer: -14,
  },
  {
    calls: 'probe_read_kernel_str',
    type: 'raw_tracepoint',
    run: {},
    text: 'fp r1 -16\nr2 = 8\nr3 = 0xffffffffffff0000 ll\ncall probe_read_kernel_str\nr6 = r0\nfp r1 -16\nr2 = 8\nr3 = 0x7fff0000000000 ll\ncall probe_read_kernel_str\nr0 *= 1000\nr0 += r6\nexit',
    answer: -34 * 1000 - 14,
  },
  {
    calls: 'probe_write_user',
    type: 'raw_tracepoint',
    run: {},
    own: true,
    text: '*(u64 *)(r10 - 8) = 9\nr1 = 0x1000\nfp r2 -8\nr3 = 8\ncall probe_write_user\nexit',
    answer: -14,
  },
  {
    calls: 'trace_printk',
    type: 'raw_tracepoint',
    run: {},
    text: `${format('a=%d %x|')}\nfp r1 -16\nr2 = 9\nr3 = -3\nr4 = 255\nr5 = 0\ncall trace_printk\nexit`,
    answer: 8,
    look: ({ printk }) => printk,
    seen: ['a=-3 ff|'],
  },
  {
    calls: 'trace_vprintk',
    type: 'raw_tracepoint',
    run: {},
    text: `${format('%d,%c;')}\n*(u64 *)(r10 - 32) = 12\n*(u64 *)(r10 - 24) = 66\nfp r1 -16\nr2 = 7\nfp r3 -32\nr4 = 16\ncall trace_vprintk\nexit`,
    answer: 5,
    look: ({ printk }) => printk,
    seen: ['12,B;'],
  },
  {
    calls: 'seq_printf',
    type: 'tracing',
    run: {},
    own: true,
    text: `r6 = r1\n${format('n=%d')}\n*(u64 *)(r10 - 24) = 12\nr1 = r6\nfp r2 -16\nr3 = 5\nfp r4 -24\nr5 = 8\ncall seq_printf\nexit`,
    answer: 0,
    look: ({ events }) => events.map(({ data }) => new TextDecoder().decode(data)),
    seen: ['n=12'],
  },
  {
    calls: 'seq_write',
    type: 'tracing',
    run: {},
    own: true,
    text: '*(u32 *)(r10 - 4) = 0x6f6c6c65\nfp r2 -4\nr3 = 4\ncall seq_write\nexit',
    answer: 0,
    look: ({ events }) => events.map(({ kind, data }) => [kind, new TextDecoder().decode(data)]),
    seen: [['seq', 'ello']],
  },
  {
    calls: 'snprintf',
    type: 'xdp',
    own: true,
    text: `${format('%d-%s')}\n*(u64 *)(r10 - 32) = 77\nr1 = 0\n*(u64 *)(r10 - 24) = r1\nfp r1 -40\nr2 = 8\nfp r3 -16\nfp r4 -32\nr5 = 16\ncall snprintf\nr1 = *(u32 *)(r10 - 40)\nr0 <<= 32\nr0 |= r1\nexit`,
    answer: (4n << 32n) | 0x2d3737n,
  },
  NUMBERS('strtol', ' -12z', 0, 4 * 1000 - 12),
  NUMBERS('strtol', '08', 0, 1 * 1000),
  NUMBERS('strtol', '', 10, -22 * 1000),
  NUMBERS('strtoul', '0x1F', 16, 4 * 1000 + 31),
  NUMBERS('strtoul', '-1', 10, -22 * 1000),
  {
    calls: 'strncmp',
    type: 'xdp',
    own: true,
    text: '*(u32 *)(r10 - 8) = 0x00636261\n*(u32 *)(r10 - 4) = 0x00646261\nfp r1 -8\nr2 = 4\nfp r3 -4\ncall strncmp\nr6 = r0\nfp r1 -8\nr2 = 2\nfp r3 -4\ncall strncmp\nr0 += r6\nexit',
    answer: -1,
  },
  {
    calls: 'perf_event_output',
    type: 'xdp',
    maps: [mapSpec('perf_event_array', { valueSize: 4 })],
    text: 'r6 = r1\n*(u64 *)(r10 - 8) = 3\nr1 = r6\nmap r2\nr3 = 9\nfp r4 -8\nr5 = 8\ncall perf_event_output\nexit',
    answer: -7,
  },
  {
    calls: 'perf_event_output',
    type: 'xdp',
    maps: [mapSpec('perf_event_array', { valueSize: 4, maxEntries: 1 })],
    own: true,
    text: 'r6 = r1\n*(u64 *)(r10 - 8) = 3\nr1 = r6\nmap r2\nr3 = 0xffffffff ll\nfp r4 -8\nr5 = 8\ncall perf_event_output\nexit',
    answer: 0,
    look: ({ events }) => events.map(({ kind, data }) => [kind, data[0]]),
    seen: [['perf', 3]],
  },
  {
    calls: 'perf_event_read',
    type: 'raw_tracepoint',
    run: {},
    maps: [mapSpec('perf_event_array', { valueSize: 4, maxEntries: 1 })],
    text: 'map r1\nr2 = 0\ncall perf_event_read\nexit',
    answer: -2,
  },
  {
    calls: 'send_signal send_signal_thread',
    type: 'raw_tracepoint',
    run: {},
    own: true,
    text: 'r1 = 10\ncall send_signal\nr1 = 12\ncall send_signal_thread\nexit',
    answer: 0,
    look: ({ events }) => events.map(({ kind, data }) => [kind, data[0]]),
    seen: [
      ['signal', 10],
      ['signal', 12],
    ],
  },
  {
    calls: 'this_cpu_ptr per_cpu_ptr',
    type: 'raw_tracepoint',
    run: {},
    own: true,
    text: 'r1 = 0x5000\ncall this_cpu_ptr\nr6 = r0\nr1 = 0x5000\nr2 = 77\ncall per_cpu_ptr\nr0 += r6\nexit',
    answer: 0x5000,
  },
  {
    calls: 'get_stackid',
    type: 'raw_tracepoint',
    run: {},
    own: true,
    maps: [mapSpec('stack_trace', { valueSize: 64, maxEntries: 16 })],
    before: (emulator) => {
      emulator.environment.kernelStack = [1n, 2n]
    },
    text: 'map r2\nr3 = 0\ncall get_stackid\nr0 s>>= 4\nexit',
    answer: 0,
    look: (_, emulator) => emulator.map('m').entries().length,
    seen: 1,
  },
  ...['get_stack', 'get_task_stack'].map(
    (name): Case => ({
      calls: name,
      type: 'raw_tracepoint',
      run: {},
      own: true,
      before: (emulator) => {
        emulator.environment.kernelStack = [5n, 6n, 7n]
      },
      text: `fp r2 -16\nr3 = 16\nr4 = 1\ncall ${name}\nr1 = *(u64 *)(r10 - 8)\nr0 += r1\nexit`,
      answer: 16 + 7,
    }),
  ),
  plain('kallsyms_lookup_name', -2, {
    type: 'syscall',
    text: '*(u64 *)(r10 - 8) = 1\nfp r1 -8\nr2 = 8\nr3 = 0\nfp r4 -16\ncall kallsyms_lookup_name\nexit',
  }),
  plain('btf_find_by_name_kind', -2, { type: 'syscall' }),
  plain('find_vma', -2),
  plain('get_branch_snapshot', -2),
  plain('read_branch_records', -2, { type: 'perf_event' }),
  plain('task_pt_regs', 0),
  plain('bprm_opts_set', 0, { type: 'lsm' }),
  plain('override_return', 0, { type: 'kprobe', text: 'r2 = 5\ncall override_return\nexit' }),
  {
    calls: 'sysctl_get_name sysctl_get_current_value',
    type: 'cgroup_sysctl',
    run: {},
    own: true,
    text: 'r6 = r1\nfp r2 -32\nr3 = 32\nr4 = 0\ncall sysctl_get_name\nr7 = r0\nr1 = r6\nfp r2 -32\nr3 = 2\ncall sysctl_get_current_value\nr7 += r0\nr0 = *(u8 *)(r10 - 32)\nr0 += r7\nexit',
    answer: 'net/ipv4/ip_forward'.length + -7 + '0'.charCodeAt(0),
  },
  {
    calls: 'sysctl_get_new_value sysctl_set_new_value',
    type: 'cgroup_sysctl',
    run: { ctx: { write: 1 } },
    own: true,
    before: (emulator) => {
      emulator.environment.sysctl = { name: 'a/b', value: '0', newValue: '1' }
    },
    text: 'r6 = r1\nfp r2 -8\nr3 = 8\ncall sysctl_get_new_value\nr7 = r0\n*(u16 *)(r10 - 8) = 0x3535\nr1 = r6\nfp r2 -8\nr3 = 2\ncall sysctl_set_new_value\nr0 += r7\nexit',
    answer: 1,
    look: (_, emulator) => emulator.environment.sysctl.newValue,
    seen: '55',
  },
]
