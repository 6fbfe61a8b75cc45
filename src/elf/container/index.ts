/**
 * Any ELF file: sections, symbols, relocations, notes, segments, both classes and byte orders. Every number is checked
 * against the file's length. BPF objects are one use (src/elf), binaries to probe another (uprobes, USDT).
 */
export * from './constants.ts'
export * from './elf-file.ts'
export * from './elf-writer.ts'
