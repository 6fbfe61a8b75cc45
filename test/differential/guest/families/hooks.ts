import { ATTACH_TYPES, PROGRAM_FLAGS, PROGRAM_TYPES } from '../../../../src/uapi/index.ts'
import { argumentsOf, type Kernel, prototypeOf, type SiteMaker, TRAMPOLINE } from './site.ts'

const PREFIX = 'bpf_lsm_'

/** How LSM programs are attached, and how often each is asked about. */
const WAYS = [
  [4, 'mac', ATTACH_TYPES.lsm_mac, 0],
  [2, 'mac sleepable', ATTACH_TYPES.lsm_mac, PROGRAM_FLAGS.sleepable],
  [2, 'cgroup', ATTACH_TYPES.lsm_cgroup, 0],
  [1, 'cgroup sleepable', ATTACH_TYPES.lsm_cgroup, PROGRAM_FLAGS.sleepable],
] as const

/** Every bpf_lsm_ function of the kernel, hook or not, one after the other. */
export function hookSites({ btf }: Kernel): SiteMaker {
  const hooks = btf
    .idsWithNameStart(PREFIX)
    .flatMap((id) => {
      const proto = prototypeOf(btf, id)
      return proto === undefined ? [] : [{ name: btf.name(id).slice(PREFIX.length), words: argumentsOf(btf, proto) }]
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  return (random, index) => {
    const { name, words } = hooks[index % hooks.length]
    const [way, attachType, flags] = random.weighted(
      WAYS.map(([weight, way, attach, bits]) => [weight, [way, attach, bits] as const] as const),
    )
    return {
      what: `${name} ${way}`,
      type: PROGRAM_TYPES.lsm,
      attachType,
      flags,
      target: { attachTo: { name } },
      arguments: words,
      helpersOf: TRAMPOLINE,
    }
  }
}
