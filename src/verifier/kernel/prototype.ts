/**
 * The contract between the verifier's engine and its fact tables (src/verifier/tables, src/uapi): the shape of a helper's
 * or kfunc's signature, of one legal context access and of a return range. Names are the kernel's own (enum bpf_arg_type,
 * enum bpf_return_type, enum bpf_reg_type, enum bpf_type_flag of include/linux/bpf.h), without their BPF_ prefix.
 */

/** Base of enum bpf_arg_type. */
export type ArgumentBase =
  | 'ARG_DONTCARE'
  | 'ARG_CONST_MAP_PTR'
  | 'ARG_PTR_TO_MAP_KEY'
  | 'ARG_PTR_TO_MAP_VALUE'
  | 'ARG_PTR_TO_MEM'
  | 'ARG_PTR_TO_ARENA'
  | 'ARG_CONST_SIZE'
  | 'ARG_CONST_SIZE_OR_ZERO'
  | 'ARG_PTR_TO_CTX'
  | 'ARG_ANYTHING'
  | 'ARG_PTR_TO_SPIN_LOCK'
  | 'ARG_PTR_TO_SOCK_COMMON'
  | 'ARG_PTR_TO_SOCKET'
  | 'ARG_PTR_TO_BTF_ID'
  | 'ARG_PTR_TO_RINGBUF_MEM'
  | 'ARG_CONST_ALLOC_SIZE_OR_ZERO'
  | 'ARG_PTR_TO_BTF_ID_SOCK_COMMON'
  | 'ARG_PTR_TO_PERCPU_BTF_ID'
  | 'ARG_PTR_TO_FUNC'
  | 'ARG_PTR_TO_STACK'
  | 'ARG_PTR_TO_CONST_STR'
  | 'ARG_PTR_TO_TIMER'
  | 'ARG_KPTR_XCHG_DEST'
  | 'ARG_PTR_TO_DYNPTR'

/** Base of enum bpf_return_type. */
export type ReturnBase =
  | 'RET_INTEGER'
  | 'RET_VOID'
  | 'RET_PTR_TO_MAP_VALUE'
  | 'RET_PTR_TO_SOCKET'
  | 'RET_PTR_TO_TCP_SOCK'
  | 'RET_PTR_TO_SOCK_COMMON'
  | 'RET_PTR_TO_MEM'
  | 'RET_PTR_TO_MEM_OR_BTF_ID'
  | 'RET_PTR_TO_BTF_ID'

/** enum bpf_type_flag. */
export type TypeFlag =
  | 'PTR_MAYBE_NULL'
  | 'MEM_RDONLY'
  | 'MEM_RINGBUF'
  | 'MEM_USER'
  | 'MEM_PERCPU'
  | 'OBJ_RELEASE'
  | 'PTR_UNTRUSTED'
  | 'MEM_UNINIT'
  | 'DYNPTR_TYPE_LOCAL'
  | 'DYNPTR_TYPE_RINGBUF'
  | 'DYNPTR_TYPE_SKB'
  | 'DYNPTR_TYPE_XDP'
  | 'DYNPTR_TYPE_SKB_META'
  | 'DYNPTR_TYPE_FILE'
  | 'MEM_FIXED_SIZE'
  | 'MEM_ALLOC'
  | 'PTR_TRUSTED'
  | 'MEM_RCU'
  | 'NON_OWN_REF'
  | 'MEM_WRITE'
  | 'MEM_ALIGNED'

export interface ArgumentType {
  readonly base: ArgumentBase
  /** The kernel's flags exactly, so ARG_PTR_TO_UNINIT_MEM is ARG_PTR_TO_MEM with MEM_UNINIT and MEM_WRITE. */
  readonly flags?: readonly TypeFlag[]
  /** Bytes, with MEM_FIXED_SIZE (arg1_size … arg5_size). */
  readonly size?: number
  /** Struct name that an ARG_PTR_TO_BTF_ID wants (arg1_btf_id …), absent when any is taken. */
  readonly btfType?: string
}

export interface ReturnType {
  readonly base: ReturnBase
  readonly flags?: readonly TypeFlag[]
  /** Struct name of a RET_PTR_TO_BTF_ID. */
  readonly btfType?: string
}

/** One helper as the kernel's struct bpf_func_proto describes it, for one program type. */
export interface HelperPrototype {
  readonly id: number
  /** Without the bpf_ prefix: `map_lookup_elem`. */
  readonly name: string
  /** Up to five, in order; a missing one is ARG_DONTCARE. */
  readonly arguments: readonly ArgumentType[]
  readonly returns: ReturnType
  readonly gplOnly?: boolean
  /** bpf_helper_changes_pkt_data(): packet pointers die with the call. */
  readonly changesPacket?: boolean
  readonly mightSleep?: boolean
  /** bpf_func_proto.pkt_access: a packet pointer may be passed as memory. */
  readonly packetAccess?: boolean
  /** is_acquire_function() without regard to a map argument; map_lookup_elem on a sockmap is the engine's business. */
  readonly acquires?: boolean
  /** bpf_func_proto.allow_fastcall: registers 1 to 5 survive a spill pattern around the call. */
  readonly fastcall?: boolean
  /**
   * bpf_func_proto.allowed() that this program fails: `helper call is not allowed in probe`.
   * Absent or true: allowed.
   */
  readonly allowed?: boolean
}

