/** The section of variables that live in the object's one arena (clang's address space 1). */
export const ARENA_SECTION = '.addr_space.1'

/** The section of addresses for indirect jumps (clang 21 and later): code that refers to it is read and cannot be linked. */
export const JUMP_TABLES = '.jumptables'

/** A map as data: what BPF_MAP_CREATE needs plus its first contents. Immutable. */
export interface MapSpec {
  /** At most 15 bytes reach the kernel. */
  readonly name: string
  /** What the kernel is told instead of `name` (`prog.rodata` where the object itself says `.rodata`). */
  readonly kernelName?: string
  /** enum bpf_map_type. */
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  /** BPF_F_* of BPF_MAP_CREATE. */
  readonly flags: number
  /** map_extra: bloom filter hash functions, arena address. */
  readonly mapExtra?: bigint
  readonly numaNode?: number
  /** Type ids in the BTF of the object or program that has this map; 0 or absent: none. */
  readonly btfKeyTypeId?: number
  readonly btfValueTypeId?: number
  /** Template of the inner map, for array_of_maps and hash_of_maps. */
  readonly inner?: MapSpec
  /** BPF_MAP_FREEZE after `contents` are written. */
  readonly frozen?: boolean
  /** Key and value bytes written before the load. For prog_array and map-in-map see `slots`. */
  readonly contents?: readonly (readonly [key: Uint8Array, value: Uint8Array])[]
  /** For prog_array and map-in-map: key bytes and the name of the program or map that goes there. */
  readonly slots?: readonly (readonly [key: Uint8Array, target: string])[]
  /** LIBBPF_PIN_BY_NAME. A number is another loader's own kind (Cilium's 16): kept, and not acted on. */
  readonly pinning?: 'none' | 'by_name' | number
  /** First bytes of an arena: its global variables (section {@link ARENA_SECTION}). */
  readonly arenaData?: Uint8Array
  /** A definition that gives way to another object's strong one when objects are linked. */
  readonly weak?: boolean
  /** False for struct_ops of sections such as "?.struct_ops.link": not created unless asked for. */
  readonly autocreate?: boolean
  /** A global-data section this map stands for: .rodata, .data, .bss, .kconfig or a suffixed form. */
  readonly section?: string
  /** For struct_ops: the kernel struct and which program goes into which of its members. */
  readonly structOps?: {
    readonly typeName: string
    /** False for the `.struct_ops.link` form, true for the old one that stays until the map is deleted. */
    readonly legacy?: boolean
    readonly members: readonly { readonly member: string; readonly offset: number; readonly program: string }[]
  }
}
