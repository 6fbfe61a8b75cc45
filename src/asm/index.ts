/**
 * The instruction: model, encoding and decoding, assemblers, disassembler, control-flow graph.
 *
 * {@link decodeInstructions}/{@link encodeInstructions} turn bytes into {@link Instruction} values and back;
 * {@link decodeSlots} gives flat arrays for fast walks. {@link Assembler} writes programs call by call,
 * {@link linkFunctions} resolves labels and calls.
 */
export * from './assembler.ts'
export * from './call-site.ts'
export * from './cfg/index.ts'
export * from './codec.ts'
export * from './instruction.ts'
export * from './link.ts'
export * from './listing.ts'
export * from './operations.ts'
export * from './registers.ts'
export * from './slots.ts'
export * from './text/assemble.ts'
export type { TextMap } from './text/directives.ts'
export * from './text/kernel.ts'
export * from './text/llvm.ts'
export * from './validity.ts'
