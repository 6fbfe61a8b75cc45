import type { MapSpec, ProgramImage } from '../spec/index.ts'

/** The immediate of a slot. */
export function immOf(image: ProgramImage, slot: number): number {
  return new DataView(image.insns.buffer, image.insns.byteOffset).getInt32(slot * 8 + 4, true)
}

/** Two images mean the same map when it is the same spec, or has the same name and shape. */
export function sameMap(a: MapSpec, b: MapSpec): boolean {
  return (
    a === b ||
    (a.name !== '' &&
      a.name === b.name &&
      a.type === b.type &&
      a.keySize === b.keySize &&
      a.valueSize === b.valueSize &&
      a.maxEntries === b.maxEntries)
  )
}

/** The maps of several programs, those that they share once, in order of first use. */
export function collectMaps(images: readonly ProgramImage[], more: readonly MapSpec[]): MapSpec[] {
  const specs: MapSpec[] = []
  for (const image of images)
    for (const spec of image.maps) if (!specs.some((one) => sameMap(one, spec))) specs.push(spec)
  for (const spec of more) if (!specs.some((one) => sameMap(one, spec))) specs.push(spec)
  return specs
}
