import { mapSpec } from '../images.ts'
import type { Case } from './assemble.ts'

const one = (calls: string, text: string, answer: number | bigint, rest: Partial<Case> = {}): Case => ({
  calls,
  type: 'xdp',
  text: `r6 = r1\n${text}\nexit`,
  answer,
  ...rest,
})
const PACKET = (name: string): string =>
  `r2 = 0\nfp r3 -32\nkfunc ${name}\nr7 = r0\nfp r1 -32\nr2 = 12\nfp r3 -8\nr4 = 2\nkfunc dynptr_slice\nif r0 == 0 goto out\nr0 = *(u16 *)(r0 + 0)\nr7 += r0\nout:\nr0 = r7`

/** r1 = "aBcabc", r2 = "bc", r3 = "abCx" on the stack, before a call. */
const TEXTS =
  'r1 = 0x636261634261 ll\n*(u64 *)(r10 - 8) = r1\n*(u64 *)(r10 - 16) = 0x6362\n*(u64 *)(r10 - 24) = 0x78436261\nfp r1 -8'
const text = (name: string, args: string, answer: number): Case =>
  one(name, `${TEXTS}\n${args}\nkfunc ${name}`, answer, { type: 'raw_tracepoint', run: {} })
const SECOND = 'fp r2 -16'
const TEXT_CASES: readonly Case[] = [
  text('strlen', '', 6),
  text('strnlen', 'r2 = 4', 4),
  text('strnlen', 'r2 = 40', 6),
  text('strlen', 'r1 = 0', -34),
  text('strcmp', 'fp r2 -24', -1),
  text('strcasecmp', 'fp r2 -24', -1),
  text('strcmp', 'fp r2 -8', 0),
  text('strchr', 'r2 = 0x63', 2),
  text('strchr', 'r2 = 0', 6),
  text('strchr', 'r2 = 0x7a', -2),
  text('strnchr', 'r2 = 2\nr3 = 0x63', -2),
  text('strnchr', 'r2 = 3\nr3 = 0x63', 2),
  text('strchrnul', 'r2 = 0x7a', 6),
  text('strrchr', 'r2 = 0x63', 5),
  text('strrchr', 'r2 = 0', 6),
  text('strspn', 'fp r2 -24', 1),
  text('strcspn', SECOND, 2),
  text('strstr', SECOND, 4),
  text('strstr', 'fp r2 -24', -2),
  text('strnstr', `${SECOND}\nr3 = 6`, 4),
  text('strnstr', `${SECOND}\nr3 = 5`, -2),
]

