import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Command } from 'commander'
import {
  controlFlow,
  controlFlowDot,
  decodeSlots,
  dominance,
  type FunctionGraph,
  kernelText,
  type Slots,
} from '../asm/index.ts'
import { SystemError, UsageError } from '../errors/index.ts'
import { LD_IMM64, SLOT_BYTES } from '../uapi/index.ts'
import { type SourceLine, sourceLines } from './code-sections.ts'
import { type Listed, objectNames, readCode, selectCode } from './disasm.ts'

interface Options {
  readonly program?: string
  readonly dot?: boolean
  readonly svg?: boolean
  readonly png?: boolean
  readonly output?: string
  readonly source: boolean
  readonly maxBlocks: string
  readonly bigEndian?: boolean
  readonly json?: boolean
}

/** One section's (or one function's) graphs with what drawing them needs. */
interface Drawn {
  readonly listed: Listed
  readonly slots: Slots
  readonly graphs: readonly FunctionGraph[]
  readonly lines: ReadonlyMap<number, SourceLine>
}

/** Pictures wider or higher than this are scaled down: beyond it, renderers run out of memory. */
const MAX_PIXELS = 8192

function analyse(listed: Listed, lines: ReadonlyMap<number, SourceLine>, entryName: string): Drawn {
  const { section, range } = listed
  const slots = decodeSlots(section.bytes, { littleEndian: section.littleEndian })
  const functions = section.symbols
    .filter(({ isFunction, address }) => isFunction && address % SLOT_BYTES === 0)
    .map(({ name, address }) => ({ name, slot: address / SLOT_BYTES }))
    .filter(({ slot }) => slot >= range[0] && slot < Math.min(range[1], slots.length))
  const to = Math.min(range[1], slots.length)
  return { listed, slots, lines, graphs: controlFlow(slots, { functions, entryName, range: [range[0], to] }) }
}

function draw({ listed, slots, lines }: Drawn, graphs: readonly FunctionGraph[], isObject: boolean, maxBlocks: number) {
  const { opcode, dst, src, offset, imm } = slots
  const names = isObject ? objectNames(listed.section) : {}
  let last = ''
  return controlFlowDot(graphs, {
    maxBlocks,
    text(slot) {
      if (slot > 0 && opcode[slot - 1] === LD_IMM64 && opcode[slot] === 0) return undefined
      const high = opcode[slot] === LD_IMM64 ? (imm[slot + 1] ?? 0) : 0
      return kernelText(opcode[slot], dst[slot], src[slot], offset[slot], imm[slot], high, names, slot)
    },
    source(slot) {
      const line = lines.get(slot * SLOT_BYTES)
      if (line === undefined || line.text === '') return []
      const text = `; ${line.text} (${line.file.replace(/^.*\//, '')}:${line.line})`
      if (text === last) return []
      last = text
      return [text]
    },
  })
}

