import { type MachineBlock, type MachineFunction, numberBlocks } from './machine.ts'

/** Removes unreachable blocks, jumps over blocks without code, and joins blocks with one way in. */
export function cleanGraph(fn: MachineFunction): void {
  const entry = fn.blocks[0]
  numberBlocks(fn)
  for (const block of fn.blocks) {
    const { end } = block
    if (end.op === 'jump') end.to = finalTarget(end.to)
    else if (end.op === 'branch') {
      end.yes = finalTarget(end.yes)
      end.no = finalTarget(end.no)
      if (end.yes === end.no) block.end = { op: 'jump', to: end.yes }
    }
  }
  // how many ways lead into each block; none: it is not reached
  const ways = new Int32Array(fn.blocks.length)
  const reached = new Uint8Array(fn.blocks.length)
  reached[0] = 1
  const work = [entry]
  const reach = (block: MachineBlock): void => {
    ways[block.at]++
    if (reached[block.at] !== 0) return
    reached[block.at] = 1
    work.push(block)
  }
  for (let block = work.pop(); block !== undefined; block = work.pop()) {
    const { end } = block
    if (end.op === 'jump') reach(end.to)
    else if (end.op === 'branch') {
      reach(end.yes)
      reach(end.no)
    }
  }
  for (const block of fn.blocks) {
    if (reached[block.at] === 0) continue
    while (block.end.op === 'jump') {
      const next: MachineBlock = block.end.to
      if (next === entry || next === block || ways[next.at] !== 1 || (next.cold && !block.cold)) break
      for (const instruction of next.code) block.code.push(instruction)
      block.end = next.end
      reached[next.at] = 0
    }
  }
  let kept = 0
  for (const block of fn.blocks) if (reached[block.at] !== 0) fn.blocks[kept++] = block
  fn.blocks.length = kept
}

/** Where a jump to this block ends up. */
function finalTarget(block: MachineBlock): MachineBlock {
  if (block.code.length > 0 || block.end.op !== 'jump') return block
  const seen = new Set<MachineBlock>()
  while (block.code.length === 0 && block.end.op === 'jump' && !seen.has(block)) {
    seen.add(block)
    block = block.end.to
  }
  return block
}
