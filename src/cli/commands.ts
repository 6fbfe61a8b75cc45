import type { Command } from 'commander'

/** A subcommand with options of its own: its file is loaded only when it is the one that runs. */
export interface CommandRow {
  readonly name: string
  readonly summary: string
  /** The heading of `--help` that it stands under. */
  readonly group: string
  /** The module's `register` adds the command (and its subcommands) to the program. */
  readonly load: () => Promise<{ register(program: Command): void }>
}

/** Headings of `--help`, in their order. */
export const GROUPS = {
  write: 'Write programs:',
  check: 'Check and test:',
  inspect: 'Look into files:',
  kernel: 'The running kernel:',
  objects: "Kernel objects, in bpftool's words:",
  other: 'Other:',
} as const

/** All subcommands besides the nouns of words/nouns.ts (prog, map, link …), in the order of `--help`. */
export const COMMANDS: readonly CommandRow[] = [
  {
    name: 'init',
    group: GROUPS.write,
    summary: 'make a new project: a program, its test, package.json, CI',
    load: () => import('./init.ts'),
  },
  {
    name: 'build',
    group: GROUPS.write,
    summary: 'build the programs of a TypeScript module, show their instructions, write an object file',
    load: () => import('./build.ts'),
  },
  {
    name: 'asm',
    group: GROUPS.write,
    summary: "assemble text in LLVM's, the kernel's or the classic syntax",
    load: () => import('./asm.ts'),
  },
  {
    name: 'gen',
    group: GROUPS.write,
    summary: 'link objects, write skeletons, make minimal BTF for CO-RE',
    load: () => import('./gen.ts'),
  },
  {
    name: 'verify',
    group: GROUPS.check,
    summary: "say without a kernel whether the kernel's verifier will take programs, and why not",
    load: () => import('./verify.ts'),
  },
  {
    name: 'test',
    group: GROUPS.check,
    summary: 'run your BPF tests: in the emulator, in the kernel, or in both',
    load: () => import('./test.ts'),
  },
  {
    name: 'run',
    group: GROUPS.check,
    summary: 'run a program on packets: in the emulator, in the kernel, or in both',
    load: () => import('./run.ts'),
  },
  {
    name: 'emulate',
    group: GROUPS.check,
    summary: 'run programs in the emulator, without a kernel',
    load: () => import('./emulate.ts'),
  },
  {
    name: 'inspect',
    group: GROUPS.inspect,
    summary: 'show what an object file or a module holds',
    load: () => import('./inspect.ts'),
  },
  {
    name: 'disasm',
    group: GROUPS.inspect,
    summary: 'show the instructions of an object file or of hex bytes',
    load: () => import('./disasm.ts'),
  },
  {
    name: 'cfg',
    group: GROUPS.inspect,
    summary: 'show the control flow of an object file or of hex bytes',
    load: () => import('./cfg.ts'),
  },
  {
    name: 'load',
    group: GROUPS.kernel,
    summary: "load programs into the running kernel and show its verifier's answer",
    load: () => import('./load.ts'),
  },
  {
    name: 'tool',
    group: GROUPS.kernel,
    summary: 'run a ready tool: execsnoop, opensnoop, biolatency, profile …',
    load: () => import('./tool.ts'),
  },
  {
    name: 'top',
    group: GROUPS.kernel,
    summary: 'a live table of what the programs in the kernel cost',
    load: () => import('./top.ts'),
  },
  {
    name: 'doctor',
    group: GROUPS.kernel,
    summary: 'what of BPF works on this machine, what does not, and what to do',
    load: () => import('./doctor.ts'),
  },
  {
    name: 'completion',
    group: GROUPS.other,
    summary: 'print a completion script for bash, zsh or fish',
    load: () => import('./completion.ts'),
  },
  {
    name: 'conformance-plugin',
    group: GROUPS.other,
    summary: 'run one program of the bpf_conformance protocol',
    load: () => import('./conformance-plugin.ts'),
  },
]
