import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect } from 'vitest'
import { testWith } from '../requirements.ts'
import { ours, theirs } from './tools.ts'

const folder = mkdtempSync(join(tmpdir(), 'typebpf-struct-ops-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A congestion control with members left out and a kernel function: its type is an extern, which the kernel's BTF has not. */
const SOURCE = `
#define SECTION(name) __attribute__((section(name), used))
struct sock { int any; };
struct tcp_congestion_ops {
  unsigned int (*ssthresh)(struct sock *sk);
  void (*cong_avoid)(struct sock *sk, unsigned int ack, unsigned int acked);
  unsigned int (*undo_cwnd)(struct sock *sk);
  char name[16];
};
extern unsigned int tcp_reno_undo_cwnd(struct sock *sk) SECTION(".ksyms");
SECTION("license") char own_license[] = "GPL";
SECTION("struct_ops") unsigned int own_ssthresh(unsigned long long *ctx) { return 2; }
SECTION("struct_ops") void own_avoid(unsigned long long *ctx) { }
SECTION("struct_ops") unsigned int own_undo(unsigned long long *ctx) { return tcp_reno_undo_cwnd((struct sock *)ctx[0]); }
SECTION(".struct_ops") struct tcp_congestion_ops own_control = {
  .ssthresh = (void *)own_ssthresh, .cong_avoid = (void *)own_avoid, .undo_cwnd = (void *)own_undo, .name = "typebpf_cli" };`

testWith(
  'bpf',
  'program:bpftool',
  'program:clang-19',
)('struct_ops are registered, shown and dumped as bpftool does, and unregistered', async () => {
  const object = join(folder, 'ops.o')
  const clang = ['-O2', '-g', '-target', 'bpf', '-x', 'c', '-c', '-', '-o', object]
  execFileSync('clang-19', clang, { input: SOURCE })
  const registered = await ours('struct_ops', 'register', object)
  expect([registered.status, registered.stderr]).toEqual([
    0,
    expect.stringMatching(/^Registered tcp_congestion_ops own_control id \d+$/m),
  ])
  const words = ['name', 'own_control']
  try {
    for (const verb of ['show', 'dump']) {
      const line = ['struct_ops', verb, ...words]
      expect((await ours(...line)).stdout, verb).toBe(theirs(...line))
      expect(JSON.parse((await ours('-j', ...line)).stdout), verb).toEqual(JSON.parse(theirs('-j', ...line)))
    }
    expect((await ours('-j', 'struct_ops', 'dump', ...words)).stdout).toMatch(/"pkts_acked":"void \(.*\) 0"/)
  } finally {
    expect(await ours('struct_ops', 'unregister', ...words)).toMatchObject({ status: 0 })
  }
  expect((await ours('struct_ops', 'show', ...words)).status).not.toBe(0)
})
