import { describe, expect, test } from 'vitest'
import type { ProgramSpec } from '../../src/spec/index.ts'
import {
  attachCgroup,
  attachFreplace,
  attachKprobe,
  attachKprobeMulti,
  attachKsyscall,
  attachNetkit,
  attachProgram,
  attachSockmap,
  FakeSys,
} from '../../src/syscall/index.ts'
import { ATTACH_TYPES, BPF_COMMANDS, BTF_INFO, PROG_INFO, PROGRAM_TYPES } from '../../src/uapi/index.ts'

/** Hooks that the kernel of the tests may lack: what they ask of a kernel that has them. */

const PROGRAM_FD = 7
const EVENT_FD = 40
const LINK_FD = 50

interface PerfEvent {
  readonly type: number
  readonly config: bigint
  readonly name: string
  readonly config2: bigint
  readonly cpu: number
}

interface Asked {
  readonly sys: FakeSys
  readonly program: { readonly sys: FakeSys; readonly fd: number }
  readonly events: PerfEvent[]
  readonly links: DataView[]
  readonly commands: number[]
}

const copy = (view: DataView): DataView =>
  new DataView(new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice().buffer)
const cString = (sys: FakeSys, address: bigint): string => {
  let length = 0
  while (sys.at(address, length + 1)[length] !== 0) length++
  return new TextDecoder().decode(sys.at(address, length))
}

function asking(
  files: Record<string, string>,
  answer: {
    bpf?: (command: number, attr: DataView, sys: FakeSys) => number
    event?: (event: PerfEvent) => number
  } = {},
): Asked {
  const events: PerfEvent[] = []
  const links: DataView[] = []
  const commands: number[] = []
  const sys = new FakeSys(
    (command, attr, own) => {
      commands.push(command)
      if (command === BPF_COMMANDS.link_create) links.push(copy(attr))
      return answer.bpf?.(command, attr, own) ?? LINK_FD
    },
    (name, [address, , cpu], own) => {
      if (name !== 'perf_event_open') return 0
      const bytes = own.at(address, 112)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
      const nameAt = view.getBigUint64(56, true)
      const event = {
        type: view.getUint32(0, true),
        config: view.getBigUint64(8, true),
        name: nameAt === 0n ? '' : cString(own, nameAt),
        config2: view.getBigUint64(64, true),
        cpu,
      }
      events.push(event)
      return answer.event?.(event) ?? EVENT_FD
    },
    files,
  )
  return { sys, program: { sys, fd: PROGRAM_FD }, events, links, commands }
}

const PMU = '/sys/bus/event_source/devices/kprobe'
const KPROBES = { [`${PMU}/type`]: '8\n', [`${PMU}/format/retprobe`]: 'config:0\n' }

describe('kprobes', () => {
  test('are perf events of their own source, linked with the cookie', () => {
    const { program, events, links } = asking(KPROBES)
    const link = attachKprobe(program, { function: 'do_exit', offset: 4, cookie: 9n })
    attachKprobe(program, { function: 'do_exit', returns: true })
    attachKprobe(program, { function: 0xffff_ffff_8100_0000n })
    expect(events).toEqual([
      { type: 8, config: 0n, name: 'do_exit', config2: 4n, cpu: 0 },
      { type: 8, config: 1n, name: 'do_exit', config2: 0n, cpu: 0 },
      { type: 8, config: 0n, name: '', config2: 0xffff_ffff_8100_0000n, cpu: 0 },
    ])
    expect([link.what, links[0].getUint32(4, true), links[0].getBigUint64(16, true)]).toEqual([
      'kprobe do_exit+4',
      EVENT_FD,
      9n,
    ])
    expect(links[0].getUint32(8, true)).toBe(ATTACH_TYPES.perf_event)
  })

  test('say that the kernel has none, or not this function', () => {
    expect(() => attachKprobe(asking({}).program, { function: 'x' })).toThrow(/no kprobes \(CONFIG_KPROBE_EVENTS\)/)
    const { program } = asking(KPROBES, { event: () => -2 })
    expect(() => attachKprobe(program, { function: 'nope' })).toThrow(/perf_event_open.*ENOENT/)
  })

  test('a system call is searched under the names that kernels give it', () => {
    const { program, events } = asking(KPROBES, { event: ({ name }) => (name.startsWith('__se_sys_') ? EVENT_FD : -2) })
    attachKsyscall(program, { syscall: 'openat', returns: true })
    expect(events[events.length - 1]).toMatchObject({ name: '__se_sys_openat', config: 1n })
  })

  test('many functions are one link; a pattern means the traceable names that are unique', () => {
    const list = 'tcp_connect\ntcp_close\ntcp_static\ntcp_static\nudp_send [some_module]\n'
    const folder = '/t'
    const { program, links, sys } = asking({ [`${folder}/available_filter_functions`]: list })
    attachKprobeMulti(program, { functions: 'tcp_*', tracefs: folder, returns: true })
    const [link] = links
    const names = [0, 8].map((at) => {
      const bytes = sys.at(link.getBigUint64(24, true) + BigInt(at), 8)
      return cString(sys, new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true))
    })
    expect(names).toEqual(['tcp_connect', 'tcp_close'])
    expect([link.getUint32(8, true), link.getUint32(16, true), link.getUint32(20, true)]).toEqual([
      ATTACH_TYPES.trace_kprobe_multi,
      1,
      2,
    ])
    attachKprobeMulti(program, { functions: [5n, 6n], cookies: [1n, 2n], session: true })
    expect([links[1].getUint32(8, true), links[1].getBigUint64(24, true)]).toEqual([
      ATTACH_TYPES.trace_kprobe_session,
      0n,
    ])
    const cookies = sys.at(links[1].getBigUint64(40, true), 16)
    expect(new DataView(cookies.buffer, cookies.byteOffset, 16).getBigUint64(8, true)).toBe(2n)
    expect(() => attachKprobeMulti(program, { functions: 'nope*', tracefs: folder })).toThrow(/no traceable function/)
    expect(() => attachKprobeMulti(program, { functions: ['a'], cookies: [] })).toThrow(/as many cookies/)
  })
})