/** Kernel functions. */
export const KFUNC_CASES: readonly Case[] = [
  one('rcu_read_lock rcu_read_unlock', 'kfunc rcu_read_lock\nkfunc rcu_read_unlock\nr0 = 3', 3),
  one('preempt_disable preempt_enable', 'kfunc preempt_disable\nkfunc preempt_enable\nr0 = 3', 3),
  one(
    'local_irq_save local_irq_restore',
    'fp r1 -8\nkfunc local_irq_save\nfp r1 -8\nkfunc local_irq_restore\nr0 = 3',
    3,
  ),
  one(
    'iter_num_new iter_num_next iter_num_destroy',
    `r7 = 0\nfp r1 -16\nr2 = 3\nr3 = 6\nkfunc iter_num_new\nagain:\nfp r1 -16\nkfunc iter_num_next\nif r0 == 0 goto done\nr1 = *(u32 *)(r0 + 0)\nr7 += r1\nr7 &= 0xff\ngoto again\ndone:\nfp r1 -16\nkfunc iter_num_destroy\nr0 = r7`,
    12,
  ),
  one(
    'iter_num_new',
    'fp r1 -16\nr2 = 6\nr3 = 3\nkfunc iter_num_new\nr7 = r0\nfp r1 -16\nkfunc iter_num_destroy\nfp r1 -16\nr2 = 0\nr3 = 9000000\nkfunc iter_num_new\nr7 += r0\nfp r1 -16\nkfunc iter_num_destroy\nr0 = r7',
    -22 - 7,
  ),
  one(
    'iter_bits_new iter_bits_next iter_bits_destroy',
    `*(u64 *)(r10 - 8) = 0x141\nr7 = 0\nfp r1 -32\nfp r2 -8\nr3 = 1\nkfunc iter_bits_new\nagain:\nfp r1 -32\nkfunc iter_bits_next\nif r0 == 0 goto done\nr1 = *(u32 *)(r0 + 0)\nr7 <<= 4\nr7 |= r1\nr7 &= 0xfff\ngoto again\ndone:\nfp r1 -32\nkfunc iter_bits_destroy\nr0 = r7`,
    0x068,
  ),
  one('dynptr_from_xdp dynptr_slice', PACKET('dynptr_from_xdp'), 8),
  one('dynptr_from_skb dynptr_slice', PACKET('dynptr_from_skb'), 8, { type: 'sched_cls' }),
  one(
    'dynptr_from_skb dynptr_is_rdonly dynptr_is_null dynptr_size',
    'r2 = 0\nfp r3 -32\nkfunc dynptr_from_skb\nfp r1 -32\nkfunc dynptr_is_rdonly\nr7 = r0\nfp r1 -32\nkfunc dynptr_is_null\nr7 += r0\nfp r1 -32\nkfunc dynptr_size\nr7 <<= 8\nr0 += r7',
    0x100 + 50,
    { type: 'socket_filter' },
  ),
  one(
    'dynptr_slice_rdwr',
    'r2 = 0\nfp r3 -32\nkfunc dynptr_from_xdp\nfp r1 -32\nr2 = 60\nfp r3 -8\nr4 = 4\nkfunc dynptr_slice_rdwr\nif r0 == 0 goto out\n*(u8 *)(r0 + 0) = 9\nr0 = 1\nout:',
    1,
    { look: ({ packet }) => packet?.[60], seen: 9 },
  ),
  one(
    'dynptr_adjust dynptr_size',
    'r2 = 0\nfp r3 -32\nkfunc dynptr_from_xdp\nfp r1 -32\nr2 = 4\nr3 = 20\nkfunc dynptr_adjust\nr7 = r0\nfp r1 -32\nr2 = 0\nr3 = 17\nkfunc dynptr_adjust\nr7 += r0\nfp r1 -32\nkfunc dynptr_size\nr0 += r7',
    16 - 34,
  ),
  ...TEXT_CASES,
  one(
    'dynptr_clone dynptr_copy dynptr_memset',
    'r2 = 0\nfp r3 -32\nkfunc dynptr_from_xdp\nfp r1 -32\nfp r2 -48\nkfunc dynptr_clone\nr7 = r0\nfp r1 -48\nr2 = 40\nfp r3 -32\nr4 = 12\nr5 = 2\nkfunc dynptr_copy\nr7 += r0\nfp r1 -48\nr2 = 50\nr3 = 3\nr4 = 7\nkfunc dynptr_memset\nr7 += r0\nfp r1 -48\nr2 = 60\nr3 = 5\nr4 = 7\nkfunc dynptr_memset\nr7 += r0\nfp r1 -48\nr2 = 63\nfp r3 -32\nr4 = 0\nr5 = 2\nkfunc dynptr_copy\nr0 += r7',
    -7 - 7,
    {
      look: ({ packet }) => [packet?.[40], packet?.[41], packet?.[50], packet?.[52], packet?.[53]],
      seen: [8, 0, 7, 7, 0],
    },
  ),
  one('cast_to_kern_ctx', 'r1 = r6\nkfunc cast_to_kern_ctx\nr0 -= r6', 0),
  one('rdonly_cast', 'r1 = r6\nr2 = 1\nkfunc rdonly_cast\nr0 -= r6', 0, { own: true }),
  one(
    'res_spin_lock res_spin_unlock',
    'r1 = 0x5000\nkfunc res_spin_lock\nr7 = r0\nr1 = 0x5000\nkfunc res_spin_lock\nr7 += r0\nr1 = 0x5000\nkfunc res_spin_unlock\nr1 = 0x5000\nkfunc res_spin_lock\nr0 += r7',
    -35,
    {
      own: true,
    },
  ),
  one(
    'res_spin_lock_irqsave res_spin_unlock_irqrestore',
    'r1 = 0x5000\nfp r2 -8\nkfunc res_spin_lock_irqsave\nr7 = r0\nr1 = 0x5000\nfp r2 -8\nkfunc res_spin_unlock_irqrestore\nr0 = r7',
    0,
    { own: true },
  ),
  one('xdp_ct_lookup', 'kfunc xdp_ct_lookup', 0, { own: true }),
  one('skb_ct_lookup', 'kfunc skb_ct_lookup', 0, { own: true, type: 'sched_cls' }),
  one(
    'arena_alloc_pages arena_free_pages',
    'map r1\nr2 = 0\nr3 = 1\nr4 = -1\nr5 = 0\nkfunc arena_alloc_pages\nr7 = r0\nif r0 == 0 goto out\nmap r1\nr2 = r7\nr3 = 1\nkfunc arena_free_pages\nr0 = 1\nout:',
    1,
    {
      maps: [mapSpec('arena', { keySize: 0, valueSize: 0, maxEntries: 4, flags: 0x400 })],
      type: 'syscall',
      run: {},
    },
  ),
  one(
    'arena_alloc_pages',
    'map r1\nr2 = 0\nr3 = 1\nr4 = -1\nr5 = 0\nkfunc arena_alloc_pages\nr7 = addr_space_cast(r0, 0, 1)\nr6 = 0\nr6 = addr_space_cast(r6, 0, 1)\nr0 = 1\nif r7 == 0 goto out\nr0 = 2\nif r6 != 0 goto out\nr0 = 3\nout:',
    3,
    {
      maps: [mapSpec('arena', { keySize: 0, valueSize: 0, maxEntries: 4, flags: 0x400 })],
      type: 'syscall',
      run: {},
    },
  ),
  one('throw', 'r1 = 7\nkfunc throw', 7),
]
