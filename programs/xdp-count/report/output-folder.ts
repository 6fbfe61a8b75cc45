import { accessSync, constants, existsSync, mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** `build`, or a new folder for temporary files where this user may not write there. */
export function outputFolder(wanted = 'build'): string {
  try {
    mkdirSync(wanted, { recursive: true })
    accessSync(wanted, constants.W_OK)
    return wanted
  } catch {
    return mkdtempSync(join(tmpdir(), 'xdp-count-'))
  }
}

/** A path in the folder that can be written: a file of somebody else gets a neighbour. */
export function outputFile(folder: string, name: string): string {
  const path = join(folder, name)
  if (!existsSync(path)) return path
  try {
    accessSync(path, constants.W_OK)
    return path
  } catch {
    return join(mkdtempSync(join(tmpdir(), 'xdp-count-')), name)
  }
}