describe('other hooks', () => {
  test('netkit ends, anchored', () => {
    const { program, links } = asking({})
    attachNetkit(program, { interface: 3, end: 'peer', before: { sys: program.sys, fd: 12 }, expectedRevision: 5n })
    const [link] = links
    expect([4, 8, 12, 16].map((at) => link.getUint32(at, true))).toEqual([3, ATTACH_TYPES.netkit_peer, 8, 12])
    expect(link.getBigUint64(24, true)).toBe(5n)
  })

  test("a cgroup is an LSM hook's place", () => {
    const { program, links } = asking({})
    attachCgroup(program, { cgroup: '/', type: 'lsm_cgroup' })
    expect(links[0].getUint32(8, true)).toBe(ATTACH_TYPES.lsm_cgroup)
  })

  test('an ext program is attached by the function id in the BTF of its target', () => {
    // int () and the function "handle" of that type
    const strings = new TextEncoder().encode('\0int\0handle\0')
    const types = [1, 1 << 24, 4, 32 | (1 << 24), 0, 13 << 24, 1, 5, (12 << 24) | 1, 2]
    const btf = new Uint8Array(24 + types.length * 4 + strings.length)
    const view = new DataView(btf.buffer)
    view.setUint32(0, 0x0001_eb9f, true)
    view.setUint32(4, 24, true)
    view.setUint32(12, types.length * 4, true)
    view.setUint32(16, types.length * 4, true)
    view.setUint32(20, strings.length, true)
    types.forEach((word, i) => {
      view.setUint32(24 + 4 * i, word, true)
    })
    btf.set(strings, 24 + types.length * 4)
    const bpf = (command: number, attr: DataView, sys: FakeSys): number => {
      if (command !== BPF_COMMANDS.obj_get_info_by_fd) return LINK_FD
      const info = sys.at(attr.getBigUint64(8, true), 240)
      const out = new DataView(info.buffer, info.byteOffset, info.length)
      if (attr.getUint32(0, true) === LINK_FD) {
        const room = out.getUint32(BTF_INFO.btf_size[0], true)
        if (room >= btf.length) sys.at(out.getBigUint64(0, true), btf.length).set(btf)
        out.setUint32(BTF_INFO.btf_size[0], btf.length, true)
      } else out.setUint32(PROG_INFO.btf_id[0], 33, true)
      return 0
    }
    const { program, links, commands } = asking({}, { bpf })
    attachFreplace(program, { target: { fd: 21 }, function: 'handle' })
    expect([links[0].getUint32(4, true), links[0].getUint32(16, true)]).toEqual([21, 3])
    expect(() => attachFreplace(program, { target: { fd: 21 }, function: 'nope' })).toThrow(/no function "nope"/)
    attachFreplace(program)
    expect(commands[commands.length - 1]).toBe(BPF_COMMANDS.raw_tracepoint_open)
  })

  test('a sockmap without links is attached to and taken back', () => {
    const { program, commands } = asking({}, { bpf: (command) => (command === BPF_COMMANDS.link_create ? -22 : 0) })
    const attachment = attachSockmap(program, { map: { fd: 3 }, type: 'sk_msg_verdict' })
    attachment.close()
    attachment.close()
    expect(commands).toEqual([BPF_COMMANDS.link_create, BPF_COMMANDS.prog_attach, BPF_COMMANDS.prog_detach])
    expect(attachment.closed).toBe(true)
    expect(() => attachment.pin('/x')).toThrow(/no link object/)
  })

  test('sections attach where their names say', () => {
    const { program, events } = asking(KPROBES)
    const spec = {
      name: 'p',
      section: 'kretprobe/do_exit',
      type: PROGRAM_TYPES.kprobe,
      expectedAttachType: 0,
      flags: 0,
      instructions: [],
      linkage: 'global',
      attach: { kind: 'kprobe', function: 'do_exit', retprobe: true },
    } as const satisfies ProgramSpec
    attachProgram(program, spec)
    expect(events[0]).toMatchObject({ name: 'do_exit', config: 1n })
    expect(() => attachProgram(program, { ...spec, attach: { kind: 'socket' } })).toThrow(/the socket must be said/)
    expect(() => attachProgram(program, { ...spec, attach: { kind: 'tc', direction: 'egress' } })).toThrow(
      /the interface must be said/,
    )
    expect(() => attachProgram(program, { ...spec, attach: undefined })).toThrow(/does not say where/)
  })
})
