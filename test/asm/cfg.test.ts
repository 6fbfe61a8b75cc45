import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  assembleBytes,
  controlFlow,
  controlFlowDot,
  decodeSlots,
  dominance,
  encodeInstructions,
  type FunctionGraph,
} from '../../src/asm/index.ts'
import { InputError } from '../../src/errors/index.ts'
import { validInstruction } from './forms.ts'

const graphs = (text: string): FunctionGraph[] => controlFlow(decodeSlots(assembleBytes(text)))

const shape = (graph: FunctionGraph): string[] =>
  graph.blocks.map(
    ({ from, to, successors, reachable }) =>
      `${from}-${to} ${successors.map((edge) => `${edge.kind}:${graph.blocks[edge.to].from}`).join(' ')}${reachable ? '' : ' dead'}`,
  )

describe('the control-flow graph', () => {
  test('blocks, edges and unreachable code', () => {
    const [graph] = graphs(`
      r0 = 0
      r1 = 5 ll
      if r1 == 5 goto out
      r0 = 1
      goto out
      r0 = 2
    out: exit`)
    expect(shape(graph)).toEqual(['0-4 next:4 taken:7', '4-6 goto:7', '6-7 next:7 dead', '7-8 '])
    expect(graph.fallsOut).toBe(false)
  })

  test('nested loops, their headers and depths', () => {
    const [graph] = graphs(`
      r0 = 0
    outer: r1 = 0
    inner: r1 += 1
      if r1 < 5 goto inner
      r0 += 1
      if r0 < 5 goto outer
      exit`)
    const { loops, irreducible } = dominance(graph)
    const at = (block: number) => graph.blocks[block].from
    expect(loops.map(({ header, blocks, depth }) => [at(header), blocks.map(at), depth])).toEqual([
      [1, [1, 2, 4], 1],
      [2, [2], 2],
    ])
    expect(irreducible).toEqual([])
  })

  test('a cycle with two entries is no natural loop', () => {
    const [graph] = graphs(`
      if r1 == 0 goto b
    a: r0 = 1
    b: r0 = 2
      if r0 == 0 goto a
      exit`)
    const { loops, irreducible } = dominance(graph)
    expect(loops).toEqual([])
    expect(irreducible.map(({ from, to }) => [graph.blocks[from].from, graph.blocks[to].from])).toEqual([[2, 1]])
  })

  test('subprograms, calls, callbacks and jumps that leave their function', () => {
    const all = graphs(`
      call f
      r1 = g ll
      goto +1
      exit
    f: goto +5
    g: may_goto -1
      r0 = 0`)
    expect(all.map(({ name, from, to }) => [name, from, to])).toEqual([
      ['main', 0, 5],
      ['subprog_5', 5, 6],
      ['subprog_6', 6, 8],
    ])
    expect(all[0].calls).toEqual([
      { slot: 0, target: 5, kind: 'call' },
      { slot: 1, target: 6, kind: 'callback' },
    ])
    expect(all[0].strays).toEqual([{ slot: 3, target: 5, reason: 'outside' }])
    expect(all[1].strays).toEqual([{ slot: 5, target: 11, reason: 'outside' }])
    expect(all[2].blocks[0].successors.map(({ kind }) => kind)).toEqual(['next', 'may_goto'])
    expect(all[2].fallsOut).toBe(true)
  })

  test('a jump into the second half of a 64-bit load is named', () => {
    const [graph] = graphs('r1 = 5 ll\ngoto -2\nexit')
    expect(graph.strays).toEqual([{ slot: 2, target: 1, reason: 'inside-wide' }])
  })

  test('a function outside the program is an error', () => {
    const slots = decodeSlots(assembleBytes('exit'))
    expect(() => controlFlow(slots, { functions: [{ name: 'f', slot: 1 }] })).toThrow(InputError)
    expect(controlFlow(decodeSlots(new Uint8Array(0)))).toEqual([])
  })

  test('blocks tile each function, edges agree both ways, dominators are those of the definition', () => {
    let loops = 0
    const instruction = fc.oneof(
      validInstruction,
      fc
        .tuple(fc.constantFrom(0x05, 0x15, 0x1d, 0x06, 0xe5), fc.integer({ min: -12, max: 12 }))
        .map(([opcode, to]) => ({
          opcode,
          dst: 0,
          src: 0,
          offset: opcode === 0x06 ? 0 : to,
          imm: opcode === 0x06 ? to : 0,
        })),
    )
    fc.assert(
      fc.property(fc.array(instruction, { minLength: 1, maxLength: 24 }), (instructions) => {
        for (const graph of controlFlow(decodeSlots(encodeInstructions(instructions)))) {
          let at = graph.from
          for (const { from, to, index, successors } of graph.blocks) {
            expect(from).toBe(at)
            expect(to).toBeGreaterThan(from)
            at = to
            for (const edge of successors) {
              expect(edge.from).toBe(index)
              expect(graph.blocks[edge.to].predecessors).toContain(edge)
            }
          }
          expect(at).toBe(graph.to)
          const { immediate, loops: found } = dominance(graph)
          loops += found.length
          for (const { index, reachable } of graph.blocks) {
            if (!reachable) {
              expect(immediate[index]).toBe(-1)
              continue
            }
            // by definition: d dominates b when b cannot be reached without d
            const chain = new Set([index])
            for (let d = index; d !== 0; d = immediate[d]) chain.add(immediate[d])
            for (const { index: d, reachable: there } of graph.blocks)
              if (there) expect(chain.has(d)).toBe(d === index || !reachableWithout(graph, index, d))
          }
        }
      }),
      { numRuns: 1500 },
    )
    expect(loops).toBeGreaterThan(50)
  })

  test('the drawing names every block, escapes its text, and is cut where asked', () => {
    const [graph] = graphs('if r1 == 0 goto a\nr0 = 1\na: exit')
    const text = (slot: number) => `say "${slot}" \\ \u0007`
    const { dot, omittedBlocks } = controlFlowDot([graph], { text })
    expect(dot).toContain('b0_0 [label="0: say \\"0\\" \\\\  \\l"]')
    expect(dot.match(/b0_\d+ \[label/g)).toHaveLength(3)
    expect(dot.match(/->/g)).toHaveLength(3)
    expect(omittedBlocks).toBe(0)
    const cut = controlFlowDot([graph], { text, maxBlocks: 2 })
    expect(cut.omittedBlocks).toBe(1)
    expect(cut.dot).toContain('1 more blocks are not drawn')
    expect(cut.dot).not.toContain('b0_2')
  })
})

function reachableWithout(graph: FunctionGraph, block: number, without: number): boolean {
  if (without === 0) return false
  const seen = new Set([0])
  const stack = [0]
  for (let at = stack.pop(); at !== undefined; at = stack.pop())
    for (const { to } of graph.blocks[at].successors)
      if (to !== without && !seen.has(to)) {
        seen.add(to)
        stack.push(to)
      }
  return seen.has(block)
}
