// Bundles the short commands of the command line (prog, map, link …) in dist/: one small file a command in place of a
// hundred modules, so that their start costs little more than Node's own. What runs users' modules stays unbundled: those
// import this package, and there must be one copy of it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import esbuild from 'esbuild'

/** Modules that load users' modules or are not short: they are imported from where they are. */
const OUTSIDE = new Set(['main.js', 'prog/load.js', 'struct-ops-register.js', 'iter.js'])

const names = (list) =>
  list
    .split(',')
    .map((name) => name.trim().split(/\s+as\s+/))
    .filter(([name]) => name !== '')

const barrels = new Map()

/** What an index.js exports: by name the module that declares it and its name there. */
function barrel(file) {
  const known = barrels.get(file)
  if (known !== undefined) return known
  const found = new Map()
  barrels.set(file, found)
  const text = readFileSync(file, 'utf8')
  for (const [, list, from] of text.matchAll(/^export \{([^}]*)\} from '([^']+)';$/gm))
    for (const [name, as = name] of names(list)) {
      const module = join(dirname(file), from)
      found.set(as, (basename(module) === 'index.js' ? barrel(module).get(name) : undefined) ?? { module, name })
    }
  for (const [, from] of text.matchAll(/^export \* from '([^']+)';$/gm)) {
    const module = join(dirname(file), from)
    for (const [name, place] of barrel(module)) found.set(name, place)
  }
  for (const [, name] of text.matchAll(/^export (?:async )?(?:const|let|class|function\*?) (\w+)/gm))
    found.set(name, { module: file, name })
  return found
}

/** Imports past the rooms' index.js: a bundler puts all that an index names into one piece otherwise. */
function pastIndexes(file) {
  const text = readFileSync(file, 'utf8')
  return text.replace(/^import \{([^}]*)\} from '(\.[^']*\/index\.js)';$/gm, (statement, list, from) => {
    const index = barrel(join(dirname(file), from))
    const lines = []
    for (const [name, as = name] of names(list)) {
      const place = index.get(name)
      if (place === undefined) return statement
      lines.push(`import { ${place.name} as ${as} } from ${JSON.stringify(place.module)};`)
    }
    return lines.join(' ')
  })
}

/** Commands whose start matters most: a file each with all that they need, although others have the same within. */
const ALONE = new Set([
  'prog/show.js',
  'map/show.js',
  'link/show.js',
  'net/show.js',
  'cgroup/show.js',
  'perf.js',
  'btf/dump.js',
  'feature.js',
])

/**
 * @param {string} cli dist/src/cli
 * @param {string} folder where the output goes
 * @param {Set<string> | undefined} found takes what is imported dynamically, which becomes a file of its own; absent: inlined
 */
const modules = (cli, folder, found) => ({
  name: 'modules',
  setup(build) {
    // every module of ours only declares: what is not used is left out
    build.onResolve({ filter: /^[./]/ }, ({ path, resolveDir, kind }) => {
      const file = resolve(resolveDir, path)
      const name = relative(cli, file)
      const outside = (target) => ({
        path: `./${relative(folder, join(cli, target))}`.replace('./..', '..'),
        external: true,
      })
      if (kind === 'dynamic-import' && OUTSIDE.has(name)) return outside(name)
      if (kind === 'dynamic-import' && found !== undefined) {
        found.add(name)
        return outside(bundled(name))
      }
      return { path: file, sideEffects: false }
    })
    build.onLoad({ filter: /\.js$/ }, ({ path }) => ({ contents: pastIndexes(path), loader: 'js' }))
  },
})

const bundled = (name) => `bundle/${name.replaceAll('/', '-')}`

/** @param {string} dist */
export async function bundleCli(dist) {
  const cli = join(dist, 'src/cli')
  const build = (names, options) =>
    esbuild.build({
      entryPoints: names.map((name) => ({
        in: join(cli, name),
        out: name === 'bin.js' ? 'bin' : bundled(name).slice(0, -3),
      })),
      outdir: cli,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      packages: 'external',
      chunkNames: 'bundle/shared-[hash]',
      minify: true,
      write: false,
      logLevel: 'error',
      ...options,
    })
  const found = new Set()
  const outputs = [await build(['bin.js'], { plugins: [modules(cli, cli, found)] })]
  const folder = join(cli, 'bundle')
  const alone = [...found].filter((name) => ALONE.has(name))
  outputs.push(await build(alone, { plugins: [modules(cli, folder, undefined)] }))
  const rest = new Set([...found].filter((name) => !ALONE.has(name)))
  for (let before = -1; before !== rest.size; ) {
    before = rest.size
    const more = new Set()
    const last = await build([...rest], { splitting: true, plugins: [modules(cli, folder, more)] })
    for (const name of more) if (!ALONE.has(name)) rest.add(name)
    if (before === rest.size) outputs.push(last)
  }
  for (const { outputFiles } of outputs)
    for (const { path, contents } of outputFiles) {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, contents)
    }
}

if (process.argv[1] === import.meta.filename) await bundleCli(resolve(process.argv[2] ?? 'dist'))
