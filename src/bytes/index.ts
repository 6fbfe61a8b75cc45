/**
 * Bounds-checked reading and growing writing of bytes: every reader of outside data goes through {@link ByteReader},
 * so that any input gives a value or an {@link InputError} that names the place.
 */
export { bytesToHex, hexToBytes } from './hex.ts'
export { ByteReader } from './reader.ts'
export { ByteWriter } from './writer.ts'
