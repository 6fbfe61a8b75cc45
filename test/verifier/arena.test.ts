import { describe, expect, test } from 'vitest'
import { verify } from '../../src/verifier/index.ts'
import { testWith } from '../requirements.ts'
import { fixtureImage } from './diagnosis/fixtures.ts'

interface Row {
  readonly name: string
  /** Statements after `r6` was made an arena pointer; r7 is a number below 8. */
  readonly program: string
  /** The line that refuses it; absent: accepted. */
  readonly refusal?: string
  /** A line of the log at level 2. */
  readonly says?: string
}

const START = [
  'r1 = arena ll',
  'r6 = 4096',
  'r6 = addr_space_cast(r6, 0, 1)',
  'call bpf_get_prandom_u32',
  'r7 = r0',
  'r7 &= 7',
]

/** Judged by Linux 6.18, which is asked again where it runs. */
const ROWS: readonly Row[] = [
  { name: 'any arithmetic', program: 'r6 *= 3; r6 <<= 63; w6 -= w7; r6 /= r7; *(u64 *)(r6 + 0) = 1', says: 'R6=arena' },
  { name: 'a number that an arena pointer is added to', program: 'r7 += r6; *(u8 *)(r7 - 77) = 1', says: 'R7=arena' },
  { name: 'the context plus an arena pointer', program: 'r2 = r10; r2 ^= r6; r0 = *(u64 *)(r2 + 0)', says: 'R2=arena' },
  {
    name: 'a negated pointer is a number',
    program: 'r6 = -r6; r0 = *(u8 *)(r6 + 0)',
    refusal: "R6 invalid mem access 'scalar'",
  },
  {
    name: 'half a pointer is a number',
    program: 'w6 = w6; r0 = *(u8 *)(r6 + 0)',
    refusal: "R6 invalid mem access 'scalar'",
  },
  {
    name: 'a pointer that was cast back',
    program: 'r6 = addr_space_cast(r6, 1, 0); r0 = *(u8 *)(r6 + 0)',
    refusal: "R6 invalid mem access 'scalar'",
  },
  {
    name: 'any place and width, unaligned',
    program: 'r0 = *(u64 *)(r6 - 32768); *(u32 *)(r6 + 32767) = r10; r0 = *(s8 *)(r6 + 1)',
  },
  {
    name: 'a loaded pointer is a number',
    program: 'r6 = *(u64 *)(r6 + 0); r0 = *(u8 *)(r6 + 0)',
    refusal: "R6 invalid mem access 'scalar'",
  },
  {
    name: 'through the stack',
    program: '*(u64 *)(r10 - 8) = r6; r2 = *(u64 *)(r10 - 8); r0 = *(u8 *)(r2 + 0)',
    says: 'fp-8=arena',
  },
  {
    name: 'half of it from the stack',
    program: '*(u64 *)(r10 - 8) = r6; r2 = *(u32 *)(r10 - 8)',
    refusal: 'invalid size of register fill',
  },
  { name: 'atomic exchange', program: 'r7 = xchg_64(r6 + 8, r7); r0 = 1; r0 = cmpxchg_64(r6 + 0, r0, r7)' },
  {
    name: 'atomic or with the old value',
    program: 'r7 = atomic_fetch_or((u64 *)(r6 + 0), r7)',
    refusal: 'BPF_ATOMIC stores into R6 arena is not allowed',
  },
  { name: 'atomic or without', program: 'lock *(u64 *)(r6 + 0) |= r7' },
  {
    name: 'one load of two kinds',
    program: 'r2 = r10; if r7 == 0 goto +1; r2 = r6; r0 = *(u8 *)(r2 - 1)',
    refusal: 'same insn cannot be used with different pointers',
  },
  {
    name: 'one store of two kinds',
    program: '*(u64 *)(r10 - 8) = 0; r2 = r10; if r7 == 0 goto +1; r2 = r6; *(u64 *)(r2 - 8) = 1',
    refusal: 'same insn cannot be used with different pointers',
  },
  {
    name: 'one atomic instruction of two kinds, which 6.18 takes',
    program: '*(u64 *)(r10 - 8) = 0; r2 = r10; if r7 == 0 goto +1; r2 = r6; lock *(u64 *)(r2 - 8) += r7',
  },
  {
    name: 'a key in the arena',
    program: 'r1 = hash ll; r2 = r6; call bpf_map_lookup_elem',
    refusal: 'R2 type=arena expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_',
  },
  { name: 'an address to read from', program: 'r1 = r10; r1 += -8; w2 = 8; r3 = r6; call bpf_probe_read_kernel' },
  {
    name: 'compared with anything',
    program: 'if r6 == 0 goto +0; if r6 > r7 goto +0; if r10 s< r6 goto +0; if w6 != 5 goto +0',
  },
  { name: 'an endless loop', program: 'r6 += 8; if r6 != 0 goto -2', refusal: 'infinite loop detected at insn 7' },
  { name: 'a loop over pages', program: 'r1 = 1000; r6 += 8; *(u64 *)(r6 + 0) = r1; r1 -= 1; if r1 != 0 goto -4' },
  { name: 'a cast from nothing', program: 'r2 = addr_space_cast(r5, 0, 1)', refusal: 'R5 !read_ok' },
]

function imageOf({ name, program, refusal }: Row) {
  return fixtureImage({
    name,
    code: '',
    type: 'socket_filter',
    message: refusal ?? '',
    program: [...START, ...program.split('; '), 'r0 = 0', 'exit'],
  })
}

describe('pointers into an arena', () => {
  test.each(ROWS)('$name', (row) => {
    const { verdict, message, log } = verify(imageOf(row), { logLevel: 2 })
    expect({ verdict, refusal: log?.includes(row.refusal ?? '') === true ? row.refusal : message }).toEqual({
      verdict: row.refusal === undefined ? 'accept' : 'reject',
      refusal: row.refusal,
    })
    if (row.says !== undefined) expect(log).toContain(row.says)
  })

  testWith('bpf')('are what the running kernel says they are', async () => {
    const { createJudge } = await import('../../src/syscall/index.ts')
    const judge = createJudge()
    const rows = ROWS.map((row) => {
      const { verdict, message, log } = judge.judge(imageOf(row), { logLevel: 2 })
      const said = log?.includes(row.refusal ?? '') === true && log.includes(row.says ?? '')
      return `${row.name}: ${verdict}${said ? '' : ` ${message}`}`
    })
    expect(rows).toEqual(ROWS.map(({ name, refusal }) => `${name}: ${refusal === undefined ? 'accept' : 'reject'}`))
  })
})
