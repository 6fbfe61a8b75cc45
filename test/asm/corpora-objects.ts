import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { corporaFolder } from '../requirements.ts'

/** Paths of all object files of the corpora, sorted. */
export function corporaObjects(): string[] {
  return readdirSync(join(corporaFolder, 'objects'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(o|elf)$/.test(name))
    .sort()
    .map((name) => join(corporaFolder, 'objects', name))
}
