import { createRequire } from 'node:module'
import type * as Ffi from 'ffi-rs'

/** The part of ffi-rs that is used here. */
type Binding = Pick<typeof Ffi, 'createExternalBuffer' | 'DataType' | 'load' | 'open'>

/** Native packages of ffi-rs that work on glibc, by Node's name of the architecture. */
const PACKAGES: Readonly<Record<string, string>> = {
  x64: '@yuuang/ffi-rs-linux-x64-gnu',
  arm64: '@yuuang/ffi-rs-linux-arm64-gnu',
  arm: '@yuuang/ffi-rs-linux-arm-gnueabihf',
}

/**
 * The native half of ffi-rs without its JavaScript one: that half writes a diagnostic report of the whole process to learn
 * which C library this is, which takes longer than all the rest of a short command, and copies the parameter types at
 * every call. Where the native package is not found or does not load (musl), all of ffi-rs.
 */
function binding(): Binding {
  const require = createRequire(import.meta.url)
  const name = process.platform === 'linux' ? PACKAGES[process.arch] : undefined
  if (name !== undefined)
    try {
      // resolved from where ffi-rs stands: package managers may hide its dependencies from us
      return createRequire(require.resolve('ffi-rs'))(name) as Binding
    } catch {
      // ffi-rs itself knows what to do, or says what is wrong
    }
  return require('ffi-rs') as Binding
}

export const { createExternalBuffer, DataType: TYPE, load, open } = binding()
