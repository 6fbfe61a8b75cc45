import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram, GuestError } from './tools.ts'

export const KERNEL_HINT =
  'give --kernel a vmlinuz or a Debian package: linux-image-VERSION-cloud-amd64_*.deb ("apt-get download linux-image-VERSION", ' +
  "Debian's pool/main/l/linux-signed-amd64, or its snapshot archive for versions that are no longer in the pool)"

function firstBytes(path: string): Buffer {
  const bytes = Buffer.alloc(0x210)
  let file: number | undefined
  try {
    file = openSync(path, 'r')
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0))
  } catch (error) {
    throw new GuestError(`${path}: ${error instanceof Error ? error.message : String(error)}; ${KERNEL_HINT}`)
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** The package's /boot/vmlinuz-*, unpacked to `folder`; nothing is installed. */
function fromPackage(path: string, folder: string): string {
  for (const [name, from] of [
    ['dpkg-deb', 'dpkg'],
    ['tar', 'tar'],
  ])
    if (findProgram(name) === undefined) throw new GuestError(`missing: ${name} (apt-get install ${from})`)
  mkdirSync(folder, { recursive: true })
  const all = spawnSync('dpkg-deb', ['--fsys-tarfile', path], { maxBuffer: 2 ** 31 })
  if (all.status !== 0) throw new GuestError(`${path}: ${all.stderr.toString().trim()}`)
  spawnSync('tar', ['-x', '-C', folder, '--wildcards', './boot/vmlinuz-*'], { input: all.stdout })
  const boot = join(folder, 'boot')
  const image = readdirSync(folder).includes('boot') ? readdirSync(boot)[0] : undefined
  if (image === undefined) throw new GuestError(`${path}: no /boot/vmlinuz-* in this package; ${KERNEL_HINT}`)
  return join(boot, image)
}

/**
 * A kernel image that QEMU starts.
 * @param path vmlinuz, or a Debian package of a kernel, which is unpacked to `folder`
 * @throws GuestError where it is neither
 */
export function kernelImage(path: string, folder: string): string {
  const bytes = firstBytes(path)
  if (bytes.toString('latin1', 0, 8) === '!<arch>\n') return fromPackage(path, folder)
  // the header of the x86 boot protocol
  if (bytes.toString('latin1', 0x202, 0x206) === 'HdrS') return path
  throw new GuestError(`${path} is neither a kernel image nor a Debian package; ${KERNEL_HINT}`)
}
