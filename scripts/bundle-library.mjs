// Bundles the library's own modules in dist/: what a test file loads at first is a few files in place of three hundred. Every
// module stays where it was as a line that names its exports, so that there is one copy of it whichever way it is imported.
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import esbuild from 'esbuild'

/** Files of the output: what is loaded together. What two of them need stands in a file of its own. */
const PARTS = {
  base: ['errors', 'bytes', 'uapi', 'asm', 'btf', 'layout', 'spec'],
  builder: ['builder'],
  // by itself: it also runs in a browser, where the harness does not
  emulator: ['emulator'],
  harness: ['progrun'],
}
/** Modules that are loaded only when they are needed, or find files beside themselves. */
const ALONE = [
  /^progrun\/vitest\//,
  /^progrun\/backend\/kernel\.js$/,
  /^progrun\/coverage\//,
  /^progrun\/checks\/verifier\.js$/,
]

function filesOf(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isDirectory() ? filesOf(path) : path.endsWith('.js') ? [path] : []
  })
}

/** @param {string} dist */
export async function bundleLibrary(dist) {
  const src = join(dist, 'src')
  const folder = join(src, 'library')
  const parts = new Map(
    Object.entries(PARTS).map(([part, rooms]) => [
      part,
      rooms
        .flatMap((room) => filesOf(join(src, room)))
        .filter((path) => !ALONE.some((pattern) => pattern.test(relative(src, path)))),
    ]),
  )
  const inside = new Set([...parts.values()].flat())
  const exportsOf = new Map()
  for (const file of inside) exportsOf.set(file, Object.keys(await import(pathToFileURL(file).href)))
  const numbers = new Map([...inside].map((path, index) => [path, index]))
  const publicName = (path, name) => `m${numbers.get(path)}_${name}`
  const { outputFiles } = await esbuild.build({
    entryPoints: [...parts.keys()].map((part) => ({ in: `part:${part}`, out: part })),
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    sourcemap: true,
    chunkNames: 'shared-[hash]',
    write: false,
    logLevel: 'error',
    plugins: [
      {
        name: 'parts',
        setup(build) {
          build.onResolve({ filter: /^part:/ }, ({ path }) => ({ path: path.slice(5), namespace: 'part' }))
          build.onLoad({ filter: /.*/, namespace: 'part' }, ({ path }) => ({
            contents: (parts.get(path) ?? [])
              .map((file) => {
                const names = (exportsOf.get(file) ?? []).map((name) => `${name} as ${publicName(file, name)}`)
                return `export { ${names.join(', ')} } from ${JSON.stringify(file)}`
              })
              .join('\n'),
            resolveDir: src,
          }))
          build.onResolve({ filter: /.*/ }, ({ path, resolveDir, namespace }) => {
            if (namespace === 'part') return { path, sideEffects: false }
            if (!path.startsWith('.')) return { path, external: true }
            const file = resolve(resolveDir, path)
            return inside.has(file)
              ? { path: file, sideEffects: false }
              : { path: `../${relative(src, file)}`, external: true }
          })
        },
      },
    ],
  })
  for (const { path, contents } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, contents)
  }
  for (const [part, files] of parts)
    for (const file of files) {
      const names = (exportsOf.get(file) ?? []).map((name) => `${publicName(file, name)} as ${name}`)
      const target = relative(dirname(file), join(folder, `${part}.js`))
      rmSync(`${file}.map`, { force: true })
      writeFileSync(file, `export { ${names.join(', ')} } from '${target.startsWith('.') ? target : `./${target}`}';\n`)
    }
}

if (process.argv[1] === import.meta.filename) await bundleLibrary(resolve(process.argv[2] ?? 'dist'))
