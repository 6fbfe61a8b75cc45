import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { assembleBytes } from '../../src/asm/index.ts'
import { filterRows, parseLimit, sortRows, type TopRow } from '../../src/cli/top/rows.ts'
import { short, sparkline, tableLines } from '../../src/cli/top/screen.ts'
import { SystemError } from '../../src/errors/index.ts'
import { ERRNO, loadImage, realSys, testRun } from '../../src/syscall/index.ts'
import { PROGRAM_TYPES } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'

const ROW: TopRow = {
  id: 7,
  type: 'xdp',
  name: 'count_packets',
  tag: '0011223344556677',
  runs_per_second: 1234,
  ns_per_run: 56.7,
  ns_per_run_average: 60,
  cpu_percent: 0.5,
  runs: 1234,
  total_runs: 99n,
  total_time_ns: 5940n,
  recursion_misses: 0n,
  instructions: 77,
  bytes_jited: 388,
  bytes_maps: 52_000,
  map_ids: [1, 2],
  attached: ['xdp'],
  owners: ['node(1)'],
}

describe('the table', () => {
  test('is never wider than the terminal and keeps id, name, rate, time and share', () => {
    for (const width of [40, 80, 120, 200]) {
      const lines = tableLines([ROW], new Map(), { width, colour: false, utf8: true, sort: 'cpu_percent' })
      for (const line of lines) expect(line.length, `${width}: ${line}`).toBeLessThanOrEqual(Math.max(width, 48))
      for (const head of ['ID', 'NAME', 'RUNS/S', 'NS/RUN']) expect(lines[0], String(width)).toContain(head)
    }
    const wide = tableLines([ROW], new Map(), { width: 200, colour: false, utf8: true, sort: 'id' })
    expect(wide[0]).toContain('OWNER')
  })

  test('has no colour and no character beyond ASCII where the terminal has none', () => {
    const lines = tableLines([ROW], new Map([[7, [0, 1, 2]]]), { width: 200, colour: false, utf8: false, sort: 'id' })
    for (const line of lines) expect(line).toMatch(/^[ -~]*$/)
  })

  test('numbers are short', () => {
    expect([0, 999, 1000, 12_345, 1.5e9].map(short)).toEqual(['0', '999', '1.00k', '12.3k', '1.50G'])
  })

  test('a history is drawn from nothing to its largest value', () => {
    expect(sparkline([0, 5, 10], true)).toBe('▁▄█')
    expect(sparkline([0, 0], false)).toBe('__')
  })
})

describe('rows', () => {
  test('sort largest first, ids smallest first, ties by id', () => {
    const rows = [ROW, { ...ROW, id: 3 }, { ...ROW, id: 5, cpu_percent: 9 }]
    expect(sortRows(rows, 'cpu_percent').map(({ id }) => id)).toEqual([5, 3, 7])
    expect(sortRows(rows, 'id').map(({ id }) => id)).toEqual([3, 5, 7])
  })

  test('are filtered by name, type, attach point and owner', () => {
    for (const text of ['COUNT', 'xdp', 'node', '7']) expect(filterRows([ROW], text), text).toHaveLength(1)
    expect(filterRows([ROW], 'tcp')).toHaveLength(0)
  })

  test('a limit is a column, a comparison and a number', () => {
    expect(parseLimit('ns_per_run > 50').broken(ROW)).toBe(true)
    expect(parseLimit(' cpu_percent>=0.6').broken(ROW)).toBe(false)
    for (const text of ['', 'ns_per_run', 'name > 1', 'ns_per_run > x', 'ns_per_run = 5'])
      expect(() => parseLimit(text), text).toThrow('is no limit')
  })
})

const command = (...args: string[]): string[] => [
  '--conditions=typebpf-source',
  '--import',
  'tsx',
  'src/cli/bin.ts',
  'top',
  ...args,
]

