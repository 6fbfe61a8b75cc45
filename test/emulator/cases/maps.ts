import { mapSpec } from '../images.ts'
import type { Case } from './assemble.ts'

const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer)
const KEY = '*(u32 *)(r10 - 4) = 1\nfp r2 -4'
const VALUE = '*(u64 *)(r10 - 16) = 7\nfp r3 -16'
const RING = mapSpec('ringbuf', { keySize: 0, valueSize: 0, maxEntries: 4096 })
const QUEUE = mapSpec('queue', { keySize: 0, maxEntries: 2 })

/** Maps, rings, dynptrs, callbacks over them. */
export const MAP_CASES: readonly Case[] = [
  {
    calls: 'map_update_elem map_lookup_elem map_delete_elem',
    type: 'xdp',
    maps: [mapSpec('hash')],
    text: `${KEY}\n${VALUE}\nmap r1\nr4 = 0\ncall map_update_elem\nmap r1\nfp r2 -4\ncall map_lookup_elem
      if r0 == 0 goto out
      r6 = *(u64 *)(r0 + 0)\nmap r1\nfp r2 -4\ncall map_delete_elem\nr6 += r0\nmap r1\nfp r2 -4\ncall map_delete_elem\nr0 += r6
      out:\nexit`,
    answer: 5,
  },
  {
    calls: 'map_push_elem map_peek_elem map_pop_elem',
    type: 'xdp',
    maps: [QUEUE],
    text: `*(u64 *)(r10 - 8) = 3\nmap r1\nfp r2 -8\nr3 = 0\ncall map_push_elem\n*(u64 *)(r10 - 8) = 4\nmap r1\nfp r2 -8\nr3 = 0\ncall map_push_elem
      map r1\nfp r2 -8\nr3 = 0\ncall map_push_elem\nr6 = r0\nmap r1\nfp r2 -8\ncall map_peek_elem\nr7 = *(u64 *)(r10 - 8)\nmap r1\nfp r2 -8\ncall map_pop_elem
      map r1\nfp r2 -8\ncall map_pop_elem\nr7 <<= 8\nr0 = *(u64 *)(r10 - 8)\nr0 |= r7\nr0 += r6\nexit`,
    answer: 0x304 - 7,
  },
  {
    calls: 'map_lookup_percpu_elem',
    type: 'xdp',
    maps: [mapSpec('percpu_array')],
    text: `${KEY}\nmap r1\nr3 = 0\ncall map_lookup_percpu_elem\nr6 = 0\nif r0 == 0 goto out\nr6 = 1
      out:\nmap r1\nfp r2 -4\nr3 = 4096\ncall map_lookup_percpu_elem\nif r0 == 0 goto end\nr6 += 8\nend:\nr0 = r6\nexit`,
    answer: 1,
  },
  {
    calls: 'for_each_map_elem',
    type: 'xdp',
    maps: [mapSpec('array', { maxEntries: 5, contents: [[u32(3), new Uint8Array(8).fill(1)]] })],
    text: `*(u64 *)(r10 - 8) = 0\nmap r1\nfunc r2 each\nfp r3 -8\nr4 = 0\ncall for_each_map_elem\nr1 = *(u64 *)(r10 - 8)\nr0 <<= 8\nr0 |= r1\nexit
      each:\nr1 = *(u8 *)(r3 + 0)\nr2 = *(u64 *)(r4 + 0)\nr2 += r1\n*(u64 *)(r4 + 0) = r2\nr0 = r1\nexit`,
    answer: 0x401,
    own: true,
  },
  {
    calls: 'loop',
    type: 'xdp',
    text: 'r1 = 9\nfunc r2 each\nr3 = 0\nr4 = 0\ncall loop\nexit\neach:\nr0 = 0\nif r1 != 4 goto on\nr0 = 1\non:\nexit',
    answer: 5,
    own: true,
  },
  {
    calls: 'ringbuf_output ringbuf_query',
    type: 'xdp',
    maps: [RING],
    text: `${VALUE}\nmap r1\nfp r2 -16\nr3 = 8\nr4 = 1\ncall ringbuf_output\nr6 = r0\nmap r1\nr2 = 0\ncall ringbuf_query\nr6 += r0
      map r1\nr2 = 1\ncall ringbuf_query\nr0 += r6\nexit`,
    answer: 16 + 4096,
    look: ({ events }) => events.map(({ data }) => data[0]),
    seen: [7],
  },
  {
    calls: 'ringbuf_reserve ringbuf_submit ringbuf_discard',
    type: 'xdp',
    maps: [RING],
    text: `map r1\nr2 = 8\nr3 = 0\ncall ringbuf_reserve\nif r0 == 0 goto out\n*(u64 *)(r0 + 0) = 5\nr1 = r0\nr2 = 1\ncall ringbuf_submit
      map r1\nr2 = 16\nr3 = 0\ncall ringbuf_reserve\nif r0 == 0 goto out\nr1 = r0\nr2 = 1\ncall ringbuf_discard
      map r1\nr2 = 4096\nr3 = 0\ncall ringbuf_reserve\nif r0 == 0 goto full\nr1 = r0\nr2 = 1\ncall ringbuf_discard\nr0 = 1\nexit
      full:\nr0 = 2\nout:\nexit`,
    answer: 2,
    look: ({ events }) => events.map(({ data }) => data[0]),
    seen: [5],
  },
  {
    calls: 'ringbuf_reserve_dynptr ringbuf_submit_dynptr dynptr_data',
    type: 'xdp',
    maps: [RING],
    text: `map r1\nr2 = 8\nr3 = 0\nfp r4 -16\ncall ringbuf_reserve_dynptr\nr6 = r0\nfp r1 -16\nr2 = 4\nr3 = 4\ncall dynptr_data
      if r0 == 0 goto out\n*(u32 *)(r0 + 0) = 9\nr6 += 1\nout:\nfp r1 -16\nr2 = 1\ncall ringbuf_submit_dynptr\nr0 = r6\nexit`,
    answer: 1,
    look: ({ events }) => events.map(({ data }) => data[4]),
    seen: [9],
  },
  {
    calls: 'ringbuf_discard_dynptr',
    type: 'xdp',
    maps: [RING],
    text: 'map r1\nr2 = 9000\nr3 = 0\nfp r4 -16\ncall ringbuf_reserve_dynptr\nr6 = r0\nfp r1 -16\nr2 = 1\ncall ringbuf_discard_dynptr\nr0 = r6\nexit',
    answer: -22,
    look: ({ events }) => events.length,
    seen: 0,
  },
  {
    calls: 'dynptr_from_mem dynptr_write dynptr_read',
    type: 'xdp',
    maps: [mapSpec('array')],
    text: `${KEY}\nmap r1\ncall map_lookup_elem\nif r0 == 0 goto out\nr1 = r0\nr2 = 8\nr3 = 0\nfp r4 -32\ncall dynptr_from_mem
      *(u64 *)(r10 - 16) = 0x1234\nfp r1 -32\nr2 = 2\nfp r3 -16\nr4 = 4\nr5 = 0\ncall dynptr_write\nr6 = r0\nfp r1 -16\nr2 = 4\nfp r3 -32\nr4 = 0\nr5 = 0\ncall dynptr_read
      r6 += r0\nr0 = *(u32 *)(r10 - 16)\nr0 += r6\nout:\nexit`,
    answer: 0x12340000,
  },
  {
    calls: 'spin_lock spin_unlock',
    type: 'xdp',
    maps: [mapSpec('array', { valueSize: 16 })],
    text: `${KEY}\nmap r1\ncall map_lookup_elem\nif r0 == 0 goto out\nr6 = r0\nr1 = r6\ncall spin_lock\n*(u32 *)(r6 + 4) = 3\nr1 = r6\ncall spin_unlock\nr0 = *(u32 *)(r6 + 4)\nout:\nexit`,
    answer: 3,
    own: true,
  },
  {
    calls: 'timer_init timer_set_callback timer_start timer_cancel',
    type: 'xdp',
    maps: [mapSpec('array', { valueSize: 24, maxEntries: 2 })],
    text: `${KEY}\nmap r1\ncall map_lookup_elem\nif r0 == 0 goto out\nr6 = r0\nr1 = r6\nmap r2\nr3 = 1\ncall timer_init\nr7 = r0\nr1 = r6\nmap r2\nr3 = 1\ncall timer_init\nr7 += r0
      r1 = r6\nfunc r2 fired\ncall timer_set_callback\nr1 = r6\nr2 = 5\nr3 = 0\ncall timer_start\nr1 = r6\ncall timer_cancel\nr0 += r7\nout:\nexit\nfired:\nr0 = 0\nexit`,
    // EBUSY of the second init, 1: it was armed
    answer: -16 + 1,
    own: true,
  },
  {
    calls: 'kptr_xchg',
    type: 'syscall',
    text: '*(u64 *)(r10 - 8) = 7\nfp r1 -8\nr2 = 9\ncall kptr_xchg\nr1 = *(u64 *)(r10 - 8)\nr0 <<= 8\nr0 |= r1\nexit',
    run: {},
    answer: 0x709,
    own: true,
  },
  {
    calls: 'user_ringbuf_drain',
    type: 'syscall',
    maps: [mapSpec('user_ringbuf', { keySize: 0, valueSize: 0, maxEntries: 4096 })],
    text: 'map r1\nfunc r2 sample\nr3 = 0\nr4 = 0\ncall user_ringbuf_drain\nexit\nsample:\nr0 = 0\nexit',
    run: {},
    before: (emulator) => {
      for (const byte of [1, 2, 3]) emulator.map('m').set(new Uint8Array(0), Uint8Array.of(byte))
    },
    answer: 3,
    own: true,
  },
  {
    calls: 'get_local_storage',
    type: 'cgroup_skb',
    maps: [mapSpec('cgroup_storage', { keySize: 16, valueSize: 8, maxEntries: 0 })],
    text: 'map r1\nr2 = 0\ncall get_local_storage\nr1 = *(u64 *)(r0 + 0)\nr1 += 1\n*(u64 *)(r0 + 0) = r1\nr0 = r1\nr0 &= 1\nexit',
    answer: 1,
  },
  {
    calls: 'tail_call',
    type: 'xdp',
    maps: [mapSpec('prog_array', { valueSize: 4 })],
    text: 'map r2\nr3 = 1\ncall tail_call\nr0 = 6\nexit',
    answer: 6,
  },
]

