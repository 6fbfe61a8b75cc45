import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import { describe, expect, test } from 'vitest'
import { PROFILE_6_18, PROFILES, PROGRAM_TYPES } from '../../src/uapi/index.ts'
import { tables } from '../../src/verifier/tables/index.ts'
import { testWith } from '../requirements.ts'

const running = release().split('.').slice(0, 2).join('.')

describe('the tables that the verifier model asks', () => {
  const xdp = { type: PROGRAM_TYPES.xdp, expectedAttachType: 37, sleepable: false }

  test('give a helper only to program types that have it', () => {
    expect(tables.helper(xdp, 44)?.name).toBe('xdp_adjust_head')
    expect(tables.helper(xdp, 44)?.changesPacket).toBe(true)
    expect(tables.helper({ ...xdp, type: PROGRAM_TYPES.kprobe }, 44)).toBeUndefined()
    expect(tables.helper(xdp, 100_000)).toBeUndefined()
  })

  test('give the prototype of the program type where several differ', () => {
    const classid = (type: number) => tables.helper({ type, expectedAttachType: 0, sleepable: false }, 17)
    expect(classid(PROGRAM_TYPES.sched_cls)?.arguments.map(({ base }) => base)).toEqual(['ARG_PTR_TO_CTX'])
    expect(classid(PROGRAM_TYPES.cgroup_device)?.arguments).toEqual([])
  })

  test('know field widths, directions and the pointers that fields hold', () => {
    expect(tables.context(xdp, 0, 4, false, false)?.register).toBe('PTR_TO_PACKET')
    expect(tables.context(xdp, 0, 8, false, false)).toBeUndefined()
    expect(tables.context(xdp, 0, 4, true, false)).toBeUndefined()
    expect(tables.context(xdp, 20, 4, false, false)).toBeUndefined()
    expect(tables.context({ ...xdp, expectedAttachType: 33 }, 20, 4, false, false)?.register).toBe('SCALAR_VALUE')
    const netfilter = { type: PROGRAM_TYPES.netfilter, expectedAttachType: 45, sleepable: false }
    expect(tables.context(netfilter, 8, 8, false, false)).toEqual({
      register: 'PTR_TO_BTF_ID',
      flags: ['PTR_TRUSTED'],
      btfType: 'sk_buff',
    })
  })

  test('repeat the pattern of contexts that are memory', () => {
    const tracepoint = { type: PROGRAM_TYPES.tracepoint, expectedAttachType: 0, sleepable: false }
    expect(tables.context(tracepoint, 0, 8, false, false)).toBeUndefined()
    expect(tables.context(tracepoint, 8184, 8, false, false)?.register).toBe('SCALAR_VALUE')
    expect(tables.context(tracepoint, 8188, 8, false, false)).toBeUndefined()
    expect(tables.context(tracepoint, 8192, 1, false, false)).toBeUndefined()
  })

  test('bound return values per attach type', () => {
    const type = PROGRAM_TYPES.cgroup_sock_addr
    expect(tables.returns({ type, expectedAttachType: 19, sleepable: false })).toMatchObject({ minimum: 1, maximum: 1 })
    expect(tables.returns({ type, expectedAttachType: 8, sleepable: false })).toMatchObject({ minimum: 0, maximum: 3 })
    expect(tables.returns(xdp)).toBeUndefined()
  })

  test('name program types whose rules they do not have', () => {
    expect(
      tables.unsupportedProgram({ type: PROGRAM_TYPES.tracing, expectedAttachType: 24, sleepable: false }),
    ).toContain('tracing')
    expect(tables.unsupportedProgram(xdp)).toBeUndefined()
    expect(tables.refusal({ type: 8, expectedAttachType: 9, sleepable: false })).toContain('attach type')
  })

  test('have a row for every program type or say that it is missing', () => {
    const { programs, denied, invalid, needTarget } = PROFILE_6_18
    const known = new Set([...programs.map(({ type }) => type), ...denied, ...invalid, ...needTarget])
    expect(Object.keys(PROGRAM_TYPES).filter((type) => type !== 'unspec' && !known.has(type))).toEqual([])
  })
})

describe('the recording', () => {
  testWith('bpf')(
    'is what the running kernel answers, question by question',
    async (context) => {
      if (!Object.hasOwn(PROFILES, running)) context.skip(`there is no profile of this kernel (${running})`)
      const { recordPrograms } = await import('../../scripts/record-profile/programs.ts')
      const { deflate } = await import('../../scripts/record-profile/compact.ts')
      const recorded = JSON.parse(deflate({ kernel: PROFILE_6_18.kernel, ...recordPrograms(() => {}) })) as Record<
        string,
        unknown
      >
      const path = new URL(`../../src/uapi/profiles/x86_64-${running}.json`, import.meta.url)
      const committed = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
      for (const key of Object.keys(committed)) if (key !== 'kernel') expect(recorded[key], key).toEqual(committed[key])
    },
    120_000,
  )
})
