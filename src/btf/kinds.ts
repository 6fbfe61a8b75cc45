// The numbers of BTF_KINDS as constants, which a bundler writes where they are used: for loops over all types of a kernel.
export const KIND_VOID = 0
export const KIND_INT = 1
export const KIND_PTR = 2
export const KIND_ARRAY = 3
export const KIND_STRUCT = 4
export const KIND_UNION = 5
export const KIND_ENUM = 6
export const KIND_FWD = 7
export const KIND_TYPEDEF = 8
export const KIND_VOLATILE = 9
export const KIND_CONST = 10
export const KIND_RESTRICT = 11
export const KIND_FUNC = 12
export const KIND_FUNC_PROTO = 13
export const KIND_VAR = 14
export const KIND_DATASEC = 15
export const KIND_FLOAT = 16
export const KIND_DECL_TAG = 17
export const KIND_TYPE_TAG = 18
export const KIND_ENUM64 = 19

/** By kind: words (of 32 bits) of a type's record without its members, values or parameters. */
export const FIXED_WORDS = Uint8Array.of(3, 4, 3, 6, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3, 4, 3, 3)
/** By kind: words of each member, value, parameter or variable. */
export const ITEM_WORDS = Uint8Array.of(0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3)
