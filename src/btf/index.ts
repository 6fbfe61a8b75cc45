/**
 * BTF, the kernel's type information: read lazily ({@link Btf}), written with dedup ({@link BtfBuilder}), merged; ext info
 * (functions, lines, CO-RE relocations); CO-RE resolution; dumps as C, TypeScript, JSON and bpftool's raw text.
 */
export { Btf, type BtfOptions } from './btf.ts'
export { BtfBuilder, StringTable } from './builder.ts'
export { CoreResolver, type CoreTarget } from './core.ts'
export { type AppliedCore, applyCore, POISON_CALL } from './core-apply.ts'
export { CORE_KIND, CORE_KIND_NAMES, essentialName } from './core-names.ts'
export { typesCompatible } from './core-types.ts'
export type { CoreResult } from './core-values.ts'
export { CDump, dumpC, dumpCBytes } from './dump-c.ts'
export { dumpKernelTypes } from './dump-kernel-ts.ts'
export { dumpJson, dumpRaw, jsonType, rawText } from './dump-raw.ts'
export { dumpTypeScript, typeScriptLayouts } from './dump-ts.ts'
export {
  type BtfExt,
  type CoreInfo,
  type FuncInfo,
  type LineInfo,
  NOWHERE,
  packPlace,
  readBtfExt,
  writeBtfExt,
} from './ext.ts'
export { readHeader } from './header.ts'
export { type MergedBtf, type MergeInput, mergeBtf } from './merge.ts'
export { minimalCoreBtf } from './minimal.ts'
export { type SimplerBtf, simplerBtf } from './older.ts'
export * from './types.ts'
