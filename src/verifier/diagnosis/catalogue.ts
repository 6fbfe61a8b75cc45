import { KERNEL_OBJECT_ROWS } from './kernel-objects.ts'
import { RARER_MESSAGES } from './rarer-messages.ts'

/** The seven groups that Linux 7.3 sorts its reports into. */
export type DiagnosisCategory =
  | 'register type safety'
  | 'memory safety'
  | 'resource lifetime'
  | 'call type safety'
  | 'execution context'
  | 'program structure'
  | 'policy'

/** One kind of refusal: how it is recognised and what it means. */
export interface DiagnosisRow {
  /** Stable: scripts and documentation pages refer to it. */
  readonly code: string
  readonly category: DiagnosisCategory
  /** The verifier's line, of any of its versions. */
  readonly pattern: RegExp
  /** What happened, one sentence. */
  readonly cause: string
  /** What to do about it. */
  readonly suggestion: string
  /** Which register's history explains it; `none`: the history does not. */
  readonly follow?: 'register' | 'none'
  /** What the path should show: where the value came from, or where the reference was taken. */
  readonly born?: 'value' | 'reference'
}

const REGISTER: DiagnosisCategory = 'register type safety'
const MEMORY: DiagnosisCategory = 'memory safety'
const LIFETIME: DiagnosisCategory = 'resource lifetime'
const CALL: DiagnosisCategory = 'call type safety'
const CONTEXT: DiagnosisCategory = 'execution context'
const STRUCTURE: DiagnosisCategory = 'program structure'
const POLICY: DiagnosisCategory = 'policy'

