/** Numbers of the ELF format (gABI; only those used here). */
export const ELF_TYPE = { rel: 1, exec: 2, dyn: 3 } as const
export const ELF_MACHINE = { none: 0, x86_64: 62, aarch64: 183, riscv: 243, bpf: 247 } as const
export const SECTION_TYPE = {
  null: 0,
  progbits: 1,
  symtab: 2,
  strtab: 3,
  rela: 4,
  note: 7,
  nobits: 8,
  rel: 9,
  dynsym: 11,
  symtabShndx: 18,
} as const
export const SECTION_FLAG = { write: 1, alloc: 2, execinstr: 4, merge: 0x10, strings: 0x20 } as const
/** Special section indices of symbols. */
export const SECTION_INDEX = { undef: 0, loreserve: 0xff00, abs: 0xfff1, common: 0xfff2, xindex: 0xffff } as const
export const SYMBOL_BIND = { local: 0, global: 1, weak: 2 } as const
export const SYMBOL_TYPE = { notype: 0, object: 1, func: 2, section: 3, file: 4, tls: 6, gnuIfunc: 10 } as const
export const SYMBOL_VISIBILITY = { default: 0, internal: 1, hidden: 2, protected: 3 } as const
export const PROGRAM_HEADER_TYPE = { load: 1, dynamic: 2, interp: 3, note: 4 } as const
/** Relocation types of BPF objects (LLVM's R_BPF_*). */
export const RELOCATION = { none: 0, r64_64: 1, r64_abs64: 2, r64_abs32: 3, r64_nodyld32: 4, r64_32: 10 } as const
