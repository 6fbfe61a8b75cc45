import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { assembleProgram, encodeInstructions } from '../../../src/asm/index.ts'
import { Btf, BtfBuilder } from '../../../src/btf/index.ts'
import { parseBatchRequest } from '../../../src/spec/index.ts'
import { PROGRAM_TYPES } from '../../../src/uapi/index.ts'
import { verify } from '../../../src/verifier/index.ts'
import { Archive } from '../../differential/guest/archive.ts'
import { requestAt, runGuestCampaign } from '../../differential/guest/campaign.ts'
import { familiesFor } from '../../differential/guest/families/index.ts'
import type { ProbeFamily } from '../../differential/guest/families/site.ts'
import { askGuest, askKernel, type GuestAnswer, type Start } from '../../differential/guest/guest.ts'
import { kernelImage } from '../../differential/guest/kernel-image.ts'
import { knownDifference } from '../../differential/guest/known.ts'
import { examples } from '../../differential/guest/report.ts'
import { translated } from '../../differential/guest/second-opinion.ts'
import { findProgram, GuestError, guestTools, librariesOf } from '../../differential/guest/tools.ts'
import { GENERATORS } from '../../differential/verifier/generators/index.ts'
import { Random } from '../../differential/verifier/random.ts'
import { testWith } from '../../requirements.ts'

/** A kernel's BTF in small: two hooks, a function, a kernel function with its mark. */
function smallKernel(): Uint8Array {
  const btf = new BtfBuilder()
  const int = btf.int('int', 4, { signed: true })
  const members = [{ name: 'f_flags', type: int, bitOffset: 0, bitSize: 0 }]
  const file = btf.pointer(btf.add({ kind: 'struct', name: 'file', size: 8, members }))
  const proto = btf.add({ kind: 'func_proto', returnType: int, params: [{ name: 'file', type: file }] })
  const functions = ['bpf_lsm_file_open', 'bpf_lsm_file_lock', 'vfs_open', 'no_address', 'bpf_get_file'].map((name) =>
    btf.add({ kind: 'func', name, type: proto, linkage: 0 }),
  )
  btf.add({ kind: 'decl_tag', name: 'bpf_kfunc', type: functions[4], component: -1 })
  return btf.toBytes()
}

const kernel = { btf: new Btf(smallKernel()), symbols: new Set(['vfs_open', 'bpf_lsm_file_open']) }
const families = familiesFor(kernel, { ordinary: GENERATORS })

/** A family of one socket filter. */
function family(text: string): ProbeFamily {
  const insns = encodeInstructions(assembleProgram(text.split('; ').join('\n'), { file: 'probe.s' }).instructions)
  const image = {
    name: 'probe',
    type: PROGRAM_TYPES.socket_filter,
    expectedAttachType: 0,
    insns,
    license: 'GPL',
    flags: 0,
    maps: [],
    relocations: [],
  }
  return { name: text, generate: () => ({ what: text, image }) }
}

describe('requests', () => {
  test('are the same for the same seed and others for another', () => {
    const all = (seed: number): string[] => Array.from({ length: 120 }, (_, i) => requestAt(families, seed, i).request)
    expect(all(7)).toEqual(all(7))
    expect(all(8)).not.toEqual(all(7))
  })

  test('are requests of load --batch and ask about every hook and only functions with an address', () => {
    const targets = new Map<string, Set<string>>()
    for (let i = 0; i < 400; i++) {
      const { generator, request } = requestAt(families, 3, i)
      const { image } = parseBatchRequest(JSON.parse(request))
      expect(image.insns.length).toBeGreaterThan(0)
      const names = targets.get(generator) ?? new Set()
      targets.set(generator, names.add(image.attachTo?.name ?? ''))
      if (['extensions', 'tracers'].includes(generator)) expect(image.attachTo?.program).toBeDefined()
    }
    expect([...(targets.get('hooks') ?? [])].sort()).toEqual(['file_lock', 'file_open'])
    expect([...(targets.get('functions') ?? [])].sort()).toEqual(['bpf_lsm_file_open', 'vfs_open'])
  })

  test('of generated targets are mostly programs that the model takes', () => {
    const only = families.filter(({ name }) => name === 'extensions')
    let accepted = 0
    for (let i = 0; i < 100; i++) {
      const { image } = parseBatchRequest(JSON.parse(requestAt(only, 1, i).request))
      const target = image.attachTo?.program
      if (target !== undefined && verify(target, {}).verdict === 'accept') accepted++
    }
    expect(accepted).toBeGreaterThan(85)
  })

  test('name the generators there are when one is asked for that is not', () => {
    expect(() => familiesFor(kernel, { ordinary: GENERATORS, only: ['nothing'] })).toThrow(/hooks.*tracers.*scalars/)
  })
})

