import { map, u32, u64, xdp } from 'typebpf'

interface Unused {
  readonly onlyTypes: string
}

const counts = map.hash('counts', { key: u32, value: u64, maxEntries: 4 })

export const marked = xdp('marked', (b) => {
  const cpu = b.cpu() // line: cpu
  b.if(cpu.gt(3), () => {
    b.return(b.DROP) // line: drop
  })
  counts.increment(cpu) // line: increment
  return b.PASS
})
export type { Unused }
