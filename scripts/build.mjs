// Builds dist/: JavaScript, declarations and source maps by tsc, JSON tables and program data copied beside them.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { bundleCli } from './bundle-cli.mjs'
import { bundleLibrary } from './bundle-library.mjs'
import { bundleTools } from './bundle-tools.mjs'

const root = resolve(import.meta.dirname, '..')
const dist = join(root, 'dist')
rmSync(dist, { recursive: true, force: true })
const compiler = [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json']
const { status } = spawnSync(process.execPath, compiler, { cwd: root, stdio: 'inherit' })
if (status !== 0) process.exit(1)

/** Data that compiled modules read beside themselves. */
const DATA = /\.(json|pcap|wasm)$/
const copy = (folder) => {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) copy(path)
    else if (DATA.test(name)) {
      const target = join(dist, relative(root, path))
      mkdirSync(dirname(target), { recursive: true })
      cpSync(path, target)
    }
  }
}
copy(join(root, 'src'))
copy(join(root, 'programs'))
await bundleCli(dist)
await bundleTools(dist)
await bundleLibrary(dist)
chmodSync(join(dist, 'src/cli/bin.js'), 0o755)
writeFileSync(join(dist, '.built'), '')
