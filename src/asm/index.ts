/** The instruction: model, encoding and decoding, assemblers, disassembler, control-flow graph. */
export * from './instruction.ts'
