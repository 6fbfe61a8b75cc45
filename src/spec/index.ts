/** Specs: pure, immutable descriptions of what to load. Producers make them, consumers take them. */
export type { ImageRelocation, ProgramImage } from './image.ts'
export type { MapSpec } from './map.ts'
