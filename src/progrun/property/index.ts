/** Property testing of programs with fast-check (an optional peer: it is loaded, or handed in, only here). */
export { type BpfArbitraries, bpfArbitraries } from './arbitraries.ts'
export { type CheckProgramOptions, checkProgram, PropertyError } from './check-program.ts'
