import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { assembleBytes } from '../../src/asm/index.ts'
import { parseArguments } from '../../src/cli/words/arguments.ts'
import { parseBatch } from '../../src/cli/words/batch.ts'
import { createRawMap, loadImage, realSys } from '../../src/syscall/index.ts'
import { MAP_TYPES, PROGRAM_TYPES } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'
import { ours } from './tools.ts'

const folder = mkdtempSync(join(tmpdir(), 'typebpf-cli-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const BIN = [process.execPath, '--conditions=typebpf-source', '--import', 'tsx', 'src/cli/bin.ts']
const shell = (line: string): { status: number | null; stdout: string; stderr: string } =>
  spawnSync('sh', ['-c', line], { encoding: 'utf8', maxBuffer: 1 << 28 })
const command = (...args: string[]): string => [...BIN, ...args].map((word) => `'${word}'`).join(' ')

describe('a command line', () => {
  test('takes options anywhere, short ones together, words behind --', () => {
    const { words, flags, baseBtf, unknown } = parseArguments(['-jp', 'prog', 'show', '-f', '-B', 'x', '--', '-j'])
    expect(words).toEqual(['prog', 'show', '-j'])
    expect([...flags].sort()).toEqual(['base-btf', 'bpffs', 'json', 'pretty'])
    expect(baseBtf).toBe('x')
    expect(unknown).toBeUndefined()
    expect(parseArguments(['--base-btf=y', '--json=5']).unknown).toBe('--json=5')
    expect(parseArguments(['prog', '-x']).unknown).toBe('-x')
    expect(() => parseArguments(['-B'])).toThrow('needs a value')
  })

  test('finds subcommands by what they begin with, in bpftool’s order', async () => {
    expect((await ours('ver')).stdout).toContain('typebpf v')
    expect((await ours('f', 'l', 'map')).stdout).toContain('ringbuf')
    expect((await ours('gen', 'skel', '--help')).stdout).toContain('skeleton')
    expect(await ours('b', 'x')).toMatchObject({ status: 2 })
  })

  test('helps everywhere, on standard output', async () => {
    for (const line of [
      ['prog', 'help'],
      ['prog', '--help'],
      ['help', 'map'],
      ['net', 'attach', '-h'],
      ['batch', 'help'],
    ]) {
      const { status, stdout, stderr } = await ours(...line)
      expect(stdout, line.join(' ')).toContain('Options, anywhere on the line')
      expect([status, stderr], line.join(' ')).toEqual([0, ''])
    }
  })

  test('says in one line what is wrong, in JSON as bpftool does', async () => {
    const lines: [string[], RegExp][] = [
      [['prog', 'frobnicate'], /"frobnicate" is none of show, dump/],
      [['prog', 'show', '--frob'], /no option "--frob"/],
      [['map', 'create'], /a path/],
      [['map', 'create', '/x', 'type', 'hash'], /needs a name/],
      [['prog', 'load', 'x'], /OBJ PATH/],
      [['prog', 'load', join(folder, 'absent.o'), '/sys/fs/bpf/x'], /there is no such file/],
      [['btf', 'dump', 'sideways'], /expected id, prog, map, file or kernel/],
      [['btf', 'dump', 'file', join(folder, 'absent')], /there is no such file/],
      [['cgroup', 'show', join(folder, 'absent')], /no such file/],
      [['net', 'attach', 'xdq'], /expected xdp/],
      [['batch', 'file', join(folder, 'absent')], /no such file/],
      [['iter', 'pin', 'x'], /OBJ PATH/],
      [['disasm', join(folder, 'absent')], /there is no such file/],
    ]
    for (const [line, text] of lines) {
      const plain = await ours(...line)
      expect(plain.stderr, line.join(' ')).toMatch(text)
      expect(plain.stderr.trim().split('\n'), plain.stderr).toHaveLength(1)
      expect([plain.status, plain.stdout], line.join(' ')).toEqual([2, ''])
      if (line[0] === 'disasm') continue
      const { error, code } = JSON.parse((await ours('-j', ...line)).stdout) as { error: string; code: string }
      expect(error, line.join(' ')).toMatch(text)
      expect(code).toMatch(/^[a-z-]+\.[a-z-]+$/)
    }
  })

  test('refuses what it does not do by name', async () => {
    const refused = await ours('-L', 'prog', 'load', 'x.o', '/sys/fs/bpf/x')
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('without -L') })
    const device = await ours('map', 'create', '/x', 'type', 'hash', 'dev', 'eth0')
    expect(device).toMatchObject({ status: 1, stderr: expect.stringContaining("'dev'") })
  })
})

