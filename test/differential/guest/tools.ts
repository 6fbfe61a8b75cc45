import { execFileSync } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** What keeps a guest from being started, in one line that says what to do. */
export class GuestError extends Error {
  override readonly name = 'GuestError'
}

/** Programs of this machine that a guest is made with, and Debian's packages that have them. */
const PROGRAMS = {
  qemu: ['qemu-system-x86_64', 'qemu-system-x86'],
  busybox: ['busybox', 'busybox-static'],
  ldd: ['ldd', 'libc-bin'],
} as const

export type GuestTools = Readonly<Record<keyof typeof PROGRAMS, string>>

/** Where a program is; the folders of administrators are searched too. */
export function findProgram(name: string, path = process.env['PATH'] ?? ''): string | undefined {
  const folders = [...path.split(delimiter), ...(path === '' ? [] : ['/usr/sbin', '/sbin'])]
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return statSync(file).isFile()
      } catch {
        return false
      }
    })
}

/**
 * The programs that a guest needs.
 * @throws GuestError that names all that are missing, and the packages to install
 */
export function guestTools(path?: string): GuestTools {
  const found = Object.entries(PROGRAMS).map(([key, [name, from]]) => ({
    key,
    name,
    from,
    file: findProgram(name, path),
  }))
  const missing = found.filter(({ file }) => file === undefined)
  if (missing.length > 0)
    throw new GuestError(
      `missing: ${missing.map(({ name }) => name).join(', ')} (apt-get install ${missing.map(({ from }) => from).join(' ')})`,
    )
  return Object.fromEntries(found.map(({ key, file }) => [key, file])) as GuestTools
}

/** Shared libraries of a program or library, with its loader, by the paths where it looks for them. */
export function librariesOf(file: string, { ldd }: Pick<GuestTools, 'ldd'>): string[] {
  let text: string
  try {
    text = execFileSync(ldd, [file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    // not dynamic
    return []
  }
  return [...text.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path]) => path)
}
