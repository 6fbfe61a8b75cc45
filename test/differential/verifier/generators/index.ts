/** Families of generated programs; each mixes careful programs and sloppy ones, so that both verdicts are common. */
import { anyHelper, packet, ringRecord, socketReference } from '../actions-calls.ts'
import { callback, countedLoop, deepStack, localCall, mayGotoLoop, tailCall, unknownLoop } from '../actions-flow.ts'
import {
  accessValue,
  atomic,
  fill,
  mapLookup,
  pointerPlay,
  spill,
  variableOffset,
  variableStack,
} from '../actions-memory.ts'
import { directValue, legacyLoad, longJump, mapInMap, numberIterator, signedLoads } from '../actions-rare.ts'
import { constant64, scalarMix, stackScalar, unknownScalar } from '../actions-scalar.ts'
import { finished, type Generated, type Generator, type TypeChoice } from '../program.ts'
import type { Random } from '../random.ts'
import { Writer } from '../writer.ts'
import { arenaGenerator } from './arena.ts'
import { contextGenerator } from './context.ts'
import { cornersGenerator } from './corners.ts'
import { damage } from './damage.ts'
import { KERNEL_OBJECT_GENERATORS } from './kernel-objects.ts'
import { mutationGenerator } from './mutation.ts'
import { ownObjectsGenerator } from './own-objects.ts'

type Action = (w: Writer) => unknown
type Weights = readonly (readonly [weight: number, action: Action])[]

interface Family {
  readonly name: string
  readonly types: readonly TypeChoice[]
  readonly steps: readonly [number, number]
  readonly actions: Weights
  /** Share of sloppy programs and the chance of a wrong choice in them. */
  readonly sloppy?: readonly [share: number, chance: number]
}

const ANY: readonly TypeChoice[] = [
  { type: 'socket_filter' },
  { type: 'xdp', attach: 'xdp' },
  { type: 'sched_cls' },
  { type: 'kprobe' },
  { type: 'tracepoint' },
  { type: 'cgroup_skb' },
  { type: 'raw_tracepoint' },
]
const PACKETS: readonly TypeChoice[] = [
  { type: 'xdp', attach: 'xdp' },
  { type: 'sched_cls' },
  { type: 'cgroup_skb' },
  { type: 'lwt_xmit' },
  { type: 'sk_skb' },
  { type: 'sk_msg' },
]

const SCALARS: Weights = [
  [10, scalarMix],
  [3, unknownScalar],
  [2, constant64],
  [2, stackScalar],
]