describe('a batch file', () => {
  test('has comments, quotes and continued lines, and numbers of lines', () => {
    expect(parseBatch('# one\nprog show # two\n\nmap "a b" \'c\' \\\n  d\n')).toEqual([
      { number: 2, words: ['prog', 'show'] },
      { number: 4, words: ['map', 'a b', 'c', 'd'] },
    ])
    expect(() => parseBatch('prog\nmap "x')).toThrow('line 2')
    expect(() => parseBatch('prog \\')).toThrow('line 1')
  })

  test('ends at the line that fails and names it', async () => {
    const file = join(folder, 'batch')
    writeFileSync(file, 'version\n\nprog frobnicate\nversion\n')
    const { status, stdout, stderr } = await ours('batch', 'file', file)
    expect([status, stderr]).toEqual([2, expect.stringMatching(/line 3: .*frobnicate/)])
    expect(stdout.match(/typebpf v/g)).toHaveLength(1)
    const rows = JSON.parse((await ours('-j', 'batch', 'file', file)).stdout) as { output: { error?: string } }[]
    expect(rows.map(({ output }) => output.error)).toEqual([undefined, expect.stringContaining('line 3')])
  })
})

describe('a pipe that closes early', () => {
  for (const line of [['btf', 'dump', 'kernel', 'format', 'c'], ['--help'], ['disasm', 'hex:b700000000000000']])
    testWith('linux')(`ends ${line[0]} quietly`, () => {
      const { stderr } = shell(`${command(...line)} | true`)
      expect(stderr).toBe('')
    })
})

describe('without privilege', () => {
  testWith('bpf', 'program:setpriv')('every listing is one clear refusal', () => {
    const drop = 'setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all'
    const lines = ['prog list', 'net']
    const { stdout } = shell(
      lines.map((line) => `${drop} ${command(...line.split(' '))} 2>&1 >/dev/null | head -1; `).join(''),
    )
    // nobody may not read this tree: then there is nothing to see
    if (/Cannot find|EACCES|ERR_MODULE/.test(stdout)) return
    const rows = stdout.trim().split('\n')
    expect(rows).toHaveLength(lines.length)
    for (const row of rows) expect(row).toMatch(/^typebpf: \w+: EPERM$/)
  })
})

