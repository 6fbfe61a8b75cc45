// Installs from the lock file and builds dist/ when either is missing or older than what it is made from.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const major = process.versions.node.split('.').map(Number)
if (major[0] < 20 || (major[0] === 20 && major[1] < 19)) {
  console.error(`typebpf: Node ${process.versions.node} is too old, 20.19 or newer is needed`)
  process.exit(2)
}

const time = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0)
/** Runs a step; when it fails, what it printed has said why. */
const run = (command, args) => {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', process.stderr.fd, process.stderr.fd],
  })
  if (error !== undefined) console.error(`typebpf: ${command} cannot be started: ${error.message}`)
  if (status !== 0) process.exit(1)
}

if (time(join(root, 'node_modules/.package-lock.json')) < time(join(root, 'package-lock.json'))) {
  console.error('Installing from package-lock.json …')
  run('npm', ['ci', '--no-audit', '--no-fund'])
}

const newest = (path) => {
  if (!existsSync(path)) return 0
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return readdirSync(path).reduce((latest, name) => Math.max(latest, newest(join(path, name))), stat.mtimeMs)
}
const sources = [
  'src',
  'programs',
  'tsconfig.json',
  'tsconfig.build.json',
  'scripts/build.mjs',
  'node_modules/.package-lock.json',
]
const built = time(join(root, 'dist/.built'))
if (sources.some((name) => newest(join(root, name)) > built)) {
  console.error('Building dist/ …')
  run(process.execPath, ['scripts/build.mjs'])
}
