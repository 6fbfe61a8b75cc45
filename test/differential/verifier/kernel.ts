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
  // Maps that may hold programs belong to the first program that refers to them: such programs get their own.
  const ownedByPrograms: readonly number[] = [MAP.progs, MAP.devs, MAP.cpus]
  const without = new Map([...maps].filter(([index]) => !ownedByPrograms.includes(index)))
  const mapsFor = (program: Generated): ReadonlyMap<number, RawMap> =>
    program.relocations.some(({ map }) => ownedByPrograms.includes(map)) ? without : maps
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