/** One graph over several sections: identifiers are by slot, so each section's are made its own. */
function mergeDots(dots: readonly string[]): string {
  if (dots.length === 1) return dots[0]
  const [head] = dots[0].split('  subgraph', 1)
  const bodies = dots.map((dot, index) =>
    dot
      .slice(head.length, dot.lastIndexOf('}'))
      .replace(/\b(b\d+_\d+|more_\d+)(?= (?:\[|->))/g, `s${index}_$1`)
      .replace(/-> (b\d+_\d+)/g, `-> s${index}_$1`)
      .replace(/subgraph cluster_/g, `subgraph cluster_${index}_`),
  )
  return `${head}${bodies.join('')}}\n`
}

/** SVG of a DOT graph, by the Graphviz that ships as WebAssembly. */
export async function renderSvg(dot: string): Promise<string> {
  const { instance } = await import('@viz-js/viz')
  const viz = await instance()
  const { status, output, errors } = viz.render(dot, { format: 'svg' })
  if (status !== 'success')
    throw new SystemError(
      'cfg.render',
      `Graphviz could not draw the graph: ${errors.map(({ message }) => message).join('; ')}`,
    )
  return output
}

function monospaceFont(): string {
  const given = process.env['TYPEBPF_FONT']
  if (given !== undefined) return given
  const found: string[] = []
  const walk = (folder: string, depth: number): void => {
    let names: string[]
    try {
      names = readdirSync(folder)
    } catch {
      return // a folder that does not exist holds no fonts
    }
    for (const name of names) {
      const path = join(folder, name)
      if (/\.(ttf|otf)$/i.test(name)) found.push(path)
      else if (depth < 4 && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) walk(path, depth + 1)
    }
  }
  for (const folder of ['/usr/share/fonts', '/usr/local/share/fonts', '/System/Library/Fonts', 'C:\\Windows\\Fonts'])
    walk(folder, 0)
  const best =
    found.find((path) => /mono[^/]*regular|mono\.(ttf|otf)$|cour\.ttf|consola\.ttf/i.test(path)) ??
    found.find((path) => /mono/i.test(path)) ??
    found[0]
  if (best === undefined)
    throw new SystemError('cfg.no-font', 'no TrueType font is installed: a PNG would have no text', {
      details: ['use --svg, or name a font file in TYPEBPF_FONT'],
    })
  return best
}

/** PNG of an SVG. The picture is scaled down to 8192 pixels a side. */
export async function renderPng(svg: string): Promise<Uint8Array> {
  const font = monospaceFont()
  const { initWasm, Resvg } = await import('@resvg/resvg-wasm')
  const require = createRequire(import.meta.url)
  await initWasm(readFileSync(require.resolve('@resvg/resvg-wasm/index_bg.wasm')))
  const size = /<svg width="([\d.]+)pt" height="([\d.]+)pt"/.exec(svg)
  const longest = size === null ? 0 : Math.max(Number(size[1]), Number(size[2])) * (4 / 3)
  const zoom = Math.min(2, MAX_PIXELS / Math.max(longest, 1))
  const resvg = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: zoom },
    background: 'white',
    font: { fontBuffers: [readFileSync(font)], monospaceFamily: 'monospace', defaultFontSize: 9 },
  })
  const image = resvg.render()
  const png = image.asPng()
  image.free()
  resvg.free()
  return png
}

function summary({ listed, graphs }: Drawn): string {
  let out = ''
  for (const graph of graphs) {
    const { loops, irreducible, immediate } = dominance(graph)
    const edges = graph.blocks.reduce((sum, { successors }) => sum + successors.length, 0)
    const dead = graph.blocks.filter(({ reachable }) => !reachable)
    out += `${listed.section.name} ${graph.name}: slots ${graph.from}-${graph.to - 1}, ${graph.blocks.length} blocks, ${edges} edges, ${loops.length} loops\n`
    for (const { index, from, to, successors } of graph.blocks) {
      const next = successors.map((edge) => `${edge.kind} ${edge.to}`).join(', ')
      const by = index === 0 || immediate[index] < 0 ? '' : `, dominated by ${immediate[index]}`
      out += `  block ${index}: slots ${from}-${to - 1}${by}${next === '' ? '' : ` → ${next}`}\n`
    }
    for (const { header, blocks, depth } of loops)
      out += `  loop at block ${header}, depth ${depth}: blocks ${blocks.join(' ')}\n`
    for (const edge of irreducible) out += `  loop with several entries: block ${edge.from} → ${edge.to}\n`
    for (const { index, from, to } of dead) out += `  unreachable: block ${index}, slots ${from}-${to - 1}\n`
    for (const { slot, target, reason } of graph.strays)
      out += `  jump at ${slot} to ${target}: ${reason === 'outside' ? 'outside the function' : 'into a 64-bit load'}\n`
    for (const { slot, target, kind } of graph.calls) out += `  ${kind} at ${slot} of slot ${target}\n`
    if (graph.fallsOut) out += '  control runs out of the end\n'
  }
  return out
}

