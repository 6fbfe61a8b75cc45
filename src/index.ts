export * from './builder/index.ts'
