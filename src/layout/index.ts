/**
 * Layouts: types as bytes. One definition serves the builder's loads and stores, the codecs of maps and events, and BTF.
 * Byte order and pointer values are parameters; u64 is bigint.
 */
export {
  array,
  bits,
  bytes,
  chars,
  composite,
  enumeration,
  type StructLayout,
  type StructOptions,
  type StructValue,
  struct,
  union,
} from './composites.ts'
export { layoutFromBtf } from './from-btf.ts'
export { type ByteOrder, decode, encode, type Field, type Layout, type LayoutKind, type ValueOf } from './layout.ts'
export {
  be16,
  be32,
  be64,
  bool,
  f32,
  f64,
  i8,
  i16,
  i32,
  i64,
  ipv4,
  ipv6,
  mac,
  pointer,
  u8,
  u16,
  u32,
  u64,
} from './scalars.ts'
export { addLayout } from './to-btf.ts'
