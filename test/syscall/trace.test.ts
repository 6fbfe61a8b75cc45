import { afterEach, describe, expect, test } from 'vitest'
import { createJudge, createRawMap, FakeSys, objectIds, realSys, setTrace } from '../../src/syscall/index.ts'
import { decodeAttr } from '../../src/syscall/sys/trace.ts'
import { ATTACH_TYPES, type AttrField, attrSize, BPF_ATTRS, type BpfCommand } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'
import { imageOf } from './programs.ts'

const lines: string[] = []
afterEach(() => {
  setTrace(undefined, (line) => process.stderr.write(line))
  lines.length = 0
})

function filled(command: BpfCommand): DataView {
  const layout: Readonly<Record<string, AttrField>> = BPF_ATTRS[command]
  const view = new DataView(new ArrayBuffer(attrSize(layout)))
  for (const [offset, width] of Object.values(layout)) view.setUint8(offset, width === 16 ? 0x78 : 0x41)
  return view
}

describe('TYPEBPF_TRACE', () => {
  for (const command of Object.keys(BPF_ATTRS) as BpfCommand[])
    test(`${command}: every attribute that is set is shown`, () => {
      if (command === 'link_create') return
      const view = filled(command)
      const names = decodeAttr(command, view, view.byteLength).map((part) => part.slice(0, part.indexOf('=')))
      expect(names).toEqual(Object.keys(BPF_ATTRS[command]))
    })

  const parts = [
    ['perf_event', 'perf_event.'],
    ['trace_kprobe_multi', 'kprobe_multi.'],
    ['trace_uprobe_session', 'uprobe_multi.'],
    ['netfilter', 'netfilter.'],
    ['tcx_egress', 'tcx.'],
    ['netkit_primary', 'netkit.'],
    ['trace_iter', 'iter_info'],
    ['trace_fentry', 'tracing.'],
    ['cgroup_inet_egress', 'cgroup.'],
    ['xdp', 'target_btf_id'],
  ] as const
  for (const [type, part] of parts)
    test(`link_create of ${type}: its part of the union and no other`, () => {
      const view = filled('link_create')
      view.setUint32(BPF_ATTRS.link_create.attach_type[0], ATTACH_TYPES[type], true)
      const shown = decodeAttr('link_create', view, view.byteLength).map((text) => text.slice(0, text.indexOf('=')))
      const own = Object.keys(BPF_ATTRS.link_create).filter((name) => name.startsWith(part))
      expect(shown).toEqual(['prog_fd', 'target_fd', 'attach_type', 'flags', ...own])
      expect(decodeAttr('link_create', view, view.byteLength)[2]).toBe(`attach_type=${type}`)
    })

  test('types have names, texts and keys their bytes, refusals their errno', () => {
    setTrace(true, (line) => lines.push(line))
    const sys = new FakeSys((command) => (command === 2 ? -7 : 5))
    using map = createRawMap(sys, { name: 'counts', type: 1, keySize: 4, valueSize: 40, maxEntries: 2, flags: 1 })
    map.tryUpdate(new Uint8Array([1, 2, 3, 4]), new Uint8Array(40).fill(0xee), 1)
    expect(lines[0]).toMatch(
      /^bpf\(BPF_MAP_CREATE, \{map_type=hash, key_size=4, value_size=40, max_entries=2, map_flags=0x1, map_name="counts"\}, \d+\) = 5\n$/,
    )
    expect(lines[1]).toBe(
      `bpf(BPF_MAP_UPDATE_ELEM, {map_fd=5, key=[01020304], value=[${'ee'.repeat(32)}…], flags=0x1}, 32) = -1 E2BIG\n`,
    )
  })

  testWith('bpf')('of the running kernel', () => {
    setTrace(true, (line) => lines.push(line))
    using loaded = createJudge().load(imageOf('xdp', 'r0 = 2\nexit'))
    objectIds(realSys(), 'program').next()
    expect(loaded.verdict).toBe('accept')
    expect(lines[0]).toMatch(
      /^bpf\(BPF_PROG_LOAD, \{prog_type=xdp, insn_cnt=2, insns=0x[0-9a-f]+, license="GPL", log_level=4, .*prog_name="test_xdp".*log_true_size=\d+\}, \d+\) = \d+\n$/,
    )
    expect(lines[1]).toMatch(/^bpf\(BPF_PROG_GET_NEXT_ID, \{next_id=\d+\}, 8\) = 0\n$/)
  })
})
