// Bundles each tool of dist/programs: one CommonJS file with all that it needs, read at once, and its programs built ahead, so
// that its start costs little more than Node's own. Without esbuild (it comes with tsx) the modules do as well.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { definitionsOf } from './tool-definitions.mjs'

const load = (path) => import(pathToFileURL(path).href)

/** What a bundle is made of: the tool, its row of the list, and what runs it. */
const entry = (row) => `
import { tool } from './${row.name}/index.js'
import { runTool } from './lib/run-tool.js'
import { loadedMain } from '../src/cli/tool/loaded.js'
export const main = (args, json) => loadedMain(${JSON.stringify(row)}, { tool, runTool }, args, json)`

const plugin = (dist, programs, rows) => ({
  name: 'tools',
  setup(build) {
    build.onResolve({ filter: /^tool:/ }, ({ path }) => ({ path: path.slice(5), namespace: 'tool' }))
    build.onLoad({ filter: /.*/, namespace: 'tool' }, ({ path }) => ({
      contents: entry(rows.find(({ name }) => name === path)),
      resolveDir: programs,
    }))
    build.onLoad({ filter: /\.bpf\.js$/ }, async ({ path }) => ({
      contents: definitionsOf(await load(path), join(dist, 'src/builder/maps/slots.js')),
    }))
    // few tools need it, and it takes long to load
    build.onResolve({ filter: /^node:zlib$/ }, ({ path }) => ({ path, namespace: 'later' }))
    build.onLoad({ filter: /.*/, namespace: 'later' }, ({ path }) => ({
      contents: `export const gunzipSync = (...args) => require(${JSON.stringify(path)}).gunzipSync(...args)`,
    }))
    build.onResolve({ filter: /^node:zlib$/, namespace: 'later' }, ({ path }) => ({ path, external: true }))
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
})

/** @param {string} dist */
export async function bundleTools(dist) {
  let esbuild
  try {
    esbuild = await import('esbuild')
  } catch {
    return false
  }
  const programs = join(dist, 'programs')
  const out = join(programs, 'bundle')
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, 'package.json'), '{ "type": "commonjs" }\n')
  const { TOOLS } = await load(join(programs, 'tools.js'))
  const rows = TOOLS.map(({ name, summary, kernel }) => ({ name, summary, kernel }))
  const { collectObject } = await load(join(dist, 'src/spec/index.js'))
  const { objectText } = await load(join(programs, 'lib/built-object.js'))
  // files are named from the package's folder in line information
  process.chdir(resolve(dist, '..'))
  for (const { name } of rows) {
    const object = collectObject(await load(join(programs, name, `${name}.bpf.js`)), { name })
    writeFileSync(join(out, `${name}.object.json`), objectText(object))
  }
  await esbuild.build({
    entryPoints: rows.map(({ name }) => ({ in: `tool:${name}`, out: name })),
    outdir: out,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    banner: { js: `const moduleUrl=require('node:url').pathToFileURL(__filename).href;` },
    define: { 'import.meta.url': 'moduleUrl' },
    minify: true,
    logLevel: 'error',
    plugins: [plugin(dist, programs, rows)],
  })
  return true
}

if (process.argv[1] === import.meta.filename) {
  const done = await bundleTools(resolve(process.argv[2] ?? 'dist'))
  console.log(done ? 'bundled' : 'esbuild is not there: not bundled')
}
