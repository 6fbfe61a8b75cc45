import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Archive } from './archive.ts'
import { GuestError, type GuestTools, librariesOf } from './tools.ts'

/** The project's own folder. */
const PROJECT = new URL('../../../', import.meta.url).pathname
/** What `load --batch` needs of the package's dependencies; what they need in turn comes along. */
const DEPENDENCIES = ['commander', 'elfy', 'ffi-rs']
const REQUESTS = '/requests.jsonl'

/**
 * What the guest runs first. Without requests it tells what kernel it is: its release, types and symbols; with requests it
 * answers them. Logs are left on the other side: the line to the host is slow.
 */
const INIT = `#!/bin/busybox sh
busybox mount -t proc none /proc
busybox mount -t sysfs none /sys
busybox mount -t devtmpfs none /dev
busybox mount -t tmpfs none /tmp
busybox mount -t tracefs none /sys/kernel/tracing
busybox mount -t bpf none /sys/fs/bpf
busybox stty -F /dev/ttyS1 raw
export PATH=/bin HOME=/tmp
if [ -f ${REQUESTS} ]; then
  node /app/dist/src/cli/bin.js load --batch < ${REQUESTS} |
    busybox awk '{ sub(/,"log":".*/, "}"); print; fflush() }' > /dev/ttyS1
else {
  echo release
  busybox uname -r
  echo types
  busybox gzip -c /sys/kernel/btf/vmlinux | busybox base64
  echo symbols
  busybox awk 'NF == 3 { print $3 }' /proc/kallsyms | busybox gzip -c | busybox base64
  echo end
} > /dev/ttyS1
fi
busybox sleep 1
busybox poweroff -f
`

function addTree(archive: Archive, from: string, to: string, wanted: (name: string) => boolean): void {
  for (const name of readdirSync(from)) {
    const path = join(from, name)
    if (statSync(path).isDirectory()) addTree(archive, path, `${to}/${name}`, wanted)
    else if (wanted(name)) archive.file(`${to}/${name}`, readFileSync(path))
  }
}

const RUNS = /\.(js|cjs|mjs|json|node)$/

/** Packages that are installed, by name, with all that they depend on and that is there. */
function packages(names: readonly string[], found = new Set<string>()): ReadonlySet<string> {
  for (const name of names) {
    const file = join(PROJECT, 'node_modules', name, 'package.json')
    if (found.has(name) || !existsSync(file)) continue
    found.add(name)
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync(file, 'utf8')) as Partial<
      Record<string, Record<string, string>>
    >
    packages([...Object.keys(dependencies), ...Object.keys(optionalDependencies)], found)
  }
  return found
}

/**
 * The guest's system: busybox, Node, the libraries of both, the built package.
 * @throws GuestError where the package is not built
 */
export function baseArchive(tools: GuestTools): Uint8Array {
  const built = join(PROJECT, 'dist')
  if (!existsSync(join(built, 'src/cli/bin.js'))) throw new GuestError('the package is not built: npm run build')
  const archive = new Archive()
  for (const folder of ['/proc', '/sys', '/dev', '/tmp']) archive.folder(folder)
  archive.file('/init', INIT)
  archive.file('/bin/busybox', readFileSync(tools.busybox))
  archive.file('/bin/node', readFileSync(process.execPath))
  const binaries = [tools.busybox, process.execPath]
  archive.file('/app/package.json', readFileSync(join(PROJECT, 'package.json')))
  addTree(archive, join(built, 'src'), '/app/dist/src', (name) => RUNS.test(name))
  for (const name of packages(DEPENDENCIES)) {
    const from = join(PROJECT, 'node_modules', name)
    addTree(archive, from, `/app/node_modules/${name}`, (file) => RUNS.test(file))
    binaries.push(
      ...readdirSync(from)
        .filter((file) => file.endsWith('.node'))
        .map((file) => join(from, file)),
    )
  }
  for (const library of new Set(binaries.flatMap((file) => librariesOf(file, tools))))
    archive.file(library, readFileSync(library))
  return archive.toBytes()
}

/** Follows the base: what this start of the guest is to answer. */
export function requestArchive(requests: readonly string[]): Uint8Array {
  return new Archive().file(REQUESTS, `${requests.join('\n')}\n`).toBytes()
}
