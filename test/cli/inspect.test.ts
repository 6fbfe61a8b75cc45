import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, vi } from 'vitest'
import { assembleBytes } from '../../src/asm/index.ts'
import { main } from '../../src/cli/main.ts'
import { holders } from '../../src/cli/objects/holders.ts'
import { createRawMap, loadImage, type OwnedFd, type RawMap, realSys } from '../../src/syscall/index.ts'
import { MAP_TYPES, PROGRAM_TYPES } from '../../src/uapi/index.ts'
import { testWith, unmet } from '../requirements.ts'

/** Our command line, in this process. */
async function ours(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const out = { stdout: '', stderr: '' }
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      out[name] += String(text)
      return true
    }),
  )
  try {
    const status = await main(args)
    return { status, ...out }
  } finally {
    for (const spy of spies) spy.mockRestore()
    process.exitCode = undefined
  }
}
const theirs = (...args: string[]): string =>
  execFileSync('bpftool', args, { encoding: 'utf8', env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` } })

interface Held {
  readonly program: OwnedFd
  readonly programId: number
  readonly maps: Readonly<Record<string, RawMap>>
}
let held: Held | undefined
const live = (): Held => {
  if (held === undefined) throw new Error('nothing was loaded')
  return held
}

describe('inspecting live objects', () => {
  beforeAll(() => {
    if (unmet('bpf') !== undefined) return
    const sys = realSys()
    const shape = { keySize: 4, valueSize: 8, maxEntries: 8, flags: 0 }
    const maps = {
      tb_hash: createRawMap(sys, { ...shape, name: 'tb_hash', type: MAP_TYPES.hash }),
      tb_wide: createRawMap(sys, { ...shape, valueSize: 40, name: 'tb_wide', type: MAP_TYPES.hash }),
      tb_percpu: createRawMap(sys, { ...shape, name: 'tb_percpu', type: MAP_TYPES.percpu_array }),
      tb_queue: createRawMap(sys, { ...shape, keySize: 0, name: 'tb_queue', type: MAP_TYPES.queue }),
    }
    maps.tb_hash.update(Uint8Array.of(1, 2, 3, 4), Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 0xff))
    maps.tb_wide.update(Uint8Array.of(9, 0, 0, 0), new Uint8Array(40).fill(7))
    const insns = assembleBytes('r0 = 2\nif r1 == 0 goto +1\nr0 = 1\nexit\n')
    const loaded = loadImage(sys, {
      name: 'tb_inspect',
      type: PROGRAM_TYPES.xdp,
      expectedAttachType: 0,
      insns,
      license: 'GPL',
      flags: 0,
      maps: [],
      relocations: [],
    })
    if (loaded.program === undefined) throw new Error(`not loaded: ${String(loaded.message)}`)
    const programId = Number(
      /prog_id:\s*(\d+)/.exec(
        execFileSync('cat', [`/proc/${process.pid}/fdinfo/${loaded.program.fd}`], { encoding: 'utf8' }),
      )?.[1],
    )
    held = { program: loaded.program, programId, maps }
  })
  afterAll(() => {
    held?.program.close()
    for (const map of Object.values(held?.maps ?? {})) map.close()
  })

  testWith('bpf', 'program:bpftool')('prog show has bpftool’s keys and values', async () => {
    const id = String(live().programId)
    const mine = JSON.parse((await ours('-j', 'prog', 'show', 'id', id)).stdout)
    const peer = JSON.parse(theirs('-j', 'prog', 'show', 'id', id))
    // the clock is read twice
    expect(Math.abs(mine.loaded_at - peer.loaded_at)).toBeLessThanOrEqual(1)
    expect(mine).toMatchObject({ ...peer, loaded_at: mine.loaded_at })
    expect(holders().prog_id.get(live().programId)).toContainEqual({ pid: process.pid, comm: expect.any(String) })
  })

  testWith('bpf', 'program:bpftool')('prog dump xlated is bpftool’s text and JSON', async () => {
    const id = String(live().programId)
    for (const form of [[], ['opcodes'], ['linum']]) {
      expect((await ours('prog', 'dump', 'xlated', 'id', id, ...form)).stdout).toBe(
        theirs('prog', 'dump', 'xlated', 'id', id, ...form),
      )
      expect(JSON.parse((await ours('-j', 'prog', 'dump', 'xlated', 'id', id, ...form)).stdout)).toEqual(
        JSON.parse(theirs('-j', 'prog', 'dump', 'xlated', 'id', id, ...form)),
      )
    }
  })

  testWith('bpf')('prog dump jited disassembles the machine code', async () => {
    const { status, stdout, stderr } = await ours('prog', 'dump', 'jited', 'id', String(live().programId))
    if (process.arch !== 'x64') return expect(stderr).toContain('only x86-64')
    expect(status, stderr).toBe(0)
    expect(stdout).toMatch(/\t(ret|jmp)\b/)
  })

  testWith('bpf', 'program:bpftool')('map show and map dump are bpftool’s, typed by nothing', async () => {
    for (const name of Object.keys(live().maps)) {
      const peer = JSON.parse(theirs('-j', 'map', 'show', 'name', name))
      expect(JSON.parse((await ours('map', 'show', 'name', name, '-j')).stdout), name).toMatchObject(peer)
      if (name === 'tb_queue') continue
      expect(JSON.parse((await ours('map', 'dump', 'name', name, '--json')).stdout), name).toEqual(
        JSON.parse(theirs('-j', 'map', 'dump', 'name', name)),
      )
      expect((await ours('map', 'dump', 'name', name)).stdout, name).toBe(theirs('map', 'dump', 'name', name))
    }
  })

  testWith('bpf', 'program:bpftool')('map update, lookup and delete act as bpftool’s', async () => {
    const update = await ours(
      'map',
      'update',
      'name',
      'tb_hash',
      'key',
      '5',
      '0',
      '0',
      '0',
      'value',
      'hex',
      '0a',
      '0b',
      '0c',
      '0d',
      '0',
      '0',
      '0',
      '1',
    )
    expect(update.status, update.stderr).toBe(0)
    const key = ['key', '5', '0', '0', '0']
    expect(JSON.parse((await ours('-j', 'map', 'lookup', 'name', 'tb_hash', ...key)).stdout)).toEqual(
      JSON.parse(theirs('-j', 'map', 'lookup', 'name', 'tb_hash', ...key)),
    )
    const again = await ours(
      'map',
      'update',
      'name',
      'tb_hash',
      ...key,
      'value',
      '1',
      '1',
      '1',
      '1',
      '1',
      '1',
      '1',
      '1',
      'noexist',
    )
    expect(again.status).toBe(1)
    expect(again.stderr).toContain('EEXIST')
    expect((await ours('map', 'delete', 'name', 'tb_hash', ...key)).status).toBe(0)
    expect((await ours('map', 'lookup', 'name', 'tb_hash', ...key)).status).toBe(1)
  })

  testWith('bpf')('a queue gives back what was pushed', async () => {
    expect(
      (await ours('map', 'enqueue', 'name', 'tb_queue', 'value', '1', '2', '3', '4', '5', '6', '7', '8')).status,
    ).toBe(0)
    expect((await ours('map', 'peek', 'name', 'tb_queue')).stdout).toBe('value: 01 02 03 04 05 06 07 08\n')
    expect((await ours('map', 'dequeue', 'name', 'tb_queue')).stdout).toBe('value: 01 02 03 04 05 06 07 08\n')
    expect((await ours('map', 'pop', 'name', 'tb_queue')).stdout).toContain('empty')
  })

  testWith('bpf')('bad words are one clear line and the right exit code', async () => {
    const cases: [string[], number, RegExp][] = [
      [['prog', 'show', 'id', '4294967294'], 1, /no program with id 4294967294/],
      [['prog', 'show', 'id', 'x'], 2, /"x" is no id/],
      [['prog', 'dump', 'xlated', 'name', 'nosuch'], 1, /no program with name nosuch/],
      [['prog', 'dump', 'source', 'id', '1'], 2, /xlated or jited/],
      [['map', 'lookup', 'name', 'tb_hash', 'key', '1'], 2, /4 bytes are needed/],
      [['map', 'lookup', 'name', 'tb_hash', 'key', '300', '1', '1', '1'], 2, /no byte/],
      [['map', 'show', 'colour', 'red'], 2, /expected 'id', 'name', 'pinned'/],
    ]
    for (const [args, code, text] of cases) {
      const { status, stderr } = await ours(...args)
      expect(stderr, args.join(' ')).toMatch(text)
      expect(status, args.join(' ')).toBe(code)
      expect(stderr.trim().split('\n'), stderr).toHaveLength(1)
    }
  })
})
