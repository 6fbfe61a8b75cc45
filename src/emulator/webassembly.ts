/** The part of the WebAssembly JavaScript interface that the emulator uses; typed here so that neither DOM nor Node types are needed. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer
}
export interface WasmInstance {
  readonly exports: Readonly<Record<string, (...args: number[]) => number>>
}
interface WasmApi {
  readonly Memory: new (descriptor: { initial: number; maximum: number }) => WasmMemory
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => WasmInstance
}

/** undefined where the host has no WebAssembly (some hardened browsers). */
export const wasmApi: WasmApi | undefined = (globalThis as unknown as { WebAssembly?: WasmApi }).WebAssembly