/** In order of precedence: the first row whose pattern matches names the diagnosis. */
export const CATALOGUE: readonly DiagnosisRow[] = [
  ...KERNEL_OBJECT_ROWS,
  {
    code: 'pointer-not-null-checked',
    category: MEMORY,
    pattern: /invalid mem access '\w*_or_null'|arithmetic on \w+_or_null prohibited/,
    cause: 'A pointer that may be null is used before the program has compared it with 0.',
    suggestion:
      'Compare the pointer with 0 right after the call that gave it, leave on that branch, and use it only on the other.',
  },
  {
    code: 'scalar-dereferenced',
    category: REGISTER,
    pattern: /invalid mem access '(scalar|inv)'/,
    cause: 'A plain number is used as an address: it never was a pointer, or arithmetic made a number of it.',
    suggestion:
      'Read kernel memory through bpf_probe_read_kernel or a typed (BTF) pointer; keep real pointers in 64-bit registers and spill them whole.',
  },
  {
    code: 'pointer-dereferenced-wrongly',
    category: REGISTER,
    pattern: /invalid mem access '|cannot (read|write) (from|into) \w+|only read is supported/,
    cause: 'This kind of pointer cannot be read or written directly.',
    suggestion: 'Use the helper or field that gives access to what the pointer stands for.',
  },
  {
    code: 'register-not-initialised',
    category: REGISTER,
    pattern: /R\d+ !read_ok/,
    cause: 'A register is read that no instruction on this path has written, or that a call has clobbered (r0 to r5).',
    suggestion:
      'Write the register on every path to here; keep values that must survive a call in r6 to r9 or on the stack; set r0 before exit.',
  },
  {
    code: 'frame-pointer-written',
    category: REGISTER,
    pattern: /frame pointer is read only/,
    cause: 'r10 is the frame pointer and cannot be changed.',
    suggestion: 'Copy r10 into another register and change the copy.',
  },
  {
    code: 'packet-out-of-range',
    category: MEMORY,
    pattern: /invalid access to packet|offset is outside of the packet|misaligned packet access/,
    cause:
      'The packet is read past what was proved to be there: no comparison with data_end covers this access on this path, or a helper moved the packet since.',
    suggestion:
      'Compare this very pointer plus the size of the access with data_end on every path, and again after helpers that change the packet.',
  },
  {
    code: 'map-value-out-of-range',
    category: MEMORY,
    pattern: /invalid access to map (value|key)|outside of the allowed memory range|invalid access to memory/,
    cause: 'Offset plus size may pass the end (or the start) of the memory.',
    suggestion:
      'Bound the offset so that offset + access size stays within the value; the check must be on the register that is added.',
  },
  {
    code: 'unbounded-offset',
    category: MEMORY,
    pattern:
      /unbounded memory access|register with unbounded min value is not allowed|makes \w+ pointer be out of bounds/,
    cause: 'An index without a known upper or lower bound is added to a pointer.',
    suggestion:
      'Mask or compare the index first (index &= size - 1, or if (index >= size) return), on the register that is used, as an unsigned value.',
  },
  {
    code: 'negative-offset',
    category: MEMORY,
    pattern: /min value is negative/,
    cause: 'A size or an index may be negative: only its upper bound is known.',
    suggestion: 'Use an unsigned type, or mask it (value &= constant), or check that it is not below 0.',
  },
  {
    code: 'stack-out-of-range',
    category: MEMORY,
    pattern:
      /invalid (stack|write to stack|read from stack|variable-offset|unbounded variable-offset|zero-sized|indirect).*(R\d+ )?off|invalid stack|combined stack size|invalid (write|read)( to| from)? stack|invalid indirect (read|access)/,
    cause: 'The stack is used outside its 512 bytes, or bytes of it are read that were never written.',
    suggestion:
      'Zero whole structures (padding too) before use, keep offsets from -512 to -1, move large buffers into a per-CPU map.',
  },
  {
    code: 'stack-spill-partial',
    category: MEMORY,
    pattern:
      /invalid size of register (fill|spill)|corrupted spill|attempt to corrupt spilled pointer|leaking pointer from stack/,
    cause: 'A pointer on the stack is written or read in part.',
    suggestion: 'Spill and fill pointers with whole, aligned 8-byte accesses.',
  },
  {
    code: 'misaligned-access',
    category: MEMORY,
    pattern: /misaligned (stack|value|access|packet|pointer|.*) ?access|misaligned/,
    cause: 'The address is not a multiple of the size of the access.',
    suggestion:
      'Align the offset, read in smaller pieces, or load with any_alignment where the architecture allows it.',
  },
  {
    code: 'context-access',
    category: CONTEXT,
    pattern: /invalid bpf_context access|dereference of modified ctx ptr|invalid \w+ access off=|ctx access/,
    cause: 'This place of the context is no field that the program type may read or write at this width.',
    suggestion:
      'Use the fields of this program and attach type, at their own offset and width, through an unchanged context pointer.',
  },
  {
    code: 'read-only-memory-written',
    category: MEMORY,
    pattern: /write into map forbidden|read from map forbidden|cannot write into|write into \w+ (mem|buf) |rdonly/,
    cause: 'Memory is written that this program may only read (or the other way round).',
    suggestion: 'Write to a map without the read-only flag, or to a copy on the stack.',
  },
  {
    code: 'pointer-arithmetic',
    category: REGISTER,
    pattern:
      /pointer arithmetic|bitwise operator|pointer [+\-*/]= pointer|32-bit pointer|subtract pointer|subtraction from stack|arithmetic prohibited|math between|tried to (add|sub|subtract)|pointer operation/,
    cause: 'This operation would make an address that cannot be followed.',
    suggestion:
      'Only add or subtract bounded 64-bit numbers to a pointer; do other calculations on numbers before they are added.',
  },
  {
    code: 'pointer-comparison',
    category: REGISTER,
    pattern: /pointer comparison prohibited|leaks addr/,
    cause: "A kernel address would reach the program's results.",
    suggestion: "Compare pointers only with 0 or with the packet's end; return numbers.",
  },
  {
    code: 'reference-leak',
    category: LIFETIME,
    pattern:
      /Unreleased reference|reference leak|would lead to reference leak|BPF_EXIT instruction in main prog cannot be used inside/,
    cause: 'Something that was acquired is not released on every path to the exit.',
    suggestion: 'Release it (submit or discard the ring record, bpf_sk_release) on each path, early returns included.',
    born: 'reference',
  },
  {
    code: 'reference-misused',
    category: LIFETIME,
    pattern:
      /must be referenced when passed to release|reference has not been acquired|release function|expected to be|multiple reference/,
    cause: 'A value is released that holds no reference, or holds it no longer.',
    suggestion: 'Release exactly the pointer that the acquiring call gave, unchanged and once.',
  },
  {
    code: 'lock-misused',
    category: LIFETIME,
    pattern: /spin_lock|bpf_spin|function calls are not allowed while holding a lock|rcu_read_lock|preempt/,
    cause: 'A lock is taken, held or released where that is not allowed.',
    suggestion: 'Take one lock, do only plain memory accesses, release it on every path.',
  },
  {
    code: 'argument-type',
    category: CALL,
    pattern: /R\d+ type=\w* ?expected=|expected pointer to|arg#?\d+|is not a pointer|type mismatch|R\d+ must (have|be)/,
    cause: 'A helper gets an argument of a kind that it does not take.',
    suggestion:
      "Pass what the helper's signature asks for in this register; test pointers for null before passing them.",
  },
  {
    code: 'argument-size',
    category: CALL,
    pattern: /invalid zero-sized read|R\d+ is not a known constant|is not a const|zero-sized/,
    cause: 'A size may be 0, or must be a constant and is not one.',
    suggestion: 'Bound the size from below and above before the call, or pass a constant.',
  },
  {
    code: 'map-not-for-helper',
    category: CALL,
    pattern: /cannot pass map_type|expected prog array map|doesn't support|map_type \d+ for|only supports|invalid map/,
    cause: 'This helper does not work on this type of map.',
    suggestion: 'Use the helper that goes with the map type.',
  },
  {
    code: 'helper-not-available',
    category: CONTEXT,
    pattern:
      /unknown func|program of this type cannot use helper|helper call is not allowed|helper call might sleep|calling kernel function .* is not allowed/,
    cause: 'This program type (or attach type) cannot call this helper, or the kernel does not have it.',
    suggestion: 'Use a helper of this program type, or another program type; some need a sleepable program.',
    follow: 'none',
  },
  {
    code: 'core-not-resolved',
    category: CALL,
    pattern: /invalid func unknown#195896080|invalid CO-RE relocation|failed to resolve CO-RE/,
    cause: 'A CO-RE relocation did not find its type or field in this kernel, and the instruction was poisoned.',
    suggestion: 'Guard the access with a field-exists test, or give the kernel BTF that has the type.',
    follow: 'none',
  },
  {
    code: 'helper-unknown',
    category: CALL,
    pattern: /invalid func unknown|invalid func|invalid kfunc call|kfunc .* is referenced/,
    cause: 'No helper or kernel function has this number or name.',
    suggestion: 'Check the name, and the kernel version that brought it.',
    follow: 'none',
  },
  {
    code: 'gpl-only',
    category: POLICY,
    pattern: /GPL-restricted|GPL compatible/,
    cause: 'The helper is only for programs under a GPL-compatible licence.',
    suggestion: 'Declare a GPL-compatible licence, or do without the helper.',
    follow: 'none',
  },
  {
    code: 'return-value',
    category: CONTEXT,
    pattern:
      /should have been in \[|has value|can't modify return value|R0 is not a known value|At (program|callback|subprogram|async callback) (exit|return)/,
    cause: 'The value at exit is not one that this program type may return.',
    suggestion: 'Set r0 to an allowed value on every path; check values that come from helpers before returning them.',
  },
  {
    code: 'program-too-large',
    category: STRUCTURE,
    pattern: /program is too large|too many (processed )?(insns|instructions)|Processed \d+ insn/,
    cause: 'Following all paths took more than a million instructions: paths multiply.',
    suggestion:
      'Make branches meet again with equal states, bound loops tighter, move repeated code into global functions or bpf_loop callbacks, split with tail calls.',
    follow: 'none',
  },
  {
    code: 'jump-sequence-too-complex',
    category: STRUCTURE,
    pattern: /sequence of \d+ jumps is too complex/,
    cause: 'More branches wait to be followed than the verifier keeps.',
    suggestion: 'Reduce branches in sequence, or put parts into functions that are verified alone.',
    follow: 'none',
  },
  {
    code: 'infinite-loop',
    category: STRUCTURE,
    pattern: /infinite loop detected|(old|cur) state:/,
    cause: 'The loop comes back to a state that it had before: nothing bounds it.',
    suggestion: 'Count in a register with a constant limit, or use bpf_loop, an open-coded iterator or may_goto.',
    follow: 'none',
  },
  {
    code: 'back-edge',
    category: STRUCTURE,
    pattern: /back-edge from insn/,
    cause: 'The program jumps backwards, which kernels before 5.3 and unprivileged loads refuse.',
    suggestion: 'Unroll the loop, or load with CAP_BPF on Linux 5.3 or later.',
    follow: 'none',
  },
  {
    code: 'unreachable-code',
    category: STRUCTURE,
    pattern: /unreachable insn/,
    cause: 'No path leads to this instruction.',
    suggestion: 'Remove it, or mend the jump that should lead there.',
    follow: 'none',
  },
  {
    code: 'control-flow',
    category: STRUCTURE,
    pattern:
      /jump out of range|last insn is not an exit|invalid destination|jump into the middle|call to invalid|fall-?through|no program starts|invalid subprogram|btf func_info|func_info|number of funcs/,
    cause: 'The shape of the program is broken: a jump leaves its function, or a function does not end.',
    suggestion: 'Let jumps stay inside their function and end each function with exit or a jump.',
    follow: 'none',
  },
  {
    code: 'call-depth',
    category: STRUCTURE,
    pattern: /call stack of \d+ frames|frames? is too deep|recursi|tail_calls? .*not allowed|combined stack/,
    cause: 'Functions call each other too deep, or in a circle, or use too much stack together.',
    suggestion: 'At most 8 frames and 512 bytes of stack in all (256 below a tail call); no recursion.',
    follow: 'none',
  },
  {
    code: 'instruction-encoding',
    category: STRUCTURE,
    pattern:
      /reserved fields|unknown opcode|invalid shift|div by zero|invalid bpf_ld_imm64|BPF_ATOMIC|atomic|R\d+ is invalid|addr_space|unrecognized bpf_ld_imm64|uses invalid/,
    cause: 'The instruction itself is not valid: a field that must be 0, an unknown opcode, an impossible constant.',
    suggestion: 'Assemble it anew; do not write encodings by hand.',
    follow: 'none',
  },
  {
    code: 'format-string',
    category: CALL,
    pattern: /format string|fmt|Invalid format/,
    cause: 'The format string cannot be checked: not read-only, not terminated, or with conversions that do not exist.',
    suggestion: 'Keep it in .rodata, end it with a zero byte, use supported conversions.',
    follow: 'none',
  },
  {
    code: 'privilege',
    category: POLICY,
    pattern: /CAP_|not permitted|unpriv|prohibited for !root/,
    cause: 'This needs more privilege than the loader has.',
    suggestion: 'Load with CAP_BPF, and with CAP_PERFMON or CAP_NET_ADMIN for the program types that need them.',
    follow: 'none',
  },
  {
    code: 'program-attributes',
    category: POLICY,
    pattern: /can(not)? only be sleepable|can be sleepable|must provide btf_id|attach_btf|struct ops|attach to/,
    cause: "The program's type, flags and attach target do not go together.",
    suggestion: 'Give the attach target, and only flags that this program type takes.',
    follow: 'none',
  },
]

/** What a reason that no row knows is filed under. */
export const OTHER: DiagnosisRow = {
  code: 'other',
  category: STRUCTURE,
  pattern: /^/,
  cause: 'The verifier refuses this program.',
  suggestion: 'Read the log from its end backwards: the last instruction printed is the one that was refused.',
}

/** The row of a reason line. */
export function rowFor(message: string): DiagnosisRow {
  const row = CATALOGUE.find(({ pattern }) => pattern.test(message))
  if (row !== undefined) return row
  const code = RARER_MESSAGES.find(([pattern]) => pattern.test(message))?.[1]
  return CATALOGUE.find((known) => known.code === code) ?? OTHER
}
