import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import * as contexts from '../../src/builder/kinds/contexts.ts'
import { testWith } from '../requirements.ts'

/** Fields whose C name is not the snake case of theirs. */
const NAMES: Record<string, string> = {
  cb0: 'cb[0]',
  cb1: 'cb[1]',
  cb2: 'cb[2]',
  cb3: 'cb[3]',
  cb4: 'cb[4]',
  arg0: 'args[0]',
  arg1: 'args[1]',
  arg2: 'args[2]',
  callbackFlags: 'bpf_sock_ops_cb_flags',
  filePosition: 'file_pos',
  address: 'addr',
}
const STRUCTS = {
  XDP_MD: [contexts.XDP_MD, 'xdp_md'],
  XDP_DEVMAP_MD: [contexts.XDP_DEVMAP_MD, 'xdp_md'],
  SK_BUFF_TC: [contexts.SK_BUFF_TC, '__sk_buff'],
  SK_BUFF_CGROUP: [contexts.SK_BUFF_CGROUP, '__sk_buff'],
  SOCK_POST_BIND4: [contexts.SOCK_POST_BIND4, 'bpf_sock'],
  SOCK_POST_BIND6: [contexts.SOCK_POST_BIND6, 'bpf_sock'],
  SOCK_ADDR4_SENDMSG: [contexts.SOCK_ADDR4_SENDMSG, 'bpf_sock_addr'],
  SOCK_ADDR6_SENDMSG: [contexts.SOCK_ADDR6_SENDMSG, 'bpf_sock_addr'],
  SOCK_OPS: [contexts.SOCK_OPS, 'bpf_sock_ops'],
  SK_MSG: [contexts.SK_MSG, 'sk_msg_md'],
  SK_LOOKUP: [contexts.SK_LOOKUP, 'bpf_sk_lookup'],
  CGROUP_DEVICE: [contexts.CGROUP_DEVICE, 'bpf_cgroup_dev_ctx'],
  CGROUP_SYSCTL: [contexts.CGROUP_SYSCTL, 'bpf_sysctl'],
  CGROUP_GETSOCKOPT: [contexts.CGROUP_GETSOCKOPT, 'bpf_sockopt'],
  SK_REUSEPORT: [contexts.SK_REUSEPORT, 'sk_reuseport_md'],
} as const

const cName = (name: string): string =>
  NAMES[name] ??
  name
    .replace(/Ip6([0-3])$/, 'Ip6[$1]')
    .replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    .replace('ip6_', 'ip6')

describe('contexts', () => {
  testWith('program:clang-19')('every field is where the uapi header has it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'typebpf-contexts-'))
    try {
      const rows = Object.entries(STRUCTS).flatMap(([table, [fields, struct]]) =>
        Object.entries(fields as Record<string, { offset: number }>).map(
          ([name, { offset }]) =>
            `_Static_assert(__builtin_offsetof(struct ${struct}, ${cName(name)}) == ${offset}, "${table}.${name}");`,
        ),
      )
      rows.push(
        `_Static_assert(__builtin_offsetof(struct bpf_sock_addr, sk) == ${contexts.SOCK_ADDR_SOCKET}, "sk");`,
        `_Static_assert(__builtin_offsetof(struct bpf_sock_ops, sk) == ${contexts.SOCK_OPS_SOCKET}, "sk");`,
      )
      writeFileSync(join(folder, 'offsets.c'), ['#include <linux/bpf.h>', ...rows].join('\n'))
      expect(rows.length).toBeGreaterThan(120)
      const asm = '/usr/include/x86_64-linux-gnu'
      execFileSync('clang-19', ['-target', 'bpf', '-I', asm, '-fsyntax-only', join(folder, 'offsets.c')], {
        stdio: 'pipe',
      })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
