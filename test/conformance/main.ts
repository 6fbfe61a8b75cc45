// npm run conformance -- [--engine interpreter|wasm] [--in-process] [--json]: the public vectors through the plugin command.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { assembleBytes } from '../../src/asm/index.ts'
import { bytesToHex } from '../../src/bytes/index.ts'
import { runConformance } from '../../src/cli/conformance-plugin.ts'
import type { Engine } from '../../src/emulator/index.ts'
import { readVectors, type Vector } from './vectors.ts'

const { values } = parseArgs({
  options: {
    engine: { type: 'string', default: 'interpreter' },
    'in-process': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const engine = values.engine as Engine
if (engine !== 'interpreter' && engine !== 'wasm') {
  process.stderr.write(`--engine: interpreter or wasm, not ${values.engine}\n`)
  process.exit(2)
}

const root = new URL('../..', import.meta.url).pathname
const built = `${root}dist/src/cli/bin.js`

/** When the newest file below a folder was written, milliseconds. */
function newest(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  return Math.max(
    ...entries.filter((entry) => entry.isFile()).map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs),
  )
}

// the built command starts faster, but an old build would test old code
const useBuild = existsSync(built) && statSync(built).mtimeMs > newest(`${root}src`)
const command = useBuild ? [built] : ['--conditions=typebpf-source', '--import', 'tsx', `${root}src/cli/bin.ts`]

/** r0 as the plugin prints it, or what it says on standard error. */
function plugin(vector: Vector): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [
        ...command,
        'conformance-plugin',
        ...(vector.memory.length === 0 ? [] : [bytesToHex(vector.memory)]),
        '--engine',
        engine,
      ],
      { stdio: ['pipe', 'pipe', 'pipe'], cwd: root },
    )
    let out = ''
    let err = ''
    child.stdout.on('data', (chunk) => {
      out += chunk
    })
    child.stderr.on('data', (chunk) => {
      err += chunk
    })
    child.on('error', reject)
    child.on('close', (code) => resolve(code === 0 ? out.trim() : `exit ${code}: ${err.trim()}`))
    child.stdin.end(bytesToHex(assembleBytes(vector.assembly), ' '))
  })
}

async function answer(vector: Vector): Promise<string> {
  if (!values['in-process']) return await plugin(vector)
  const result = runConformance(assembleBytes(vector.assembly), vector.memory, engine)
  if (result.fault !== undefined) return result.fault.message
  return result.engine === engine ? result.r0.toString(16) : `${result.engine} ran: ${result.fallback}`
}

const vectors = readVectors()
let failed = 0
const queue = [...vectors]
await Promise.all(
  Array.from({ length: 2 }, async () => {
    for (let vector = queue.shift(); vector !== undefined; vector = queue.shift()) {
      const got = await answer(vector)
      const expected = vector.result?.toString(16)
      if (got === expected) continue
      failed++
      if (!values.json) process.stdout.write(`${vector.name}: expected ${expected}, got ${got}\n`)
    }
  }),
)
process.stdout.write(`${JSON.stringify({ engine, passed: vectors.length - failed, failed, total: vectors.length })}\n`)
process.exitCode = failed === 0 && vectors.length > 0 ? 0 : 1
