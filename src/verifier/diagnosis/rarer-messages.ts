/** Messages that few programs get, by the code whose cause and cure fit them; asked after the catalogue's own patterns. */
export const RARER_MESSAGES: readonly (readonly [pattern: RegExp, code: string])[] = [
  [/^verifier (bug|internal error)/, 'other'],
  [/spin_(un)?lock|res_spin|deadlock|_lock has to be|'struct \w+_lock'|of different lock/, 'lock-misused'],
  [/bpf_timer|bpf_wq|timer pointer|workqueue pointer/, 'object-misused'],
  [
    /not found at offset|in rbtree cb|unnecessary rbtree callback|_obj_new|has to be at the constant offset/,
    'object-misused',
  ],
  [/cannot be accessed (in)?directly|access size must be BPF_DW|access cannot have variable offset/, 'object-misused'],
  [/iter pointer|expected (an initialized|uninitialized) /, 'iterator-misused'],
  [/sleepable helper|may sleep are not allowed/, 'sleeps-in-section'],
  [
    /pointer prohibited|pointer offset .* is not allowed|negative offset .* ptr|dereference of modified|^variable \w+ access/,
    'pointer-arithmetic',
  ],
  [/stack pointer to the caller|cannot spill pointers to stack|stack R\d+/, 'stack-out-of-range'],
  [/ buffer access| buffer offset|invalid access to flow keys/, 'map-value-out-of-range'],
  [
    /may write into memory|write to change key|writes to packet data|access to the packet is not allowed/,
    'read-only-memory-written',
  ],
  [
    /only read from|only access to bpf_dummy_ops_state|write access at off|map_ptr access|negative access/,
    'kernel-field-access',
  ],
  [/readonly map|value access on string|zero-terminated/, 'format-string'],
  [
    /sockmap\/sockhash|direct value|total number of maps|cgroup storage of each type|fd_array|valid bpf_map|not allowed for map|isn't map pointer/,
    'map-not-for-helper',
  ],
  [
    /not supported for program type|device-bound|is not a function|valid func_proto|returns pointer type/,
    'helper-not-available',
  ],
  [/not allowed for this program type|R6 != pointer to skb/, 'helper-not-available'],
  [/more than one arg with ref_obj_id|expects refcounted/, 'reference-misused'],
  [
    /is not a scalar|not a scalar value|Caller passes invalid args|^Arg#|^Global function|^Function \w+ has/,
    'argument-type',
  ],
  [/not a known value/, 'return-value'],
  [
    /static function instead|too many subprograms|exception c(allback|b)|callback function not static|cannot be called from callback/,
    'control-flow',
  ],
  [/line_info|LD_ABS|tail_call is|insn idx|__bpf_trap|kernel function call not eliminated/, 'control-flow'],
  [/stack size of subprog/, 'call-depth'],
  [
    /may_goto imm|BPF_(JMP|ALU|LD)|ldimm64|same insn cannot be used|unable to resolve the size|invalid BPF_/,
    'instruction-encoding',
  ],
]