describe('the comparison', () => {
  const judge = ({ image }: ReturnType<typeof parseBatchRequest>) => verify(image, {})
  const answers =
    (change: (answer: object, index: number) => object) =>
    async (requests: readonly string[]): Promise<GuestAnswer[]> =>
      requests.map((line, index) => {
        const { verdict, message, processed } = judge(parseBatchRequest(JSON.parse(line)))
        return { is: 'judged', judgement: { verdict, message, processed, ...change({}, index) } } as GuestAnswer
      })
  const run = (ask: (requests: readonly string[]) => Promise<GuestAnswer[]>) =>
    runGuestCampaign({
      families: [family('r0 = 0; exit'), family('r0 = r5; exit')],
      programs: 6,
      seed: 1,
      release: '6.18.44',
      ask,
      judge,
    })

  test('counts equal answers', async () => {
    const { reports, failures } = await run(answers(() => ({})))
    expect(failures).toEqual([])
    expect(reports.map(({ programs, accepts, rejects }) => [programs, accepts, rejects])).toEqual([
      [3, 3, 0],
      [3, 0, 3],
    ])
    expect(reports.map(({ processedEqual, reasonEqual }) => [processedEqual, reasonEqual])).toEqual([
      [3, 0],
      [0, 3],
    ])
  })

  test('finds planted differences of every kind', async () => {
    const planted: Record<number, object> = {
      0: { verdict: 'reject', message: 'R0 !read_ok' },
      1: { verdict: 'accept' },
      2: { processed: 77 },
      3: { message: 'something else' },
    }
    const { failures } = await run(answers((_, index) => planted[index] ?? {}))
    expect(failures.map(({ kind, index }) => [kind, index])).toEqual([
      ['wrong-accept', 0],
      ['wrong-reject', 1],
      ['processed', 2],
      ['reason', 3],
    ])
    expect(examples(failures).index).toHaveLength(4)
    expect(JSON.parse(failures[0].request)).toMatchObject({ insns: expect.stringMatching(/^b7/) })
  })

  test('keeps programs that could not be asked, and those that end the guest, apart', async () => {
    const { reports, failures, notAsked } = await run(async (requests) =>
      requests.map((_, i) =>
        i === 0 ? { is: 'ended-guest', message: 'panic' } : { is: 'not-asked', code: 'map_create', message: 'EINVAL' },
      ),
    )
    expect(reports.map((report) => [report.endedGuest, report.notAsked])).toEqual([
      [1, 2],
      [0, 3],
    ])
    expect(failures.map(({ kind }) => kind)).toEqual(['ended-guest'])
    expect([...notAsked.values()]).toEqual([5])
  })

  test('asks another kernel about differences, and counts apart those where it answers as the model', async () => {
    const asked: number[] = []
    const { reports, failures, known } = await runGuestCampaign({
      families: [family('r0 = 0; exit'), family('r0 = r5; exit')],
      programs: 4,
      seed: 1,
      release: '6.18.15',
      ask: answers((_, index) => (index === 2 ? {} : { verdict: 'reject', message: 'R9 of another release' })),
      judge,
      second: {
        release: '6.18.44',
        judge: (image) => {
          asked.push(image.insns.length)
          return image.insns[0] === 0xb7 ? { verdict: 'accept', processed: 2 } : undefined
        },
      },
    })
    expect(reports.map((report) => report.known)).toEqual([1, 0])
    expect(failures.map(({ kind, index }) => [kind, index])).toEqual([
      ['reason', 1],
      ['reason', 3],
    ])
    expect(asked).toHaveLength(3)
    expect([...known.keys()]).toEqual(['point releases: the running 6.18.44 answers as the model'])
  })

  test('translates ids of kernel functions and targets between kernels', () => {
    const other = new BtfBuilder()
    const proto = other.add({ kind: 'func_proto', returnType: 0, params: [] })
    for (const name of ['first', 'vfs_open', 'bpf_get_file']) other.add({ kind: 'func', name, type: proto, linkage: 0 })
    const to = new Btf(other.toBytes())
    const id = (btf: Btf, name: string): number => btf.idByName(name, 'func') ?? 0
    const insns = new Uint8Array([0x85, 0x20, 0, 0, id(kernel.btf, 'bpf_get_file'), 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])
    const { image } = family('exit').generate(new Random(1), 0)
    const made = translated({ ...image, insns, attachBtfId: id(kernel.btf, 'vfs_open') }, kernel.btf, to)
    expect(made?.insns[4]).toBe(id(to, 'bpf_get_file'))
    expect(made?.attachBtfId).toBe(id(to, 'vfs_open'))
    expect(translated({ ...image, attachBtfId: id(kernel.btf, 'no_address') }, kernel.btf, to)).toBeUndefined()
  })

  test('excuses only what is known of two kernels', () => {
    const { image } = family('r0 = 0; exit').generate(new Random(1), 0)
    const difference = {
      image: { ...image, type: PROGRAM_TYPES.kprobe },
      kernel: { verdict: 'accept' },
      model: { verdict: 'reject', message: 'invalid bpf_context access off=8 size=8' },
    }
    expect(knownDifference({ ...difference, release: '6.18.15+deb13-cloud-amd64' })).toMatch(/kprobe/)
    const calling = (name: string) => ({
      ...difference,
      release: '6.18.44',
      model: { verdict: 'reject', message: `calling kernel function ${name} is not allowed` },
    })
    expect(knownDifference(calling('scx_bpf_task_cpu'))).toMatch(/built without/)
    expect(knownDifference(calling('bpf_task_acquire'))).toBeUndefined()
    expect(knownDifference({ ...difference, release: '6.18.44' })).toBeUndefined()
    expect(knownDifference({ ...difference, release: '6.18.15', image })).toBeUndefined()
  })
})

