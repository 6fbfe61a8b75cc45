// Bundles each tool of dist/programs: one file with all that it needs, and its programs built ahead, so that its start costs
// little more than Node's own.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import esbuild from 'esbuild'

const load = (path) => import(pathToFileURL(path).href)

/** @param {string} dist */
export async function bundleTools(dist) {
  const programs = join(dist, 'programs')
  const out = join(programs, 'bundle')
  mkdirSync(out, { recursive: true })
  const names = readdirSync(programs).filter((name) => existsSync(join(programs, name, `${name}.bpf.js`)))
  const tools = names.filter((name) => existsSync(join(programs, name, 'index.js')))
  const { collectObject } = await load(join(dist, 'src/spec/index.js'))
  const { objectText } = await load(join(programs, 'lib/built-object.js'))
  // files are named from the package's folder in line information
  process.chdir(resolve(dist, '..'))
  for (const name of tools) {
    const object = collectObject(await load(join(programs, name, `${name}.bpf.js`)), { name })
    writeFileSync(join(out, `${name}.object.json`), objectText(object))
  }
  await esbuild.build({
    entryPoints: tools.map((name) => ({ in: `tool:${name}`, out: name })),
    outdir: out,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    splitting: true,
    chunkNames: 'shared-[hash]',
    minify: true,
    logLevel: 'error',
    plugins: [
      {
        name: 'tools',
        setup(build) {
          build.onResolve({ filter: /^tool:/ }, ({ path }) => ({ path: path.slice(5), namespace: 'tool' }))
          build.onLoad({ filter: /.*/, namespace: 'tool' }, ({ path }) => ({
            contents: `export { tool } from './${path}/index.js'; export { runTool } from './lib/run-tool.js'`,
            resolveDir: programs,
          }))
          // the package's own names, and modules that only declare: what is not used is left out
          build.onResolve({ filter: /^typebpf(\/|$)/ }, ({ path }) => {
            const [, room] = path.split('/')
            const folder = room === undefined ? '' : `${room === 'kernel' ? 'syscall' : room}/`
            return { path: join(dist, `src/${folder}index.js`), sideEffects: false }
          })
          build.onResolve({ filter: /^[./]/ }, ({ path, resolveDir }) => ({
            path: resolve(resolveDir, path),
            sideEffects: false,
          }))
        },
      },
    ],
  })
}

if (process.argv[1] === import.meta.filename) await bundleTools(resolve(process.argv[2] ?? 'dist'))
