/** Control flow: blocks and edges of each function, dominators and natural loops, drawings in the DOT language. */
export * from './dominators.ts'
export * from './dot.ts'
export * from './graph.ts'