describe('the guest', () => {
  const line = (id: number): string => `${JSON.stringify({ id, verdict: 'accept', processed: 2 })}\n`
  /** Requests of an archive, as the guest's init would read them. */
  const idsIn = (archive: Uint8Array): number[] =>
    [
      ...Buffer.from(archive)
        .toString('latin1')
        .matchAll(/"id":(\d+)/g),
    ].map(([, id]) => Number(id))

  test('tells its release, types and symbols', async () => {
    const packed = (bytes: Uint8Array | string): string => gzipSync(bytes).toString('base64')
    const output = `release\n6.18.15\ntypes\n${packed(smallKernel())}\nsymbols\n${packed('vfs_open\nvfs_read')}\nend\n`
    const told = await askKernel(async () => ({ output, console: '', silent: false }))
    expect(told.release).toBe('6.18.15')
    expect(told.btf.idByName('vfs_open', 'func')).toBeDefined()
    expect([...told.symbols]).toEqual(['vfs_open', 'vfs_read'])
  })

  test('that does not start says so with the end of its console', async () => {
    const dead: Start = async () => ({
      output: '',
      console: 'one\n[ 1.0] BUG: kernel NULL pointer\ntwo\nKernel panic: no init\n',
      silent: false,
    })
    await expect(askKernel(dead)).rejects.toThrow(
      /did not start: \[ 1\.0\] BUG: kernel NULL pointer \| Kernel panic: no init/,
    )
    await expect(askGuest(dead, ['{"id":0}', '{"id":1}'])).rejects.toThrow(GuestError)
  })

  test('that is ended by one request answers all the others', async () => {
    const requests = Array.from({ length: 40 }, (_, id) => JSON.stringify({ id }))
    let starts = 0
    const start: Start = async ([archive]) => {
      starts++
      const ids = idsIn(archive)
      const until = ids.includes(17) ? Math.max(0, ids.indexOf(17) - 3) : ids.length
      // three answers are lost with the guest, and the line under way is cut
      const output = ids.slice(0, until).map(line).join('')
      return { output: until < ids.length ? `${output}{"id":` : output, console: 'Oops', silent: false }
    }
    const answers = await askGuest(start, requests)
    expect(answers.map(({ is }) => is)).toEqual(requests.map((_, id) => (id === 17 ? 'ended-guest' : 'judged')))
    expect(starts).toBeLessThan(15)
  })

  test('gets an archive that names folders before files', () => {
    const text = Buffer.from(new Archive().file('/a/b/c', 'hello').toBytes()).toString('latin1')
    expect(text.length % 4).toBe(0)
    expect([...text.matchAll(/070701[0-9a-f]{104}([^\0]+)\0/g)].map(([, name]) => name)).toEqual([
      'a',
      'a/b',
      'a/b/c',
      'TRAILER!!!',
    ])
  })

  testWith('program:ldd')('has every library that Node asks for', () => {
    const ldd = findProgram('ldd') ?? ''
    const libraries = librariesOf(process.execPath, { ldd })
    expect(libraries.filter((path) => !existsSync(path))).toEqual([])
    expect(librariesOf(fileURLToPath(import.meta.url), { ldd })).toEqual([])
  })
})

describe('what is missing', () => {
  let folder = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'typebpf-guest-test-'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('is named in one line with the packages to install', () => {
    expect(() => guestTools(folder)).toThrow(
      'missing: qemu-system-x86_64, busybox, ldd (apt-get install qemu-system-x86 busybox-static libc-bin)',
    )
  })

  test('a file that is no kernel says what is wanted', () => {
    const file = join(folder, 'vmlinuz')
    writeFileSync(file, 'no kernel')
    for (const path of [file, join(folder, 'absent')]) {
      expect(() => kernelImage(path, folder)).toThrow(GuestError)
      expect(() => kernelImage(path, folder)).toThrow(/linux-image-VERSION/)
    }
    const image = Buffer.alloc(0x210)
    image.write('HdrS', 0x202, 'latin1')
    writeFileSync(file, image)
    expect(kernelImage(file, folder)).toBe(file)
  })
})
