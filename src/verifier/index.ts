/**
 * The verifier model: Linux 6.18's answer without the kernel. {@link verify} judges one program; what is not modelled is
 * `unsupported` and names itself, never a guess.
 */
export * from './diagnosis/index.ts'
export { KERNEL_FAULT } from './precision.ts'
export type * from './prototype.ts'
export { type VerifierResult, type VerifierVerdict, type VerifyOptions, verify } from './verify.ts'