const storage = (kind: 'sk' | 'task' | 'inode' | 'cgrp', type: Case['type']): Case => ({
  calls: `${kind}_storage_get ${kind}_storage_delete`,
  type,
  maps: [mapSpec(`${kind === 'cgrp' ? 'cgrp' : kind}_storage`, { maxEntries: 0, flags: 1 })],
  text: `map r1\nr2 = 0x5000\nr3 = 0\nr4 = 0\ncall ${kind}_storage_get\nr6 = r0\nmap r1\nr2 = 0x5000\nr3 = 0\nr4 = 1\ncall ${kind}_storage_get\n*(u64 *)(r0 + 0) = 9
    map r1\nr2 = 0x5000\nr3 = 0\nr4 = 0\ncall ${kind}_storage_get\nr7 = *(u64 *)(r0 + 0)\nmap r1\nr2 = 0x5000\ncall ${kind}_storage_delete\nr7 += r0\nmap r1\nr2 = 0x5000\ncall ${kind}_storage_delete\nr0 += r7\nr0 += r6\nexit`,
  run: {},
  answer: 9 - 2,
  own: true,
})

/** Local storage: owners are any addresses here. */
export const STORAGE_CASES: readonly Case[] = [
  storage('sk', 'tracing'),
  storage('task', 'tracing'),
  storage('inode', 'lsm'),
  storage('cgrp', 'tracing'),
]