describe('live objects', () => {
  const program = (name: string) => {
    const loaded = loadImage(realSys(), {
      name,
      type: PROGRAM_TYPES.xdp,
      expectedAttachType: 0,
      insns: assembleBytes('r0 = 2\nexit\n'),
      license: 'GPL',
      flags: 0,
      maps: [],
      relocations: [],
    })
    if (loaded.program === undefined) throw new Error(`not loaded: ${loaded.message}`)
    return loaded
  }

  testWith('bpf')('a name that fits several programs lists them and changes none', async () => {
    using first = program('tb_twins')
    using second = program('tb_twins')
    const rows = JSON.parse((await ours('-j', 'prog', 'show', 'name', 'tb_twins')).stdout) as { id: number }[]
    expect(rows).toHaveLength(2)
    const dumps = JSON.parse((await ours('-j', 'prog', 'dump', 'xlated', 'name', 'tb_twins')).stdout) as object[]
    expect(dumps).toEqual([expect.objectContaining({ insns: expect.any(Array) }), expect.anything()])
    const run = await ours('prog', 'run', 'name', 'tb_twins', 'data_in', '-')
    expect(run).toMatchObject({ status: 2, stderr: expect.stringContaining('2 programs match') })
    expect(first.program?.fd).not.toBe(second.program?.fd)
  })

  testWith('bpf')('ids that vanish while they are listed are left out', async () => {
    let on = true
    const churn = (async () => {
      while (on) {
        for (let i = 0; i < 20; i++) program('tb_churn').close()
        await sleep(1)
      }
    })()
    try {
      for (let i = 0; i < 5; i++) {
        for (const noun of ['prog', 'map', 'link', 'btf']) {
          const { status, stderr } = await ours('-j', noun, 'show')
          expect([status, stderr]).toEqual([0, ''])
        }
        await sleep(1)
      }
    } finally {
      on = false
      await churn
    }
  })

  testWith('bpf', 'program:jq')('jq scripts written for bpftool work', async () => {
    using _map = createRawMap(realSys(), {
      name: 'tb_jq',
      type: MAP_TYPES.hash,
      keySize: 4,
      valueSize: 8,
      maxEntries: 8,
      flags: 0,
    })
    using _program = program('tb_jq_prog')
    const jq = (input: string, filter: string): string =>
      spawnSync('jq', ['-c', filter], { input, encoding: 'utf8' }).stdout.trim()
    const maps = (await ours('-j', 'map', 'show')).stdout
    expect(Number(jq(maps, '[.[].bytes_memlock] | add'))).toBeGreaterThan(0)
    expect(jq(maps, '.[] | select(.name == "tb_jq") | .type')).toBe('"hash"')
    const programs = (await ours('prog', 'show', '-j')).stdout
    expect(Number(jq(programs, '.[] | select(.name == "tb_jq_prog") | .id'))).toBeGreaterThan(0)
    expect(jq(programs, '[.[] | select(.type == "xdp" and .name == "tb_jq_prog") | .jited] | all')).toMatch(
      /true|false/,
    )
    const links = (await ours('link', '-j')).stdout
    expect(jq(links, 'type')).toBe('"array"')
  })

  testWith('bpf', 'program:unshare')('maps are created, also of maps, pinned and found by -f', () => {
    const bpffs = join(folder, 'bpf')
    mkdirSync(bpffs, { recursive: true })
    const file = join(folder, 'maps.batch')
    const lines = [
      `map create ${bpffs}/inner type array key 4 value 4 entries 1 name tb_inner`,
      `map create ${bpffs}/outer type array_of_maps key 4 value 4 entries 2 name tb_outer inner_map pinned ${bpffs}/inner`,
      `map update pinned ${bpffs}/outer key 0 0 0 0 value pinned ${bpffs}/inner`,
      `map dump pinned ${bpffs}/outer`,
      `map show pinned ${bpffs}/inner`,
    ]
    writeFileSync(file, lines.join('\n'))
    const script = `mount -t bpf bpf ${bpffs} && ${command('-j', '-f', 'batch', 'file', file)}`
    const { stdout, stderr } = shell(`unshare -m --propagation private sh -c "${script}"`)
    const outputs = (JSON.parse(stdout) as { output: unknown }[]).map(({ output }) => output)
    expect(outputs.slice(0, 3)).toEqual([null, null, null])
    const [dumped, shown] = outputs.slice(3) as [{ inner_map_id: number }[], { id: number; pinned: string[] }]
    expect(dumped, stderr).toEqual([expect.objectContaining({ inner_map_id: expect.any(Number) })])
    expect(shown.pinned).toEqual([`${bpffs}/inner`])
    expect(shown.id).toBe(dumped[0].inner_map_id)
  })

  testWith('bpf')(
    'event_pipe gives events as they come, and ends its JSON on Ctrl-C',
    async () => {
      const sys = realSys()
      using map = createRawMap(sys, {
        name: 'tb_events',
        type: MAP_TYPES.perf_event_array,
        keySize: 4,
        valueSize: 4,
        maxEntries: 64,
        flags: 0,
      })
      using sender = loadImage(
        sys,
        {
          name: 'tb_sender',
          type: PROGRAM_TYPES.xdp,
          expectedAttachType: 0,
          insns: assembleBytes(
            'r2 = 0 ll\nr3 = 4294967295 ll\nr4 = 0x0102030405060708 ll\n*(u64 *)(r10 - 8) = r4\nr4 = r10\nr4 += -8\nr5 = 8\ncall 25\nr0 = 2\nexit\n',
          ),
          license: 'GPL',
          flags: 0,
          maps: [
            { name: 'tb_events', type: MAP_TYPES.perf_event_array, keySize: 4, valueSize: 4, maxEntries: 64, flags: 0 },
          ],
          relocations: [{ insn: 0, map: 0, kind: 'fd' }],
        },
        { maps: new Map([[0, map]]) },
      )
      const fd = sender.program?.fd
      if (fd === undefined) throw new Error(`not loaded: ${sender.message}`)
      const id = JSON.parse((await ours('-j', 'map', 'show', 'name', 'tb_events')).stdout).id as number
      const child = spawn(BIN[0], [...BIN.slice(1), '-j', 'map', 'event_pipe', 'id', String(id)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let out = ''
      child.stdout.on('data', (text) => (out += text))
      const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
      const { testRun } = await import('../../src/syscall/index.ts')
      for (let tries = 0; tries < 200 && !out.includes('}'); tries++) {
        testRun(sys, fd, { data: new Uint8Array(64) })
        await sleep(50)
      }
      child.kill('SIGINT')
      expect(await ended).toBe(0)
      const events = JSON.parse(out) as { type: number; data: number[]; timestamp: number }[]
      expect(events[0]).toMatchObject({ type: 9, timestamp: expect.any(Number) })
      expect(events[0].data.slice(0, 8)).toEqual([8, 7, 6, 5, 4, 3, 2, 1])
    },
    30_000,
  )
})
