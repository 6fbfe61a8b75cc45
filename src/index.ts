export * from './builder/index.ts'
export { BpfError, EXIT, InputError, NegativeError, SystemError, UnsupportedError, UsageError } from './errors/index.ts'
