import { dominance } from './dominators.ts'
import type { Block, EdgeKind, FunctionGraph } from './graph.ts'

export interface DotOptions {
  /** The text of the instruction at a slot; undefined for the second slot of a 64-bit immediate load. */
  readonly text: (slot: number) => string | undefined
  /** Source lines to show before the instruction at a slot. */
  readonly source?: (slot: number) => readonly string[]
  /** Blocks drawn in total; what is beyond is left out and counted in the graph. Default 400. */
  readonly maxBlocks?: number
  /** Lines shown of each block. Default 40. */
  readonly maxLines?: number
  /** Characters shown of each line. Default 100. */
  readonly maxWidth?: number
}

export interface DotGraph {
  readonly dot: string
  /** Blocks that `maxBlocks` left out. */
  readonly omittedBlocks: number
  /** Lines that `maxLines` left out. */
  readonly omittedLines: number
}

const EDGE_STYLE: Readonly<Record<EdgeKind, string>> = {
  next: 'color="#b00020"',
  taken: 'color="#1b7f3b"',
  goto: 'color="#30475e"',
  may_goto: 'color="#7a4fb5", style=dashed',
}

/** A program's control flow in the DOT language: a cluster a function, a box a block, calls dotted, loop headers tinted. */
export function controlFlowDot(graphs: readonly FunctionGraph[], options: DotOptions): DotGraph {
  const maxBlocks = options.maxBlocks ?? 400
  const out = [
    'digraph program {',
    '  graph [fontname="Courier", fontsize=11, labeljust=l, ranksep=0.35, nodesep=0.3];',
    '  node [shape=box, fontname="Courier", fontsize=9, style=filled, fillcolor="#ffffff", color="#445566", margin="0.12,0.06"];',
    '  edge [fontname="Courier", fontsize=8, arrowsize=0.7];',
  ]
  let left = maxBlocks
  let omittedBlocks = 0
  let omittedLines = 0
  const drawn = new Set<string>()
  for (const [index, graph] of graphs.entries()) {
    const { loops } = dominance(graph)
    const headers = new Set(loops.map(({ header }) => header))
    const back = new Set(loops.flatMap(({ backEdges }) => backEdges))
    const blocks = graph.blocks.slice(0, left)
    const omitted = graph.blocks.length - blocks.length
    left -= blocks.length
    omittedBlocks += omitted
    if (blocks.length === 0) continue
    out.push(`  subgraph cluster_${index} {`, `    label=${quote(graph.name)}; color="#c8d0d8";`)
    for (const block of blocks) {
      const [label, cut] = blockLabel(block, options)
      omittedLines += cut
      drawn.add(id(graph, block.index))
      const fill = !block.reachable ? ', fillcolor="#dddddd"' : headers.has(block.index) ? ', fillcolor="#fff3d0"' : ''
      out.push(`    ${id(graph, block.index)} [label="${label}"${fill}];`)
    }
    if (omitted > 0)
      out.push(
        `    more_${graph.from} [shape=plaintext, fillcolor="#ffffff", label=${quote(`${omitted} more blocks are not drawn`)}];`,
      )
    for (const { successors } of blocks)
      for (const edge of successors) {
        if (edge.to >= blocks.length) continue
        const bold = back.has(edge) ? ', penwidth=2, constraint=true' : ''
        out.push(`    ${id(graph, edge.from)} -> ${id(graph, edge.to)} [${EDGE_STYLE[edge.kind]}${bold}];`)
      }
    out.push('  }')
  }
  for (const graph of graphs)
    for (const { slot, target, kind } of graph.calls) {
      const from = graph.blocks.find((block) => slot >= block.from && slot < block.to)
      const callee = graphs.find((other) => other.from === target)
      if (from === undefined || callee === undefined) continue
      const [tail, head] = [id(graph, from.index), id(callee, 0)]
      if (drawn.has(tail) && drawn.has(head))
        out.push(`  ${tail} -> ${head} [style=dotted, color="#888888", constraint=false, label="${kind}"];`)
    }
  out.push('}')
  return { dot: `${out.join('\n')}\n`, omittedBlocks, omittedLines }
}

function id(graph: FunctionGraph, block: number): string {
  return `b${graph.from}_${block}`
}

function blockLabel(block: Block, options: DotOptions): [label: string, omitted: number] {
  const maxLines = options.maxLines ?? 40
  const maxWidth = options.maxWidth ?? 100
  const lines: string[] = []
  for (let slot = block.from; slot < block.to; slot++) {
    const text = options.text(slot)
    if (text === undefined) continue
    for (const line of options.source?.(slot) ?? []) lines.push(line)
    lines.push(`${slot}: ${text}`)
  }
  const shown = lines.slice(0, maxLines)
  const omitted = lines.length - shown.length
  if (omitted > 0) shown.push(`… ${omitted} more lines`)
  const label = shown
    .map((line) => `${escapeText(line.length > maxWidth ? `${line.slice(0, maxWidth - 1)}…` : line)}\\l`)
    .join('')
  return [label, omitted]
}

function escapeText(text: string): string {
  // control characters have no place in a drawing
  return text.replace(/\p{Cc}/gu, ' ').replace(/[\\"]/g, (character) => `\\${character}`)
}

function quote(text: string): string {
  return `"${escapeText(text)}"`
}