function asJson({ listed, graphs }: Drawn): unknown[] {
  return graphs.map((graph) => {
    const { immediate, loops, irreducible } = dominance(graph)
    return {
      section: listed.section.name,
      name: graph.name,
      from: graph.from,
      to: graph.to,
      blocks: graph.blocks.map(({ index, from, to, reachable, indirect, successors }) => ({
        index,
        from,
        to,
        reachable,
        indirect,
        dominator: immediate[index],
        successors: successors.map(({ to: target, kind }) => ({ to: target, kind })),
      })),
      loops: loops.map(({ header, blocks, depth }) => ({ header, blocks, depth })),
      irreducible: irreducible.map(({ from, to }) => ({ from, to })),
      calls: graph.calls,
      strays: graph.strays,
      fallsOut: graph.fallsOut,
    }
  })
}

async function run(input: string, options: Options): Promise<void> {
  const pictures = [options.dot, options.svg, options.png].filter((one) => one === true).length
  if (pictures > 1) throw new UsageError('cfg.options', 'choose one of --dot, --svg and --png')
  const maxBlocks = Number(options.maxBlocks)
  if (!Number.isInteger(maxBlocks) || maxBlocks < 1)
    throw new UsageError('cfg.options', `--max-blocks ${options.maxBlocks}: a positive number is needed`)
  const { sections, isObject, file } = readCode(input, options.bigEndian)
  const lines = isObject && options.source ? sourceLines(file, input) : new Map<string, Map<number, SourceLine>>()
  const drawn = selectCode(sections, options.program).map((listed) =>
    analyse(
      listed,
      lines.get(listed.section.name) ?? new Map(),
      listed.program ?? (isObject ? listed.section.name : 'main'),
    ),
  )
  const write = (data: string | Uint8Array): void => {
    if (options.output === undefined) process.stdout.write(data)
    else writeFileSync(options.output, data)
  }
  if (options.json === true) return write(`${JSON.stringify(drawn.flatMap(asJson))}\n`)
  if (pictures === 0) return write(drawn.map(summary).join(''))
  let left = maxBlocks
  const dots: string[] = []
  let omitted = 0
  for (const one of drawn) {
    const { dot, omittedBlocks } = draw(one, one.graphs, isObject, left)
    omitted += omittedBlocks
    left = Math.max(0, left - one.graphs.reduce((sum, { blocks }) => sum + blocks.length, 0))
    dots.push(dot)
  }
  if (omitted > 0)
    process.stderr.write(
      `typebpf: ${omitted} blocks are not drawn; choose a function with --program or raise --max-blocks (${maxBlocks})\n`,
    )
  const dot = mergeDots(dots)
  if (options.dot === true) return write(dot)
  const svg = await renderSvg(dot)
  if (options.svg === true) return write(svg)
  write(await renderPng(svg))
}

export function register(program: Command): void {
  program
    .command('cfg')
    .description('show the control flow of an object file or of hex bytes: blocks, edges, loops, unreachable code')
    .argument('<input>', 'an ELF object (FILE.o), hex:BYTES, or hex:- for hex on standard input')
    .option('--program <name>', 'only this function or section')
    .option('--dot', 'a drawing in the DOT language')
    .option('--svg', 'a drawing as SVG')
    .option('--png', 'a drawing as PNG (needs a TrueType font: TYPEBPF_FONT, or one that is installed)')
    .option('-o, --output <file>', 'write to a file')
    .option('--max-blocks <n>', 'draw at most so many blocks', '400')
    .option('--no-source', 'leave out source lines')
    .option('--big-endian', 'hex input is big-endian BPF')
    .option('-j, --json', 'the graphs as data')
    .action((input: string, options: Options) => run(input, options))
}
