import { closeSync } from 'node:fs'
import { UsageError } from '../../errors/index.ts'
import { bpf, realSys } from '../../syscall/index.ts'
import { ATTACH_TYPES, type AttachType } from '../../uapi/index.ts'
import { fullWord, selectOne } from '../objects/select.ts'
import { CGROUP_TYPES, openCgroup } from './show.ts'

/** Names that came before libbpf's own; prefixes of them do as well. */
const OLD_NAMES: Readonly<Record<string, AttachType>> = {
  ingress: 'cgroup_inet_ingress',
  egress: 'cgroup_inet_egress',
  sock_create: 'cgroup_inet_sock_create',
  sock_release: 'cgroup_inet_sock_release',
  sock_ops: 'cgroup_sock_ops',
  device: 'cgroup_device',
  bind4: 'cgroup_inet4_bind',
  bind6: 'cgroup_inet6_bind',
  connect4: 'cgroup_inet4_connect',
  connect6: 'cgroup_inet6_connect',
  post_bind4: 'cgroup_inet4_post_bind',
  post_bind6: 'cgroup_inet6_post_bind',
  getpeername4: 'cgroup_inet4_getpeername',
  getpeername6: 'cgroup_inet6_getpeername',
  getsockname4: 'cgroup_inet4_getsockname',
  getsockname6: 'cgroup_inet6_getsockname',
  sendmsg4: 'cgroup_udp4_sendmsg',
  sendmsg6: 'cgroup_udp6_sendmsg',
  recvmsg4: 'cgroup_udp4_recvmsg',
  recvmsg6: 'cgroup_udp6_recvmsg',
  sysctl: 'cgroup_sysctl',
  getsockopt: 'cgroup_getsockopt',
  setsockopt: 'cgroup_setsockopt',
}

function attachType(word: string | undefined): AttachType {
  const known = CGROUP_TYPES.find((name) => name === word)
  const old = word === undefined ? undefined : fullWord(word, Object.keys(OLD_NAMES))
  const type = known ?? (old === undefined ? undefined : OLD_NAMES[old])
  if (type === undefined)
    throw new UsageError('cli.attach-type', `expected ${CGROUP_TYPES.join(', ')}, got ${JSON.stringify(word ?? '')}`)
  return type
}

const OVERRIDE = 1
const MULTI = 2

function run(command: 'prog_attach' | 'prog_detach', words: readonly string[]): void {
  const [path, typeWord, ...rest] = words
  if (path === undefined) throw new UsageError('cli.words', 'which cgroup? CGROUP ATTACH_TYPE PROG')
  const type = attachType(typeWord)
  const sys = realSys()
  const { fd: owned, rest: left } = selectOne(sys, 'program', rest)
  using program = owned
  let flags = 0
  for (const word of left) {
    const flag = command === 'prog_attach' ? fullWord(word, ['multi', 'override']) : undefined
    if (flag === undefined)
      throw new UsageError(
        'cli.words',
        `${command === 'prog_attach' ? 'expected multi or override' : 'nothing is expected behind the program'}, got ${JSON.stringify(word)}`,
      )
    flags |= flag === 'multi' ? MULTI : OVERRIDE
  }
  const cgroup = openCgroup(path)
  try {
    const values = { target_fd: cgroup, attach_bpf_fd: program.fd, attach_type: ATTACH_TYPES[type] }
    bpf(sys, command, command === 'prog_attach' ? { ...values, attach_flags: flags } : values, `${type} of ${path}`)
  } finally {
    closeSync(cgroup)
  }
}

/** `cgroup attach CGROUP ATTACH_TYPE PROG [multi|override]`. */
export const attach = (words: readonly string[]): void => run('prog_attach', words)
/** `cgroup detach CGROUP ATTACH_TYPE PROG`. */
export const detach = (words: readonly string[]): void => run('prog_detach', words)