const FAMILIES: readonly Family[] = [
  {
    name: 'scalars',
    types: ANY,
    steps: [6, 30],
    actions: [...SCALARS, [2, mapLookup], [3, variableOffset]],
    sloppy: [0.5, 0.04],
  },
  {
    name: 'spills',
    types: ANY,
    steps: [8, 30],
    actions: [
      [4, spill],
      [5, fill],
      [4, stackScalar],
      [3, scalarMix],
      [1, mapLookup],
      [2, variableStack],
      [2, variableOffset],
      [1, accessValue],
    ],
    sloppy: [0.5, 0.06],
  },
  {
    name: 'map-values',
    types: ANY,
    steps: [4, 18],
    actions: [
      [2, mapLookup],
      [5, variableOffset],
      [4, accessValue],
      [2, scalarMix],
      [2, pointerPlay],
    ],
    sloppy: [0.5, 0.08],
  },
  {
    name: 'packets',
    types: PACKETS,
    steps: [6, 24],
    actions: [
      [10, packet],
      [2, scalarMix],
      [1, spill],
      [1, fill],
      [1, pointerPlay],
      [1, mapLookup],
    ],
    sloppy: [0.5, 0.06],
  },
  {
    name: 'helpers',
    types: [
      ...ANY,
      ...PACKETS,
      { type: 'cgroup_sock_addr', attach: 'cgroup_inet4_connect' },
      { type: 'sock_ops' },
      { type: 'sk_lookup', attach: 'sk_lookup' },
      { type: 'cgroup_sysctl' },
      { type: 'perf_event' },
      { type: 'netfilter', attach: 'netfilter' },
      { type: 'xdp', attach: 'xdp', license: 'proprietary' },
    ],
    steps: [1, 5],
    actions: [
      [8, anyHelper],
      [1, mapLookup],
      [1, unknownScalar],
    ],
    sloppy: [0.5, 0.08],
  },
  {
    name: 'references',
    types: [
      { type: 'sched_cls' },
      { type: 'xdp', attach: 'xdp' },
      { type: 'kprobe' },
      { type: 'cgroup_skb' },
      { type: 'tracepoint' },
    ],
    steps: [1, 6],
    actions: [
      [4, ringRecord],
      [3, socketReference],
      [2, scalarMix],
      [1, pointerPlay],
      [1, mapLookup],
      [1, localCall],
      [1, tailCall],
    ],
    sloppy: [0.5, 0.08],
  },
  {
    name: 'subprograms',
    types: ANY,
    steps: [3, 12],
    actions: [
      [4, localCall],
      [3, callback],
      [4, scalarMix],
      [2, unknownScalar],
      [1, mapLookup],
      [1, spill],
      [1, tailCall],
    ],
    sloppy: [0.5, 0.08],
  },
  {
    name: 'loops',
    types: ANY,
    steps: [3, 12],
    actions: [
      [4, countedLoop],
      [4, unknownLoop],
      [3, mayGotoLoop],
      [3, scalarMix],
      [2, unknownScalar],
      [1, mapLookup],
      [1, accessValue],
    ],
    sloppy: [0.5, 0.15],
  },
  {
    name: 'atomics',
    types: ANY,
    steps: [3, 14],
    actions: [
      [6, atomic],
      [2, mapLookup],
      [2, scalarMix],
      [1, spill],
      [1, fill],
      [1, variableOffset],
    ],
    sloppy: [0.5, 0.08],
  },
  {
    name: 'pointers',
    types: ANY,
    steps: [4, 20],
    actions: [
      [6, pointerPlay],
      [2, mapLookup],
      [2, spill],
      [2, fill],
      [2, scalarMix],
      [1, variableStack],
      [1, accessValue],
    ],
    sloppy: [0.5, 0.05],
  },
  {
    name: 'rare',
    types: [
      { type: 'socket_filter' },
      { type: 'sched_cls' },
      { type: 'sched_act' },
      { type: 'xdp', attach: 'xdp' },
      { type: 'lwt_xmit' },
      { type: 'tracepoint' },
    ],
    steps: [2, 8],
    actions: [
      [4, legacyLoad],
      [3, longJump],
      [3, directValue],
      [3, mapInMap],
      [2, signedLoads],
      [2, scalarMix],
      [2, accessValue],
      [2, variableOffset],
      [1, ringRecord],
      [1, spill],
    ],
    sloppy: [0.5, 0.06],
  },
  {
    name: 'iterators',
    types: [{ type: 'sched_cls' }, { type: 'xdp', attach: 'xdp' }, { type: 'tracepoint' }],
    steps: [1, 4],
    actions: [
      [4, numberIterator],
      [2, scalarMix],
      [1, spill],
      [1, mapLookup],
    ],
    sloppy: [0.6, 0.08],
  },
  {
    name: 'frames',
    types: ANY,
    steps: [1, 2],
    actions: [
      [6, deepStack],
      [1, localCall],
      [1, tailCall],
      [1, variableStack],
    ],
    sloppy: [0.3, 0.1],
  },
]

function generateFamily(family: Family, random: Random, careful = false): Generated {
  const [share, chance] = family.sloppy ?? [0.5, 0.06]
  const choice = random.pick(family.types)
  const flags = random.chance(0.05) ? 1 : 0 // strict alignment
  const w = new Writer(random, { ...choice, flags }, !careful && random.chance(share) ? chance : 0)
  if (random.chance(0.9)) w.keepContext()
  for (let i = random.between(family.steps[0], family.steps[1]); i > 0; i--) random.weighted(family.actions)(w)
  w.finish()
  while (w.later.length > 0) w.later.shift()?.()
  return finished(w.code, w.choice)
}

const FAMILY_GENERATORS: readonly Generator[] = FAMILIES.map((family) => ({
  name: family.name,
  generate: (random) => generateFamily(family, random),
}))

const mutations = mutationGenerator()

/** All generators by name; `structure` damages what the others wrote, `mutations` real programs where the corpora are. */
export const GENERATORS: readonly Generator[] = [
  ...(mutations === undefined ? [] : [mutations]),
  ...FAMILY_GENERATORS,
  contextGenerator,
  cornersGenerator,
  ...KERNEL_OBJECT_GENERATORS,
  ownObjectsGenerator,
  arenaGenerator,
  {
    name: 'structure',
    generate: (random) => damage(random, generateFamily(random.pick(FAMILIES), random, true)),
  },
]
