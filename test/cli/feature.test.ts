import { execFileSync, spawnSync } from 'node:child_process'
import { describe, expect, vi } from 'vitest'
import { main } from '../../src/cli/main.ts'
import { testWith } from '../requirements.ts'

async function output(...args: string[]): Promise<string> {
  let out = ''
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text)
    return true
  })
  try {
    await main(args)
    return out
  } finally {
    spy.mockRestore()
    process.exitCode = undefined
  }
}

interface Probed {
  readonly system_config: Record<string, unknown>
  readonly program_types: Record<string, boolean>
  readonly map_types: Record<string, boolean>
  readonly helpers: Record<string, string[]>
  readonly misc: Record<string, boolean>
}

const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` }
const bpftool = (...args: string[]): Probed => JSON.parse(execFileSync('bpftool', args, { encoding: 'utf8', env }))

/** In a process of its own: capabilities are dropped for good. */
const alone = (...args: string[]) =>
  spawnSync(process.execPath, ['--conditions=typebpf-source', '--import', 'tsx', 'src/cli/bin.ts', ...args], {
    encoding: 'utf8',
  })

/** bpftool 7.1 gives these types no BTF target and takes the refusal for a missing type. */
const NEED_A_TARGET = ['have_tracing_prog_type', 'have_ext_prog_type', 'have_lsm_prog_type']

describe('feature probe', () => {
  testWith('bpf', 'program:bpftool')('says what bpftool says, and knows helpers apart by program type', async () => {
    const mine = JSON.parse(await output('-j', 'feature', 'probe', 'kernel')) as Probed
    const peer = bpftool('-j', 'feature', 'probe', 'kernel')
    expect(mine.system_config).toEqual(peer.system_config)
    expect(mine.misc).toMatchObject(peer.misc)
    expect(mine.map_types).toMatchObject(peer.map_types)
    const types = Object.entries(peer.program_types).filter(([name]) => !NEED_A_TARGET.includes(name))
    expect(mine.program_types).toMatchObject(Object.fromEntries(types))
    // bpftool 7.1 misreads this kernel's refusal and reports every helper for every type
    expect(mine.helpers['xdp_available_helpers']).toContain('bpf_xdp_adjust_head')
    expect(mine.helpers['xdp_available_helpers']).not.toContain('bpf_skb_store_bytes')
    expect(mine.helpers['sched_cls_available_helpers']).toContain('bpf_skb_store_bytes')
    expect(mine.helpers['xdp_available_helpers']).not.toContain('bpf_trace_printk')
  })

  testWith('bpf')('macros are C', async () => {
    const text = await output('feature', 'probe', 'macros', 'prefix', 'TB_')
    expect(text).toContain('#define TB_HAVE_XDP_PROG_TYPE\n')
    expect(text).toMatch(/#define TB_BPF__PROG_TYPE_xdp__HELPER_bpf_skb_store_bytes 0\n/)
    for (const line of text.split('\n')) expect(line).toMatch(/^(|\/\*\*\* .* \*\*\*\/|#define TB_\S+.*)$/)
  })

  testWith('bpf', 'program:bpftool')('unprivileged tells what a process without capabilities may use', () => {
    const mine = JSON.parse(alone('-j', 'feature', 'probe', 'unprivileged').stdout) as Probed
    const peer = bpftool('-j', 'feature', 'probe', 'unprivileged')
    for (const part of ['system_config', 'program_types', 'map_types', 'helpers', 'misc'] as const)
      expect(mine[part], part).toMatchObject(peer[part])
    expect(mine.program_types['have_xdp_prog_type']).toBe(false)
  })

  testWith('bpf', 'program:setpriv')('a full probe without privilege is refused', () => {
    const { status, stderr } = spawnSync(
      'setpriv',
      [
        '--inh-caps=-all',
        '--bounding-set=-all',
        process.execPath,
        '--conditions=typebpf-source',
        '--import',
        'tsx',
        'src/cli/bin.ts',
        'feature',
        'probe',
      ],
      { encoding: 'utf8' },
    )
    expect(stderr).toMatch(/needs CAP_SYS_ADMIN, CAP_BPF/)
    expect(status).toBe(3)
  })
})
