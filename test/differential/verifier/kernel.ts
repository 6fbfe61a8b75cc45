import { createJudge, createRawMap, type Judgement, type RawMap, realSys } from '../../../src/syscall/index.ts'
import { CAMPAIGN_MAPS, MAP } from './maps.ts'
import { type Generated, imageOf } from './program.ts'

/** The running kernel with the campaign's maps made once. */
export interface KernelJudge {
  judge(program: Generated, logLevel?: number): Judgement
  close(): void
}

export function openKernel(): KernelJudge {
  const sys = realSys()
  const judge = createJudge(sys)
  const maps = new Map<number, RawMap>()
  const owned: RawMap[] = []
  CAMPAIGN_MAPS.forEach((spec, index) => {
    const inner = spec.inner === undefined ? undefined : createRawMap(sys, spec.inner, {})
    const map = createRawMap(sys, spec, { innerMapFd: inner?.fd })
    for (const [key, value] of spec.contents ?? []) map.update(key, value)
    if (spec.frozen === true) map.freeze()
    if (inner !== undefined) owned.push(inner)
    owned.push(map)
    maps.set(index, map)
  })
  // A program array belongs to the first program type that refers to it: such programs get one of their own.
  const withoutPrograms = new Map([...maps].filter(([index]) => index !== MAP.progs))
  const mapsFor = (program: Generated): ReadonlyMap<number, RawMap> =>
    program.relocations.some(({ map }) => map === MAP.progs) ? withoutPrograms : maps
  return {
    judge: (program, logLevel) =>
      judge.judge(imageOf(program), {
        ...(logLevel === undefined ? {} : { logLevel }),
        ...(program.maps === undefined ? { maps: mapsFor(program) } : {}),
      }),
    close: () => {
      for (const map of owned) map.close()
    },
  }
}
