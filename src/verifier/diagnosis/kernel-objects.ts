/** Refusals about the kernel's own objects: kernel functions, trust, iterators, dynptrs, sections, lists and trees. */
import type { DiagnosisRow } from './catalogue.ts'

export const KERNEL_OBJECT_ROWS: readonly DiagnosisRow[] = [
  {
    code: 'kfunc-not-allowed',
    category: 'policy',
    pattern: /calling kernel function \w+ is not allowed|cannot call kernel function from non-GPL/,
    cause:
      'The kernel opens this function to other program types only, or only to programs under a GPL-compatible licence.',
    suggestion: 'Call it from a program of a type that may, or use a helper that does the same.',
    follow: 'none',
  },
  {
    code: 'pointer-not-trusted',
    category: 'resource lifetime',
    pattern:
      /must be referenced or trusted|must be a rcu pointer|Possibly NULL pointer passed to|invalid PTR_TO_BTF_ID register for type match/,
    cause:
      'The function needs an object that is known to be alive. This pointer was read from another object, may be null, or outlived the section that kept it.',
    suggestion:
      'Pass an argument of the program, or acquire the object (bpf_task_acquire and the like) inside an RCU section and test the result for null.',
    follow: 'register',
    born: 'value',
  },
  {
    code: 'kernel-type-mismatch',
    category: 'call type safety',
    pattern:
      /is of type \w* ?but \w+ is expected|kernel function \w+ args#\d+ |arg#\d+ is \w+ expected \w+ or socket|invalid kptr access/,
    cause: 'A pointer to one kernel struct is passed or stored where a pointer to another is needed.',
    suggestion: 'Pass a pointer to the struct that the signature names; walk to the member that is one.',
    follow: 'register',
    born: 'value',
  },
  {
    code: 'kernel-field-access',
    category: 'memory safety',
    pattern:
      /access beyond (struct|the end of member)|cannot access ptr member|doesn't have field at offset|is ptr_\w* (invalid|access)|Cannot access kernel 'struct|no write support to/,
    cause:
      'The load does not match a field of the struct that the pointer is known to point to, or the program writes to one that it may only read.',
    suggestion:
      'Read whole fields at their own offsets (CO-RE keeps them right); for anything else use bpf_probe_read_kernel.',
    follow: 'register',
    born: 'value',
  },
  {
    code: 'iterator-misused',
    category: 'resource lifetime',
    pattern:
      /expected (an initialized|uninitialized) iter_|pointer to an iterator|expected an RCU CS when using|cannot pass in iter |css_task_iter is only/,
    cause:
      'An iterator is moved on or destroyed before it was made, made twice in one place, or used after the section that it needs.',
    suggestion: 'Give each iterator a stack place of its own; make it, call next until null, destroy it on every path.',
    follow: 'none',
  },
  {
    code: 'dynptr-misused',
    category: 'resource lifetime',
    pattern: /dynptr|is an unacquired reference/i,
    cause:
      'A dynptr is used before it was made, after it was given back, made over another, or is of another kind than the helper takes.',
    suggestion:
      'Make it once at a fixed place on the stack, test what bpf_dynptr_data or bpf_dynptr_slice give for null, and give ring buffer dynptrs back on every path.',
    follow: 'none',
  },
  {
    code: 'section-unbalanced',
    category: 'execution context',
    pattern:
      /cannot be used inside bpf_(rcu_read_lock|preempt_disable|local_irq_save)-ed region|unmatched (rcu read unlock|attempt to enable preemption)|nested rcu read lock|irq flag|irq state out of order|requires RCU critical section/,
    cause:
      'A section of RCU, without preemption or without interrupts is not closed on every path, closed twice, or missing.',
    suggestion: 'Open and close the section in the same function, on every path, the innermost first.',
    follow: 'none',
  },
  {
    code: 'sleeps-in-section',
    category: 'execution context',
    pattern: /sleepable helper bpf_\w+#\d+ in |is sleepable within|must be sleepable to call/,
    cause:
      'A function that may sleep is called where the program must not: in a program that is not sleepable, or inside a section.',
    suggestion: 'Make the program sleepable (the section name ends in ".s"), or call the function outside the section.',
    follow: 'none',
  },
  {
    code: 'object-misused',
    category: 'resource lifetime',
    pattern:
      /allocated object|bpf_(list|rb)_(head|node|root)|non-owning|kptr|uptr|direct access to \w+ is disallowed|held lock and object|bpf_refcount|type ID argument/,
    cause:
      "An object of the program's own, or a pointer kept in a map, is used in a way that could lose or share it wrongly.",
    suggestion:
      'Hold the lock of the list or tree while touching it; move pointers in and out of maps with bpf_kptr_xchg; drop what comes out.',
    follow: 'register',
    born: 'reference',
  },
  {
    code: 'arena-misused',
    category: 'register type safety',
    pattern:
      /addr_space_cast|one arena per program|arena's user address|pointer to arena or scalar|arena cannot be combined|BPF_ATOMIC \w+ (into|from) R\d+ arena|JIT .*arena|from arena are not/,
    cause:
      'A program and its arena do not fit together: it names none or a second one, or uses a pointer into it as the compiled program cannot.',
    suggestion:
      'Name the one arena map in the program and map it before the load; declare pointers into it __arena, arguments of global functions __arg_arena; on x86 use no atomic and, or, xor that gives the old value.',
    follow: 'none',
  },
  {
    code: 'extension-mismatch',
    category: 'policy',
    pattern:
      /Cannot (replace static functions|recursively attach|extend fentry)|^Extension program |^Program extension|\(\) is not a global function|^\w+\(\) has \d+ args while|^Return type \w+ of |^arg\d+ (in )?\w+\(/,
    cause:
      'An extension (freplace) does not fit the function whose place it takes, or that function cannot be replaced.',
    suggestion:
      'Replace a global function, with the same arguments and result, and do nothing that its callers do not expect: no change of the packet, no sleeping, where the original does neither.',
    follow: 'none',
  },
  {
    code: 'attach-target-refused',
    category: 'policy',
    pattern:
      /attach to (unsupported|invalid) member|is not a supported struct|Attaching (tracing programs to function|fexit.fmod_ret to)|supported only for fentry|points to (disabled hook|wrong type name)|^attach_btf_id|must provide btf_id|^\w+ is not sleepable$|\(\) is not modifiable|modify return codes of BPF programs|^Subprog \w* doesn't exist|attach to exception callback|annotated with BTF|attachable to another BPF prog|nest tracing program|Cannot replace kernel functions|^The function \w* (has \d+ arguments|return type|arg\d+ type|with variable args|has malformed)/,
    cause: 'The kernel does not take programs for this target, or not this helper there.',
    suggestion:
      'Choose a target that the kernel takes: for a member of a struct look at what its kernel implements; hooks of the LSM and functions take sleepable programs only where they may sleep.',
    follow: 'none',
  },
]
