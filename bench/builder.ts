import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { map, struct, u32, u64, xdp } from 'typebpf'
import { contributionOf } from 'typebpf/spec'
import { type Figure, interleaved } from './figure.ts'

const ROOT = new URL('..', import.meta.url).pathname
const Eth = struct('words', { a: u32, b: u32, c: u32, d: u32 })
const counts = map.hash('counts', { key: u32, value: u64, maxEntries: 64 })

/** A program of 1,000 statements: arithmetic, branches, look-ups, packet reads. */
function thousand(): number {
  const program = xdp('thousand', (b) => {
    const sum = b.let(u32, 0)
    for (let i = 0; i < 125; i++) {
      const words = b.packet.at(i % 32, Eth).orReturn(b.PASS)
      const mixed = words.a.xor(words.b).add(i)
      b.if(mixed.gt(words.c), () => sum.set(sum.get().add(mixed)))
      b.if(words.d.eq(i), () => counts.increment(sum.get()))
    }
    b.if(sum.get().eq(7), () => b.return(b.DROP))
    return b.PASS
  })
  return contributionOf(program).programs[0].instructions.length
}

function seconds(command: string, args: readonly string[]): number {
  const start = process.hrtime.bigint()
  execFileSync(command, args, { stdio: 'ignore' })
  return Number(process.hrtime.bigint() - start) / 1e9
}

/** All programs of programs/ and of the comparison with clang. */
function exampleFiles(root: string): string[] {
  return ['programs', 'test/builder/programs'].flatMap((below) =>
    readdirSync(join(root, below), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.bpf.ts'))
      .map((file) => join(root, below, file)),
  )
}

/** What type checking the examples adds to an empty check of the same kind. */
function typecheck(): number | undefined {
  const root = ROOT
  const folder = mkdtempSync(join(tmpdir(), 'typebpf-bench-'))
  try {
    const config = (name: string, files: readonly string[]): string => {
      const path = join(folder, name)
      writeFileSync(
        path,
        JSON.stringify({
          extends: join(root, 'tsconfig.json'),
          compilerOptions: { rootDir: '/', typeRoots: [join(root, 'node_modules/@types')] },
          include: [],
          files,
        }),
      )
      return path
    }
    const library = config('library.json', [join(root, 'src/index.ts')])
    const examples = config('examples.json', [join(root, 'src/index.ts'), ...exampleFiles(root)])
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const times = [0, 1, 2].map(() => [
      seconds(process.execPath, [tsc, '-p', library]),
      seconds(process.execPath, [tsc, '-p', examples]),
    ])
    const differences = times.map(([one, two]) => two - one).sort((a, b) => a - b)
    return differences[1]
  } catch {
    return undefined
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export async function figures(): Promise<Figure[]> {
  const instructions = thousand()
  const [time] = await interleaved(9, [thousand])
  const checking = typecheck()
  return [
    {
      area: 'builder',
      name: `build a program of 1,000 statements (${instructions} instructions)`,
      value: time,
      unit: 'ms',
      goal: '< 50 ms',
      met: time < 50,
    },
    checking === undefined
      ? { area: 'builder', name: 'type check of the examples', value: Number.NaN, unit: 's', goal: '< 1 s', met: false }
      : {
          area: 'builder',
          name: `type check of the examples (${exampleFiles(ROOT).length} modules), above the library alone`,
          value: checking,
          unit: 's',
          goal: '< 1 s',
          met: checking < 1,
        },
  ]
}
