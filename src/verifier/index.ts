/**
 * The verifier model: Linux 6.18's answer without the kernel. {@link verify} judges one program; what is not modelled is
 * `unsupported` and names itself, never a guess.
 *
 * program/ what is known before the walk (structure, control flow, stack, targets); kernel/ what the kernel's types, helpers and
 * maps are; scalars/ numbers and their bounds; state/ registers, frames, precision, pruning; memory/ what pointers reach;
 * calls/ helpers, kernel functions, functions of the program; walk/ instruction by instruction; log/ the kernel's log;
 * diagnosis/ a refusal in a user's words; tables/ facts of Linux 6.18.
 */
export * from './diagnosis/index.ts'
export type * from './kernel/prototype.ts'
export { KERNEL_FAULT } from './state/precision.ts'
export { type VerifierResult, type VerifierVerdict, type VerifyOptions, verify } from './verify.ts'
