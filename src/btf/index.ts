/**
 * BTF, the kernel's type information: read lazily ({@link Btf}), written with dedup ({@link BtfBuilder}), merged; ext info
 * (functions, lines, CO-RE relocations); CO-RE resolution; dumps as C, TypeScript, JSON and bpftool's raw text.
 */
export { Btf, type BtfOptions } from './btf.ts'
export { type BtfExt, type CoreInfo, type FuncInfo, type LineInfo, packPlace, readBtfExt, writeBtfExt } from './ext.ts'
export { BtfBuilder, StringTable } from './builder.ts'
export { type MergedBtf, type MergeInput, mergeBtf } from './merge.ts'
export * from './types.ts'
