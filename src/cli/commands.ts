import type { Command } from 'commander'

/** A subcommand with options of its own: its file is loaded only when it is the one that runs. */
export interface CommandRow {
  readonly name: string
  readonly summary: string
  /** The module's `register` adds the command (and its subcommands) to the program. */
  readonly load: () => Promise<{ register(program: Command): void }>
}

/** All subcommands besides the nouns of words/nouns.ts (prog, map, link …), in the order of `--help`. */
export const COMMANDS: readonly CommandRow[] = [
  {
    name: 'build',
    summary: 'build the programs of a TypeScript module, show their instructions, write an object file',
    load: () => import('./build.ts'),
  },
  {
    name: 'top',
    summary: 'a live table of what the programs in the kernel cost',
    load: () => import('./top.ts'),
  },
  {
    name: 'tool',
    summary: 'run a ready tool: execsnoop, opensnoop, biolatency, profile …',
    load: () => import('./tool.ts'),
  },
  {
    name: 'init',
    summary: 'make a new project: a program, its test, package.json, CI',
    load: () => import('./init.ts'),
  },
  {
    name: 'doctor',
    summary: 'what of BPF works on this machine, what does not, and what to do',
    load: () => import('./doctor.ts'),
  },
  {
    name: 'verify',
    summary: "say without a kernel whether the kernel's verifier will take programs, and why not",
    load: () => import('./verify.ts'),
  },
  {
    name: 'disasm',
    summary: 'show the instructions of an object file or of hex bytes',
    load: () => import('./disasm.ts'),
  },
  {
    name: 'asm',
    summary: "assemble text in LLVM's, the kernel's or the classic syntax",
    load: () => import('./asm.ts'),
  },
  {
    name: 'cfg',
    summary: 'show the control flow of an object file or of hex bytes',
    load: () => import('./cfg.ts'),
  },
  {
    name: 'completion',
    summary: 'print a completion script for bash, zsh or fish',
    load: () => import('./completion.ts'),
  },
  {
    name: 'load',
    summary: "load programs into the running kernel and show its verifier's answer",
    load: () => import('./load.ts'),
  },
  {
    name: 'run',
    summary: 'run a program on packets: in the emulator, in the kernel, or in both',
    load: () => import('./run.ts'),
  },
  {
    name: 'test',
    summary: 'run your BPF tests: in the emulator, in the kernel, or in both',
    load: () => import('./test.ts'),
  },
  {
    name: 'emulate',
    summary: 'run programs in the emulator, without a kernel',
    load: () => import('./emulate.ts'),
  },
  {
    name: 'conformance-plugin',
    summary: 'run one program of the bpf_conformance protocol',
    load: () => import('./conformance-plugin.ts'),
  },
  {
    name: 'inspect',
    summary: 'show what an object file or a module holds',
    load: () => import('./inspect.ts'),
  },
  {
    name: 'gen',
    summary: 'link objects, write skeletons, make minimal BTF for CO-RE',
    load: () => import('./gen.ts'),
  },
]