/** Runs `use` while a program of ours runs all the time. */
async function whileRunning(use: () => Promise<void>): Promise<void> {
  const sys = realSys()
  using loaded = loadImage(sys, {
    name: 'tb_top',
    type: PROGRAM_TYPES.xdp,
    expectedAttachType: 0,
    insns: assembleBytes('r0 = 2\nexit\n'),
    license: 'GPL',
    flags: 0,
    maps: [],
    relocations: [],
  })
  const fd = loaded.program?.fd
  if (fd === undefined) throw new Error(`not loaded: ${loaded.message}`)
  let on = true
  const runner = (async () => {
    while (on) {
      try {
        testRun(sys, fd, { data: new Uint8Array(64), repeat: 1000 })
      } catch (error) {
        // a repeated run ends early when a signal comes, such as that of the child's end
        if (!(error instanceof SystemError) || error.errno !== ERRNO.EINTR) throw error
      }
      await sleep(5)
    }
  })()
  try {
    await use()
  } finally {
    on = false
    await runner
  }
}

async function collect(args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { spawn } = await import('node:child_process')
  const child = spawn(process.execPath, command(...args), { stdio: ['ignore', 'pipe', 'pipe'] })
  const got = { out: '', err: '' }
  child.stdout.on('data', (text) => (got.out += text))
  child.stderr.on('data', (text) => (got.err += text))
  const code = await new Promise<number>((resolve) => child.on('close', (status) => resolve(status ?? -1)))
  return { code, ...got }
}

describe('on the kernel', () => {
  testWith('bpf')('--once --json measures a program that runs, limits end with exit code 1', async () => {
    await whileRunning(async () => {
      const { code, out, err } = await collect([
        '--once',
        '--json',
        '--interval',
        '0.3',
        '--filter',
        'tb_top',
        '--fail-if',
        'ns_per_run > 0',
      ])
      const rows = JSON.parse(out) as TopRow[]
      const row = rows.find(({ name }) => name === 'tb_top')
      expect(row, out).toBeDefined()
      expect(row?.runs_per_second).toBeGreaterThan(0)
      expect(row?.ns_per_run).toBeGreaterThan(0)
      expect(row?.owners.join()).toContain(`(${process.pid})`)
      expect(err).toMatch(/program \d+ tb_top: ns_per_run > 0/)
      expect(code).toBe(1)
    })
  })

  testWith('bpf', 'program:tmux')(
    'in a terminal: sorts, filters, shows details, gives the terminal back on q',
    async () => {
      const session = `typebpf-top-${process.pid}`
      const tmux = (...args: string[]): string => execFileSync('tmux', ['-L', session, ...args], { encoding: 'utf8' })
      const screen = (): string => tmux('capture-pane', '-p', '-t', session)
      const until = async (what: RegExp): Promise<string> => {
        for (let tries = 0; tries < 100; tries++) {
          const text = screen()
          if (what.test(text)) return text
          await sleep(100)
        }
        throw new Error(`never shown: ${what}\n${screen()}`)
      }
      await whileRunning(async () => {
        const line = [process.execPath, ...command('--interval', '0.2')].map((word) => `'${word}'`).join(' ')
        tmux(
          'new-session',
          '-d',
          '-s',
          session,
          '-x',
          '80',
          '-y',
          '24',
          `cd '${process.cwd()}'; ${line}; echo "left with $?"; exec cat`,
        )
        try {
          for (const shown of (await until(/tb_top/)).split('\n')) expect(shown.length).toBeLessThanOrEqual(80)
          tmux('send-keys', '-t', session, 's')
          await until(/sort runs_per_second/)
          tmux('send-keys', '-t', session, '/')
          tmux('send-keys', '-t', session, 'tb_top', 'Enter')
          await until(/filter tb_top/)
          tmux('send-keys', '-t', session, 'Enter')
          await until(/instructions, \d+ bytes jited/)
          tmux('send-keys', '-t', session, 'q')
          await until(/left with 0/)
        } finally {
          tmux('kill-server')
        }
      })
    },
  )
})
