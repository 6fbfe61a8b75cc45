import type { MachineBlock, MachineFunction } from './machine.ts'
import { successors } from './machine.ts'

/** Removes unreachable blocks, jumps over blocks without code, and joins blocks with one way in. */
export function cleanGraph(fn: MachineFunction): void {
  const entry = fn.blocks[0]
  const finalTarget = (block: MachineBlock): MachineBlock => {
    const seen = new Set<MachineBlock>()
    while (block.code.length === 0 && block.end.op === 'jump' && !seen.has(block)) {
      seen.add(block)
      block = block.end.to
    }
    return block
  }
  for (const block of fn.blocks) {
    const { end } = block
    if (end.op === 'jump') end.to = finalTarget(end.to)
    else if (end.op === 'branch') {
      end.yes = finalTarget(end.yes)
      end.no = finalTarget(end.no)
      if (end.yes === end.no) block.end = { op: 'jump', to: end.yes }
    }
  }
  const reached = new Set<MachineBlock>([entry])
  const work = [entry]
  const ways = new Map<MachineBlock, number>()
  for (let block = work.pop(); block !== undefined; block = work.pop())
    for (const next of successors(block)) {
      ways.set(next, (ways.get(next) ?? 0) + 1)
      if (!reached.has(next)) {
        reached.add(next)
        work.push(next)
      }
    }
  fn.blocks = fn.blocks.filter((block) => reached.has(block))
  const gone = new Set<MachineBlock>()
  for (const block of fn.blocks) {
    if (gone.has(block)) continue
    while (
      block.end.op === 'jump' &&
      block.end.to !== entry &&
      block.end.to !== block &&
      ways.get(block.end.to) === 1
    ) {
      const next = block.end.to
      if (next.cold && !block.cold) break
      block.code.push(...next.code)
      block.end = next.end
      gone.add(next)
    }
  }
  fn.blocks = fn.blocks.filter((block) => !gone.has(block))
}
