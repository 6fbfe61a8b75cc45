import type { MapSpec, ProgramImage } from '../../../src/spec/index.ts'
import { PROGRAM_FLAGS } from '../../../src/uapi/index.ts'
import { type Generated, imageOf } from './program.ts'

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** A program as one request of `typebpf verify --batch` and `load --batch`, with only the maps that it refers to. */
export function requestOf(id: unknown, program: Generated): object {
  return requestOfImage(id, imageOf(program))
}

export function requestOfImage(id: unknown, image: ProgramImage): object {
  const used = [...new Set(image.relocations.map(({ map }) => map))].sort((a, b) => a - b)
  const maps: MapSpec[] = used.map((index) => image.maps[index])
  const rows: object[] = []
  const row = (spec: MapSpec): number => {
    const inner = spec.inner === undefined ? undefined : row(spec.inner)
    return (
      rows.push({
        name: spec.name,
        type: spec.type,
        keySize: spec.keySize,
        valueSize: spec.valueSize,
        maxEntries: spec.maxEntries,
        flags: spec.flags,
        ...(spec.mapExtra === undefined ? {} : { mapExtra: String(spec.mapExtra) }),
        ...(spec.btfKeyTypeId === undefined ? {} : { btfKeyTypeId: spec.btfKeyTypeId }),
        ...(spec.btfValueTypeId === undefined ? {} : { btfValueTypeId: spec.btfValueTypeId }),
        ...(inner === undefined ? {} : { inner }),
        ...(spec.frozen ? { frozen: true } : {}),
        ...(spec.contents?.length ? { contents: spec.contents.map(([k, v]) => [hex(k), hex(v)]) } : {}),
      }) - 1
    )
  }
  const indexOf = new Map(maps.map((spec, i) => [used[i], row(spec)]))
  return {
    id,
    type: image.type,
    attachType: image.expectedAttachType,
    insns: hex(image.insns),
    license: image.license,
    flags: Object.entries(PROGRAM_FLAGS)
      .filter(([, bit]) => image.flags & bit)
      .map(([name]) => name),
    maps: rows,
    relocations: image.relocations.map((r) => ({ ...r, map: indexOf.get(r.map) })),
    ...(image.btf === undefined ? {} : { btf: hex(image.btf) }),
    ...(image.funcInfo === undefined ? {} : { funcInfo: hex(image.funcInfo) }),
    ...(image.lineInfo === undefined ? {} : { lineInfo: hex(image.lineInfo) }),
    ...(image.attachTo === undefined ? {} : { attachTo: targetOf(image.attachTo) }),
    ...(image.attachBtfId === undefined ? {} : { attachBtfId: image.attachBtfId }),
    ...(image.fdArray === undefined ? {} : { fdArray: image.fdArray }),
  }
}

function targetOf({ name, module, program }: NonNullable<ProgramImage['attachTo']>): object {
  return {
    name,
    ...(module === undefined ? {} : { module }),
    ...(program === undefined ? {} : { program: requestOfImage(null, program) }),
  }
}