/** Everything of a program that a fact may depend on. */
export interface ProgramFacts {
  /** enum bpf_prog_type. */
  readonly type: number
  /** enum bpf_attach_type. */
  readonly expectedAttachType: number
  /** BPF_F_SLEEPABLE. */
  readonly sleepable: boolean
  /** The kernel knows the addresses of its variables (CONFIG_KALLSYMS_ALL). Absent: not known. */
  readonly symbolsOfVariables?: boolean
  /** Row of the recorded targets (`tracing-raw_tp`), of programs that have an attach target. */
  readonly targetKey?: string
  /** Target's name (tracing, LSM, struct_ops member, iterator). */
  readonly attachTo?: string
}

/** enum bpf_reg_type as a context load may give it. */
export type ContextRegister =
  | 'SCALAR_VALUE'
  | 'PTR_TO_PACKET'
  | 'PTR_TO_PACKET_META'
  | 'PTR_TO_PACKET_END'
  | 'PTR_TO_FLOW_KEYS'
  | 'PTR_TO_SOCKET'
  | 'PTR_TO_SOCKET_OR_NULL'
  | 'PTR_TO_SOCK_COMMON'
  | 'PTR_TO_SOCK_COMMON_OR_NULL'
  | 'PTR_TO_TCP_SOCK'
  | 'PTR_TO_TCP_SOCK_OR_NULL'
  | 'PTR_TO_XDP_SOCK'
  | 'PTR_TO_XDP_SOCK_OR_NULL'
  | 'PTR_TO_MEM'
  | 'PTR_TO_BUF'
  | 'PTR_TO_TP_BUFFER'
  | 'PTR_TO_BTF_ID'

/** A legal context access (bpf_verifier_ops.is_valid_access said yes); an illegal one is `undefined`. */
export interface ContextAccess {
  readonly register: ContextRegister
  /** Type flags of the result, such as PTR_TRUSTED or PTR_MAYBE_NULL of a BTF pointer. */
  readonly flags?: readonly TypeFlag[]
  /** Struct name of a PTR_TO_BTF_ID. */
  readonly btfType?: string
  /** Size of a PTR_TO_MEM, bytes. */
  readonly memSize?: number
  /** The load of a LSM or tracing return value is bounded by the hook's range. */
  readonly isReturnValue?: boolean
  /** Not modelled: the engine answers `unsupported` with these words. */
  readonly unsupported?: string
}

/** One context field as a row; {@link ContextAccess} answers are computed from these. Offsets and sizes in bytes. */
export interface ContextField {
  readonly name: string
  readonly offset: number
  readonly size: number
  readonly register?: ContextRegister
  readonly flags?: readonly TypeFlag[]
  readonly btfType?: string
  /** Reads narrower than `size` are legal (bpf_ctx_narrow_access_ok). */
  readonly narrow?: boolean
  readonly read?: boolean
  readonly write?: boolean
  /** Attach types that have the field; absent: all. */
  readonly attachTypes?: readonly number[]
}

/** What R0 may hold at exit. */
export interface ReturnRange {
  /** Signed bounds, inclusive. */
  readonly minimum: number
  readonly maximum: number
  /** Only the low 32 bits are held against the range (bpf_retval_range.return_32bit). */
  readonly return32: boolean
}

/**
 * What the tables answer to the engine. src/verifier/tables/index.ts exports one object of this type, `tables`.
 * - `helper`: the prototype, `undefined` when this program type cannot use the helper.
 * - `helperName`: name without prefix of any helper the kernel has, `undefined` for an unknown number.
 * - `context`: `undefined` for an illegal access.
 * - `returns`: `undefined` when R0 is not restricted; `{unsupported}` when the program cannot be judged.
 * - `programTypes`: false when this model cannot judge the type at all (the words say why).
 */
export interface VerifierTables {
  helper(program: ProgramFacts, id: number): HelperPrototype | undefined
  helperName(id: number): string | undefined
  /** bpf_helper_changes_pkt_data(), whether or not a program may call the helper. */
  changesPacket(id: number): boolean
  context(
    program: ProgramFacts,
    offset: number,
    size: number,
    write: boolean,
    signExtending: boolean,
  ): ContextAccess | undefined
  returns(program: ProgramFacts): ReturnRange | { readonly unsupported: string } | undefined
  unsupportedProgram(program: ProgramFacts): string | undefined
  /** See ProfileTargets. */
  tracepointNulls(name: string): number | undefined
  /** A kernel function is open to this program; undefined where that was not recorded. */
  mayCallKfunc(program: ProgramFacts, name: string): boolean | undefined
}
